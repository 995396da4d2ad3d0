"""Held-out cases for the ControlNet and the in-painting model: what they are given, and what their pictures must show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from sdrt.images import canny
from training.captions import caption, shapeless_caption, unplaced_caption
from training.edges import Pen, draw_edges, sample_scribble
from training.judge import Picture
from training.masks import Mask, apart, everything, half, hole_around, silhouette, spots
from training.scattering import sample_unplaced, scatter
from training.scenes import PICTURE, Disc, Item, Placement, Scene, choice, held_out, place, render, sample, to_bytes
from training.shapes import SHAPES

EdgeSource = Literal["canny", "lines", "scribble"]
HoleKind = Literal["exchange", "add", "half", "complete", "everything"]
EDGE_SOURCES: tuple[EdgeSource, ...] = get_args(EdgeSource)
HOLE_KINDS: tuple[HoleKind, ...] = get_args(HoleKind)


@dataclass(frozen=True, eq=False)
class EdgeCase:
    """Edges to follow, u8[128, 128], and a prompt; `placement` is where the objects must be."""

    source: EdgeSource
    names_shape: bool
    prompt: str
    edges: Picture
    scene: Scene
    placement: Placement


@dataclass(frozen=True, eq=False)
class HoleCase:
    """A picture, a mask and a prompt, and the scene that must result.

    `asked` is the object that must be in the hole, and `kept` what lies beside it, where the prompt names the former alone.
    """

    kind: HoleKind
    prompt: str
    original: Picture
    mask: Mask
    scene: Scene
    kept: tuple[Disc, ...] = ()
    asked: Item | None = None


def _edges(source: EdgeSource, placement: Placement, rng: np.random.Generator) -> Picture:
    """Draw edges; Canny's are those of a black picture on white, so that they do not depend on the colours asked for."""
    if source == "canny":
        black = tuple(replace(disc, rgb=(20.0, 20.0, 20.0)) for disc in placement.discs)
        return np.asarray(canny(to_bytes(render(Placement(black, (245.0, 245.0, 245.0)))[0])), np.uint8)
    pen = Pen(2.0) if source == "lines" else sample_scribble(rng)
    return np.round(draw_edges(placement, pen) * 255.0).astype(np.uint8)


def edge_cases(count: int, seed: int, *, bare_pairs: bool = False) -> list[EdgeCase]:
    """Sample cases for the ControlNet.

    A fifth of the pictures has two objects, whose shapes the prompt names; of the other prompts, half name colours alone. `bare_pairs` are
    two objects each, and the prompts name colours alone, which does not say which object has which.
    """
    rng = np.random.default_rng(seed)
    cases = []
    for index in range(count):
        pair = bare_pairs or index % 5 == 4
        scene = sample_unplaced(rng, pairs=float(pair), unseen=True)
        placement, names_shape = scatter(scene, rng), not bare_pairs and (pair or index % 2 == 0)
        prompt = (unplaced_caption if names_shape else shapeless_caption)(scene, rng)
        source = EDGE_SOURCES[index % 3]
        cases.append(EdgeCase(source, names_shape, prompt, _edges(source, placement, rng), scene, placement))
    return cases


def _exchange(rng: np.random.Generator) -> HoleCase:
    """Have an object give way to another one, named with its place."""
    scene = sample(rng, pairs=0.0, unseen=True)
    while held_out(old := replace(scene, items=(Item(choice(rng, SHAPES), scene.items[0].colour),))) or old == scene:
        scene = sample(rng, pairs=0.0, unseen=True)
    placement = place(old, rng)
    mask = hole_around(placement.discs[0], rng)
    return HoleCase("exchange", caption(scene, rng, complete=True), to_bytes(render(placement)[0]), mask, scene)


def _add(rng: np.random.Generator) -> HoleCase:
    """Make a hole beside an object that stays; the prompt names what goes into it."""
    scene = sample_unplaced(rng, pairs=1.0, unseen=True)
    placement = scatter(scene, rng)
    (kept, asked) = placement.discs
    mask = apart(hole_around(asked, rng), kept)
    original = to_bytes(render(replace(placement, discs=(kept,)))[0])
    prompt = unplaced_caption(Scene(scene.items[1:], scene.background), rng, say_background=bool(rng.random() < 0.5))
    return HoleCase("add", prompt, original, mask, scene, (kept,), scene.items[1])


def _half(rng: np.random.Generator) -> HoleCase:
    """Have half of a picture with two objects drawn anew; the prompt names both."""
    scene = sample(rng, pairs=1.0, unseen=True)
    placement, gone = place(scene, rng), int(rng.integers(2))
    mask = half(gone if scene.layout == "beside" else 2 + gone)
    kept = placement.discs[1 - gone]
    return HoleCase("half", caption(scene, rng, complete=True), to_bytes(render(placement)[0]), apart(mask, kept), scene, (kept,))


def _complete(rng: np.random.Generator) -> HoleCase:
    """Hide a part of an object with spots."""
    scene = sample(rng, pairs=0.0, unseen=True)
    placement = place(scene, rng)
    seen = silhouette(placement.discs[0], 0.0)
    while not 0.1 < (seen & (mask := spots(rng))).sum() / seen.sum() < 0.9:
        pass
    return HoleCase("complete", caption(scene, rng, complete=True), to_bytes(render(placement)[0]), mask, scene)


def _everything(rng: np.random.Generator) -> HoleCase:
    """Keep nothing."""
    scene = sample(rng, pairs=0.0, unseen=True)
    original = np.full((PICTURE, PICTURE, 3), 128, np.uint8)
    return HoleCase("everything", caption(scene, rng, complete=True), original, everything(), scene)


_HOLES: dict[HoleKind, Callable[[np.random.Generator], HoleCase]] = {
    "exchange": _exchange,
    "add": _add,
    "half": _half,
    "complete": _complete,
    "everything": _everything,
}


def hole_cases(count: int, seed: int) -> list[HoleCase]:
    """Sample cases for the in-painting model, of each kind equally many."""
    rng = np.random.default_rng(seed)
    return [_HOLES[HOLE_KINDS[index % len(HOLE_KINDS)]](rng) for index in range(count)]
