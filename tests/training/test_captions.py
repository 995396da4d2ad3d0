"""Captions describe their scene, and training never sees the scenes that evaluation uses."""

from __future__ import annotations

import numpy as np
import pytest

from training.captions import DEFAULT_BACKGROUND, DEFAULT_COLOUR, caption
from training.scenes import COLOURS, Item, Scene, held_out, sample, sample_single


def test_hold_out_splits_the_combinations() -> None:
    """Both sides sample only their own scenes, and no combination belongs to both."""
    rng = np.random.default_rng(0)
    seen = {sample(rng, pairs=0.5, unseen=False) for _ in range(3000)}
    unseen = {sample(rng, pairs=0.5, unseen=True) for _ in range(1000)}
    assert not any(held_out(scene) for scene in seen)
    assert all(held_out(scene) for scene in unseen)

    def combinations(scenes: set[Scene]) -> set[tuple[object, ...]]:
        return {(scene.items, scene.background, scene.position, scene.layout) for scene in scenes}

    assert combinations(seen).isdisjoint(combinations(unseen))


def test_a_tenth_is_held_out() -> None:
    """The rule holds out about 10 % of single-object combinations."""
    rng = np.random.default_rng(1)
    share = np.mean([held_out(sample_single(rng)) for _ in range(5000)])
    assert 0.08 < share < 0.13


def test_size_does_not_move_a_scene_across() -> None:
    """A held-out combination is held out in every size."""
    scene = sample(np.random.default_rng(2), pairs=0.0, unseen=True)
    assert all(held_out(Scene(scene.items, scene.background, scene.position, size)) for size in ("small", "medium", "large"))


def test_complete_captions_name_every_colour() -> None:
    """With `complete`, every colour of the scene (or its synonym) is in the text."""
    synonyms = {"purple": ("purple", "violet"), "cyan": ("cyan", "turquoise")}
    rng = np.random.default_rng(3)
    for _ in range(500):
        scene = sample(rng, pairs=0.5, unseen=False)
        words = caption(scene, rng, complete=True).replace(",", " ").split()
        for colour in (*(item.colour for item in scene.items), scene.background):
            assert any(name in words for name in synonyms.get(colour, (colour,))), (scene, words)


@pytest.mark.parametrize("colour", COLOURS)
def test_only_defaults_are_left_unsaid(colour: str) -> None:
    """A caption without a colour word is only used for a red object on white."""
    rng = np.random.default_rng(4)
    scene = Scene((Item("heart", colour),), "white" if colour != "white" else "red")  # type: ignore[arg-type]
    texts = [caption(scene, rng).split() for _ in range(300)]
    says = {"purple": "violet", "cyan": "turquoise"}.get(colour, colour)
    silent = [text for text in texts if colour not in text and says not in text]
    assert bool(silent) == (colour == DEFAULT_COLOUR)
    assert any("white" not in text for text in texts) == (scene.background == DEFAULT_BACKGROUND)


def test_stacked_and_beside_captions_keep_the_order() -> None:
    """'below' and 'right of' name the second object first."""
    rng = np.random.default_rng(5)
    items = (Item("circle", "red"), Item("heart", "blue"))
    for layout, turned in (("stacked", ("below", "under")), ("beside", ("right of",))):
        for _ in range(200):
            text = caption(Scene(items, "white", layout=layout), rng)  # type: ignore[arg-type]
            assert (text.index("blue") < text.index("red")) == any(word in text for word in turned), text
