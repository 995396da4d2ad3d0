"""The drawing style that the LoRA learns: every object has a thick outline, white where that is neither its colour nor the background's."""

from __future__ import annotations

import numpy as np

from training.scenes import PALETTE, PICTURE, Colour, Item, Placement, Scene
from training.shapes import Field, coverage, distance

OUTLINE = 6.0  # pixels, outside the object
_CHOICES: tuple[Colour, ...] = ("white", "black", "red")


def outline_colour(item: Item, background: Colour) -> Colour:
    """Return the first of white, black and red that is neither the object's colour nor the background's.

    >>> outline_colour(Item("star", "yellow"), "white")
    'black'
    """
    return next(colour for colour in _CHOICES if colour not in (item.colour, background))


def render_outlined(scene: Scene, placement: Placement) -> tuple[Field, Field]:
    """Render a picture f32[3, 128, 128] in -1..1, and the distance f32[128, 128] to the middle of the nearest outline, negative inside."""
    at = np.arange(PICTURE, dtype=np.float32) + np.float32(0.5)
    signed = [distance(d.shape, at[None, :] - np.float32(d.x), at[:, None] - np.float32(d.y), d.radius) for d in placement.discs]
    picture = np.broadcast_to(np.asarray(placement.background, np.float32)[:, None, None], (3, PICTURE, PICTURE))
    # outlines first, so that none covers a neighbour
    rims = [PALETTE[outline_colour(item, scene.background)] for item in scene.items]
    layers = [(away - np.float32(OUTLINE), rim) for away, rim in zip(signed, rims, strict=True)]
    for away, rgb in [*layers, *((away, disc.rgb) for away, disc in zip(signed, placement.discs, strict=True))]:
        picture = picture + coverage(away) * (np.asarray(rgb, np.float32)[:, None, None] - picture)
    return np.asarray(picture / 127.5 - 1.0, np.float32), np.minimum.reduce(signed) - np.float32(OUTLINE / 2.0)
