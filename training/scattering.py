"""Scenes for the companions: objects anywhere, of any size, which captions do not place."""

from __future__ import annotations

import numpy as np

from training.scenes import PAIR_RADII, PICTURE, Disc, Placement, Scene, held_out, jittered, sample_pair, sample_single
from training.shapes import EXTENT

RADII = (16.0, 44.0)  # pixels, of a single object
_TRIES = 50  # places tried for a second object before both are placed anew
_APART = 3.0  # pixels between the boxes of two objects


def sample_unplaced(rng: np.random.Generator, *, pairs: float, unseen: bool) -> Scene:
    """Sample a scene whose position and size mean nothing, for training or held out."""
    while True:
        scene = sample_pair(rng) if rng.random() < pairs else sample_single(rng)
        scene = Scene(scene.items, scene.background, layout="beside" if len(scene.items) > 1 else "single")
        if held_out(scene) == unseen:
            return scene


def scatter(scene: Scene, rng: np.random.Generator) -> Placement:
    """Place a scene's objects anywhere, without overlap. Of two, the first is further left or higher, whichever sets them further apart."""
    while True:
        discs: list[Disc] = []
        for item in scene.items:
            for _ in range(_TRIES):
                radius = float(rng.uniform(*(RADII if len(scene.items) == 1 else (RADII[0], PAIR_RADII[1] + 4.0))))
                limit = EXTENT * radius + 1.0
                x, y = (float(v) for v in rng.uniform(limit, PICTURE - limit, 2))
                if all(max(abs(x - d.x), abs(y - d.y)) >= EXTENT * (radius + d.radius) + _APART for d in discs):
                    discs.append(Disc(item.shape, x, y, radius, jittered(rng, item.colour)))
                    break
        if len(discs) == len(scene.items) and _in_order(discs):
            return Placement(tuple(discs), jittered(rng, scene.background))


def _in_order(discs: list[Disc]) -> bool:
    if len(discs) == 1:
        return True
    dx, dy = discs[1].x - discs[0].x, discs[1].y - discs[0].y
    return (dx if abs(dx) >= abs(dy) else dy) > 0.0
