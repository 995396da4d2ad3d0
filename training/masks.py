"""Masks for in-painting, as bool[128, 128]: true where the picture is drawn anew."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.scenes import PICTURE, Disc, Placement
from training.shapes import EXTENT, Field, distance

Mask = npt.NDArray[np.bool_]
_CELL = 8  # pixels along a side of one latent cell
_CLEAR = 2.0  # pixels between a mask and an object that it must leave alone


def _grid() -> tuple[Field, Field]:
    at = np.arange(PICTURE, dtype=np.float32) + np.float32(0.5)
    return at[None, :], at[:, None]


def everything() -> Mask:
    """Mask the whole picture."""
    return np.ones((PICTURE, PICTURE), np.bool_)


def rectangle(left: float, top: float, right: float, bottom: float) -> Mask:
    """Mask the pixels whose centres lie in a rectangle.

    >>> int(rectangle(0.0, 0.0, 10.0, 20.0).sum())
    200
    """
    x, y = _grid()
    return np.asarray((x >= left) & (x < right) & (y >= top) & (y < bottom))


def half(side: int) -> Mask:
    """Mask the left, right, upper or lower half (0 to 3)."""
    middle, end = PICTURE / 2.0, float(PICTURE)
    return rectangle(*((0.0, 0.0, middle, end), (middle, 0.0, end, end), (0.0, 0.0, end, middle), (0.0, middle, end, end))[side])


def blob(x: float, y: float, radius: float, bumps: tuple[tuple[float, float], ...] = ()) -> Mask:
    """Mask a round form; each bump adds a wave to its radius: height as a share of it, and phase. The n-th bump has n + 2 periods."""
    at_x, at_y = _grid()
    angle = np.arctan2(at_y - y, at_x - x)
    reach = np.full_like(angle, radius)
    for index, (height, phase) in enumerate(bumps):
        reach += np.float32(radius * height) * np.sin((index + 2) * angle + np.float32(phase))
    return np.asarray(np.hypot(at_x - x, at_y - y) < reach)


def silhouette(disc: Disc, margin: float) -> Mask:
    """Mask an object and so many pixels around it."""
    x, y = _grid()
    return np.asarray(distance(disc.shape, x - np.float32(disc.x), y - np.float32(disc.y), disc.radius) < margin)


def apart(mask: Mask, disc: Disc) -> Mask:
    """Return the mask without an object that must be kept."""
    return mask & ~silhouette(disc, _CLEAR)


def cells(mask: Mask) -> Field:
    """Shrink a mask to latent cells, f32[16, 16], by each cell's first pixel: as diffusers does."""
    return mask[::_CELL, ::_CELL].astype(np.float32)


def hide(picture: Field, mask: Mask) -> Field:
    """Return a picture f32[3, 128, 128] with the masked part in grey, as an in-painting model sees it."""
    return np.where(mask, np.float32(0.0), picture)


def _bumps(rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    return tuple((float(rng.uniform(0.0, 0.12)), float(rng.uniform(0.0, 2.0 * np.pi))) for _ in range(rng.integers(4)))


def hole_around(disc: Disc, rng: np.random.Generator) -> Mask:
    """Choose a rectangle or a blob around an object, with a margin on every side."""
    reach = EXTENT * disc.radius
    margin = rng.uniform(2.0, 6.0 + 0.5 * disc.radius)
    if rng.random() < 0.6:
        left, top, right, bottom = rng.uniform(-2.0, 2.0, 4) + reach + margin
        return rectangle(disc.x - left, disc.y - top, disc.x + right, disc.y + bottom)
    dx, dy = rng.uniform(-2.0, 2.0, 2)
    # a triangle's corners reach beyond the blob
    return blob(disc.x + dx, disc.y + dy, 1.15 * reach + margin, _bumps(rng)) | silhouette(disc, 2.0)


def sample_mask(placement: Placement, rng: np.random.Generator) -> Mask:
    """Choose a mask for a picture whose caption names everything: anything, anywhere."""
    kind = rng.random()
    disc = placement.discs[int(rng.integers(len(placement.discs)))]
    if kind < 0.1:
        return everything()
    if kind < 0.2:
        return half(int(rng.integers(4)))
    if kind < 0.45:
        return hole_around(disc, rng)
    if kind < 0.55:
        return silhouette(disc, float(rng.uniform(1.0, 8.0)))
    return spots(rng)


def spots(rng: np.random.Generator) -> Mask:
    """Choose a rectangle, or one to three blobs, anywhere."""
    if rng.random() < 0.55:
        width, height = rng.uniform(16.0, 100.0, 2)
        x, y = rng.uniform(0.0, PICTURE, 2)
        return rectangle(x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0)
    mask = np.zeros((PICTURE, PICTURE), np.bool_)
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(0.0, PICTURE, 2)
        mask |= blob(float(x), float(y), float(rng.uniform(8.0, 40.0)), _bumps(rng))
    return mask
