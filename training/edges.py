"""Draw the edges of a placement, white on black: as an edge detector finds them, as clean lines, or as a hand would scribble them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.scenes import PICTURE, Placement
from training.shapes import Field, coverage, distance


@dataclass(frozen=True)
class Pen:
    """How edges are drawn."""

    width: float = 1.0  # pixels
    sharp: bool = False  # pixels are black or white, nothing between
    shift: tuple[float, float] = (0.0, 0.0)  # pixels right and down
    scale: float = 1.0  # of every object, round its centre
    waves: tuple[tuple[float, float, float, float, float], ...] = ()  # of the wobble: pixels right and down, turns across and down, phase
    gaps: tuple[tuple[float, float, float], ...] = ()  # discs without lines: x, y, radius in pixels


def draw_edges(placement: Placement, pen: Pen) -> Field:
    """Draw the outlines of all objects, f32[128, 128] in 0..1.

    >>> from training.scenes import Disc
    >>> circle = Placement((Disc("circle", 64.0, 64.0, 20.0, (0.0, 0.0, 0.0)),), (255.0, 255.0, 255.0))
    >>> lines = draw_edges(circle, Pen(width=2.0))
    >>> float(lines[64, 44]), float(lines[64, 64])
    (1.0, 0.0)
    """
    at = np.arange(PICTURE, dtype=np.float32) + np.float32(0.5)
    x, y = np.broadcast_arrays(at[None, :] - np.float32(pen.shift[0]), at[:, None] - np.float32(pen.shift[1]))
    for right, down, across, along, phase in pen.waves:
        wave = np.sin(np.float32(2.0 * np.pi / PICTURE) * (across * at[None, :] + along * at[:, None]) + np.float32(phase))
        x, y = x + np.float32(right) * wave, y + np.float32(down) * wave
    nearest = np.full((PICTURE, PICTURE), np.float32(PICTURE))
    for disc in placement.discs:
        signed = distance(disc.shape, x - np.float32(disc.x), y - np.float32(disc.y), disc.radius * pen.scale)
        nearest = np.minimum(nearest, np.abs(signed))
    lines = coverage(nearest - np.float32(pen.width / 2.0))
    if pen.sharp:
        lines = (lines >= 0.5).astype(np.float32)
    for gap_x, gap_y, radius in pen.gaps:
        lines = np.where(np.hypot(at[None, :] - gap_x, at[:, None] - gap_y) < radius, np.float32(0.0), lines)
    return np.asarray(lines, np.float32)


def sample_pen(rng: np.random.Generator) -> Pen:
    """Choose how to draw: 45 % as an edge detector, 25 % as clean lines, 30 % as scribbles."""
    kind = rng.random()
    shift = (float(rng.uniform(-0.8, 0.8)), float(rng.uniform(-0.8, 0.8)))
    if kind < 0.45:
        return Pen(float(rng.uniform(0.9, 1.7)), True, shift, 1.0, _waves(rng, 0.4), _gaps(rng) if rng.random() < 0.5 else ())
    if kind < 0.7:
        return Pen(float(rng.uniform(1.0, 3.0)), False, shift, 1.0, (), _gaps(rng) if rng.random() < 0.3 else ())
    return sample_scribble(rng)


def sample_scribble(rng: np.random.Generator) -> Pen:
    """Choose how to draw as a hand would: wobbly, a little off, with gaps."""
    drift = (float(rng.uniform(-1.5, 1.5)), float(rng.uniform(-1.5, 1.5)))
    return Pen(float(rng.uniform(1.2, 3.2)), bool(rng.random() < 0.3), drift, float(rng.uniform(0.96, 1.04)), _waves(rng, 1.2), _gaps(rng))


def _gaps(rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    """Choose up to three gaps."""
    discs = (((*rng.uniform(0.0, PICTURE, 2), rng.uniform(2.0, 7.0))) for _ in range(rng.integers(4)))
    return tuple((float(x), float(y), float(radius)) for x, y, radius in discs)


def _waves(rng: np.random.Generator, size: float) -> tuple[tuple[float, float, float, float, float], ...]:
    """Choose two waves of at most this many pixels each."""
    waves = []
    for _ in range(2):
        right, down = rng.uniform(-size, size, 2)
        across, along = rng.uniform(-4.0, 4.0, 2)
        waves.append((float(right), float(down), float(across), float(along), float(rng.uniform(0.0, 2.0 * np.pi))))
    return tuple(waves)
