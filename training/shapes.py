"""Shapes as signed distance functions, in pixels; y points down, like the rows of a picture.

Every shape of radius r fits the box of half-width 1.1 r around its centre. Distances are negative inside, and exact for polygons and
circles. Source of the formulas: the "distance2d" functions of Inigo Quilez (polygon, heart), rewritten for arrays.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Shape = Literal["circle", "square", "triangle", "star", "heart", "cross", "ring", "diamond"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
Field = npt.NDArray[np.float32]

EXTENT = 1.1  # half-width of the box that contains a shape of radius 1
RING_WIDTH = 0.4  # thickness of the ring's band, in radii
_ARM = 0.36  # half-width of the cross's arms, in radii
_STAR_INNER = 0.46  # inner over outer radius: larger than a pentagram's, so that small stars keep their points


def _star_points() -> list[tuple[float, float]]:
    turns = np.arange(10) * np.pi / 5.0
    reach = np.where(np.arange(10) % 2 == 0, EXTENT, EXTENT * _STAR_INNER)
    return [(float(r * np.sin(a)), float(-r * np.cos(a)) + 0.1) for a, r in zip(turns, reach, strict=True)]


_POLYGONS: dict[Shape, list[tuple[float, float]]] = {
    "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "triangle": [(0.0, -0.95), (1.097, 0.95), (-1.097, 0.95)],
    "diamond": [(0.0, -1.1), (0.78, 0.0), (0.0, 1.1), (-0.78, 0.0)],
    "cross": [
        (-_ARM, -1.0), (_ARM, -1.0), (_ARM, -_ARM), (1.0, -_ARM), (1.0, _ARM), (_ARM, _ARM),
        (_ARM, 1.0), (-_ARM, 1.0), (-_ARM, _ARM), (-1.0, _ARM), (-1.0, -_ARM), (-_ARM, -_ARM),
    ],
    "star": _star_points(),
}  # fmt: skip


def _polygon(points: list[tuple[float, float]], x: Field, y: Field) -> Field:
    """Return the exact distance to a closed polygon: nearest edge for the size, crossing rule for the sign."""
    squared = np.full(np.broadcast_shapes(x.shape, y.shape), np.inf, np.float32)
    inside = np.zeros(squared.shape, np.bool_)
    for (ax, ay), (bx, by) in zip(points, points[-1:] + points[:-1], strict=True):
        ex, ey = bx - ax, by - ay
        wx, wy = x - ax, y - ay
        along = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0.0, 1.0)
        np.minimum(squared, (wx - ex * along) ** 2 + (wy - ey * along) ** 2, out=squared)
        if ey != 0.0:
            inside ^= ((y >= ay) != (y >= by)) & (wx < ex * wy / ey)
    return np.where(inside, -np.sqrt(squared), np.sqrt(squared)).astype(np.float32)


def _heart(x: Field, y: Field) -> Field:
    """Return the distance to a heart of half-width 1.04 and half-height 0.95: two arcs over a square standing on its corner."""
    unit = 1.724  # scales the source's heart, 1.104 tall from its tip, to our radius
    px, py = np.abs(x) / unit, 0.552 - y / unit
    arc = np.hypot(px - 0.25, py - 0.75) - np.sqrt(2.0) / 4.0
    fold = 0.5 * np.maximum(px + py, 0.0)
    edge = np.sqrt(np.minimum(px**2 + (py - 1.0) ** 2, (px - fold) ** 2 + (py - fold) ** 2)) * np.sign(px - py)
    return np.asarray(np.where(px + py > 1.0, arc, edge) * unit, np.float32)


def distance(shape: Shape, x: Field, y: Field, radius: float) -> Field:
    """Return the signed distance to a shape's outline.

    Parameters
    ----------
    x, y : f32, broadcastable; pixels right of and below the shape's centre
    radius : float, pixels

    Returns
    -------
    f32[broadcast of x and y], pixels; negative inside

    >>> zero = np.zeros(1, np.float32)
    >>> float(distance("circle", zero, zero, 20.0)[0])
    -20.0
    """
    u, v = (x / radius).astype(np.float32), (y / radius).astype(np.float32)
    if shape == "circle":
        unit = np.asarray(np.hypot(u, v) - 1.0, np.float32)
    elif shape == "ring":
        unit = np.asarray(np.abs(np.hypot(u, v) - (1.0 - RING_WIDTH / 2.0)) - RING_WIDTH / 2.0, np.float32)
    elif shape == "heart":
        unit = _heart(u, v)
    else:
        unit = _polygon(_POLYGONS[shape], u, v)
    return np.asarray(unit * radius, np.float32)


def coverage(signed_distance: Field) -> Field:
    """Return how much of each pixel the shape covers, 0..1: a one-pixel ramp across the outline."""
    return np.asarray(np.clip(0.5 - signed_distance, 0.0, 1.0), np.float32)
