"""The judge accepts rendered pictures and rejects wrong ones, aspect by aspect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.judge import Picture, Verdict, compare, judge, read
from training.scenes import COLOURS, Disc, Item, Placement, Scene, place, render, sample, to_bytes
from training.shapes import SHAPES, Shape

RIGHT = Verdict(shape=True, colour=True, background=True, position=True, size=True)


def _drawn(scene: Scene, seed: int = 0) -> Picture:
    return to_bytes(render(place(scene, np.random.default_rng(seed)))[0])


@pytest.mark.parametrize("pairs", [0.0, 1.0])
def test_drawn_pictures_are_right(pairs: float) -> None:
    """Every rendered picture passes, whatever it shows."""
    rng = np.random.default_rng(int(pairs))
    for seed in range(24):
        scene = sample(rng, pairs=pairs, unseen=bool(seed % 2))
        assert judge(_drawn(scene, seed), scene) == RIGHT, scene


def test_mild_noise_is_forgiven() -> None:
    """A little noise, such as a decoder leaves, changes no verdict."""
    rng = np.random.default_rng(0)
    scene = Scene((Item("star", "yellow"),), "blue")
    noisy = np.clip(_drawn(scene) + rng.normal(0.0, 6.0, (128, 128, 3)), 0, 255).astype(np.uint8)
    assert judge(noisy, scene) == RIGHT


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", ["small", "large"])
def test_a_wrong_shape_is_rejected(shape: Shape, size: str) -> None:
    """No shape passes for another one."""
    scene = Scene((Item(shape, "green"),), "yellow", size=size)  # type: ignore[arg-type]
    reading = read(_drawn(scene), "single")
    for other in SHAPES:
        assert compare(reading, replace(scene, items=(Item(other, "green"),))).shape == (other == shape)


def test_a_wrong_colour_or_background_is_rejected() -> None:
    """No colour passes for another one, inside or outside."""
    scene = Scene((Item("circle", "red"),), "cyan")
    reading = read(_drawn(scene), "single")
    for colour in COLOURS:
        assert compare(reading, replace(scene, items=(Item("circle", colour),))).colour == (colour == "red")
        assert compare(reading, replace(scene, background=colour)).background == (colour == "cyan")


@pytest.mark.parametrize(
    ("scene", "claim", "wrong"),
    [
        (Scene((Item("heart", "pink"),), "black", "left"), {"position": "centre"}, "position"),
        (Scene((Item("heart", "pink"),), "black", "top left", "large"), {"position": "top"}, "position"),
        (Scene((Item("heart", "pink"),), "black", size="small"), {"size": "medium"}, "size"),
        (Scene((Item("ring", "pink"),), "black", size="medium"), {"size": "large"}, "size"),
    ],
)
def test_a_wrong_place_or_size_is_rejected(scene: Scene, claim: dict[str, str], wrong: str) -> None:
    """The picture of one scene fails as another one only in the aspect that differs."""
    verdict = judge(_drawn(scene), replace(scene, **claim))  # type: ignore[arg-type]
    assert not getattr(verdict, wrong)
    assert (verdict.shape, verdict.colour, verdict.background) == (True, True, True)


def test_spoiled_pictures_are_rejected() -> None:
    """A blank picture, noise, a second object, a two-coloured object and a torn background all fail."""
    scene = Scene((Item("square", "blue"),), "white")
    good = _drawn(scene)
    blank = np.full_like(good, 245)
    static = np.random.default_rng(0).integers(0, 256, good.shape, dtype=np.uint8)
    torn = good.copy()
    torn[100:] = (46, 165, 70)
    blotched = good.copy()
    blotched[40:64, 40:90] = (245, 140, 30)
    twice = good.copy()
    twice[100:120, 4:30] = (45, 80, 220)
    for picture in (blank, static, torn, blotched, twice):
        assert not judge(picture, scene).all
    assert not judge(blank, scene).shape
    assert not judge(torn, scene).background
    assert not judge(blotched, scene).colour


def test_a_blob_is_no_star() -> None:
    """A form between two shapes is rejected even if the right shape fits it best."""
    scene = Scene((Item("cross", "black"),), "white", size="large")
    discs = tuple(Disc("circle", x, y, 12.0, (20.0, 20.0, 20.0)) for x, y in ((50, 50), (78, 78), (64, 64)))
    blob = Placement(discs, (245.0, 245.0, 245.0))
    assert not judge(to_bytes(render(blob)[0]), scene).shape


def test_pairs_are_judged_by_their_order() -> None:
    """Exchanged objects, a missing one and one of a wrong colour fail."""
    first, second = Item("circle", "red"), Item("square", "blue")
    scene = Scene((first, second), "white", layout="beside")
    assert judge(_drawn(scene), scene).all
    exchanged = judge(_drawn(replace(scene, items=(second, first))), scene)
    assert (exchanged.shape, exchanged.colour, exchanged.background) == (False, False, True)
    assert not judge(_drawn(Scene((first,), "white", "left", "medium")), scene).all
    leaked = judge(_drawn(replace(scene, items=(first, Item("square", "red")))), scene)
    assert (leaked.shape, leaked.colour) == (True, False)
    assert not judge(_drawn(replace(scene, layout="stacked")), scene).all
