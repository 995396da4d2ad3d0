"""Judge the pictures of the companions: edges followed, a hole filled with what was asked for and the rest kept, an outline drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.companion_cases import EdgeCase, HoleCase
from training.judge import FIT_LIMIT, Box, DetectedObject, Picture, Verdict, fit_mask, judge, read_in
from training.masks import Mask
from training.outlines import OUTLINE, outline_colour
from training.scenes import PALETTE, PICTURE, Colour, Disc, Scene
from training.shapes import EXTENT, distance

_AWAY = 4.0  # pixels of a centre from where the edges put it
_BIGGER = 1.15  # largest ratio between the radius and the edges' one
_OFF = 60.0  # RGB distance beyond which a pixel is another one
_OFF_SHARE = 0.01  # of the kept pixels that may be other ones: the autoencoder alone rounds corners, at most 0.0043 in 80 pictures
_SEAM = 4  # pixels around a hole that are not judged: a latent cell is 8 wide
_BEYOND = 4.0  # pixels by which an object may leave the hole's box
_RING, _RING_SHARE = (1.5, 4.5), 0.75  # pixels outside an object where its outline must be, and the share that must have its colour
_INSIDE, _INSIDE_SHARE, _OUTSIDE_SHARE = 3.0, 0.9, 0.97  # as `judge` has them
_MIN_FILL = 0.35  # of the hole's smaller side: the smallest diameter


@dataclass(frozen=True)
class HoleVerdict:
    """Whether a picture was kept outside the hole, and which aspects of the scene are correct."""

    kept: bool
    scene: Verdict

    @property
    def all(self) -> bool:
        """Whether everything is correct."""
        return self.kept and self.scene.all


def _follows(found: DetectedObject | None, disc: Disc) -> tuple[bool, bool]:
    """Return whether an object has the place and the size of another."""
    if found is None:
        return False, False
    ratio = found.radius / disc.radius
    return max(abs(found.x - disc.x), abs(found.y - disc.y)) <= _AWAY, max(ratio, 1.0 / ratio) <= _BIGGER


def box_of(disc: Disc, margin: float) -> Box:
    """Return a box with even sides around an object, inside the picture."""
    reach = EXTENT * disc.radius + margin
    left, top = (max(0, 2 * int((v - reach) // 2)) for v in (disc.x, disc.y))
    right, bottom = (min(PICTURE, 2 * int(-(-(v + reach) // 2))) for v in (disc.x, disc.y))
    return left, top, right, bottom


def _boxes(discs: tuple[Disc, ...]) -> list[Box]:
    return [(0, 0, PICTURE, PICTURE)] if len(discs) == 1 else [box_of(disc, 0.5) for disc in discs]


def judge_edges(picture: Picture, case: EdgeCase) -> Verdict:
    """Judge whether a picture u8[128, 128, 3] has the edges' shapes, where they are, in the prompt's colours."""
    reading = read_in(picture, _boxes(case.placement.discs))
    found = list(zip(reading.objects, case.placement.discs, strict=True))
    places, sizes = zip(*(_follows(thing, disc) for thing, disc in found), strict=True)
    seen = [str(thing and thing.colour) for thing in reading.objects]
    said: list[str] = [item.colour for item in case.scene.items]
    if not (case.names_shape and len({disc.shape for disc in case.placement.discs}) > 1):
        # the prompt does not say which object has which colour
        seen, said = sorted(seen), sorted(said)
    return Verdict(
        shape=all(thing is not None and thing.shape == disc.shape and thing.fit >= FIT_LIMIT for thing, disc in found),
        colour=seen == said,
        background=reading.background == case.scene.background,
        position=all(places),
        size=all(sizes),
    )


def is_kept(picture: Picture, original: Picture, mask: Mask) -> bool:
    """Return whether a picture is the original outside the hole and its seam."""
    near = mask
    for axis in (0, 1):
        near = np.any([np.roll(np.pad(near, _SEAM), by, axis)[_SEAM:-_SEAM, _SEAM:-_SEAM] for by in range(-_SEAM, _SEAM + 1)], 0)
    if near.all():
        return True
    # a pixel may move by one, as outlines do in the autoencoder
    around = np.pad(original, ((1, 1), (1, 1), (0, 0)), "edge").astype(np.float32)
    moved = [around[down : down + PICTURE, right : right + PICTURE] for down in range(3) for right in range(3)]
    off = np.min([np.linalg.norm(picture - each, axis=2) for each in moved], axis=0)[~near] > _OFF
    return bool(off.mean() <= _OFF_SHARE)


def _box(mask: Mask) -> Box:
    """Return the smallest box with even corners around a mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top, right, bottom = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return left - left % 2, top - top % 2, right + right % 2, bottom + bottom % 2


def _in_hole(picture: Picture, case: HoleCase) -> Verdict:
    """Judge an object that was asked for in a hole which does not touch the kept object; its place and size are free within the hole."""
    left, top, right, bottom = box = _box(case.mask)
    hidden = picture.copy()
    backdrop = np.median(np.concatenate([picture[:2].reshape(-1, 3), picture[-2:].reshape(-1, 3)]), axis=0)
    for disc in case.kept:  # `is_kept` judges it
        columns, rows = np.meshgrid(np.arange(PICTURE) + 0.5 - disc.x, np.arange(PICTURE) + 0.5 - disc.y)
        reach = EXTENT * disc.radius + 2.0
        hidden[(abs(columns) < reach) & (abs(rows) < reach) & ~case.mask] = backdrop
    reading = read_in(hidden, [box])
    (found,) = reading.objects
    fits = False
    if found is not None:
        reach = EXTENT * found.radius - _BEYOND
        fits = found.x - reach >= left and found.x + reach <= right and found.y - reach >= top and found.y + reach <= bottom
    item = case.asked
    return Verdict(
        shape=found is not None and item is not None and found.shape == item.shape and found.fit >= FIT_LIMIT,
        colour=found is not None and item is not None and found.colour == item.colour,
        background=reading.background == case.scene.background,
        position=fits,
        size=found is not None and 2.0 * found.radius >= _MIN_FILL * min(right - left, bottom - top),
    )


def judge_hole(picture: Picture, case: HoleCase) -> HoleVerdict:
    """Judge a picture u8[128, 128, 3] that was drawn for a case."""
    scene = _in_hole(picture, case) if case.asked else judge(picture, case.scene)
    return HoleVerdict(is_kept(picture, case.original, case.mask), scene)


@dataclass(frozen=True)
class OutlineVerdict:
    """Whether an object has the LoRA's outline, and which aspects of the object are correct."""

    outline: bool
    shape: bool
    colour: bool
    background: bool

    @property
    def all(self) -> bool:
        """Whether everything is correct."""
        return self.outline and self.shape and self.colour and self.background


def judge_outlined(picture: Picture, scene: Scene) -> OutlineVerdict:
    """Judge whether a picture u8[128, 128, 3] shows a single object with the LoRA's outline.

    Every pixel is given the palette's nearest colour. The pixels of the object's colour must fit its shape better than another one, and the
    ring of pixels around that shape must have the outline's colour.
    """
    (item,) = scene.items
    names = list(PALETTE)
    away = np.linalg.norm(picture[:, :, None].astype(np.float32) - np.asarray([PALETTE[name] for name in names], np.float32), axis=3)
    nearest = away.argmin(axis=2)

    def has(colour: Colour) -> Mask:
        return np.asarray(nearest == names.index(colour))

    found = fit_mask(has(item.colour).astype(np.float32))
    if found is None:
        return OutlineVerdict(outline=False, shape=False, colour=False, background=False)
    at = np.arange(PICTURE, dtype=np.float32) + np.float32(0.5)
    signed = distance(found.shape, at[None, :] - np.float32(found.x), at[:, None] - np.float32(found.y), found.radius)
    ring = (signed > _RING[0]) & (signed < _RING[1])
    return OutlineVerdict(
        outline=bool(has(outline_colour(item, scene.background))[ring].mean() >= _RING_SHARE),
        shape=found.shape == item.shape and found.fit >= FIT_LIMIT,
        colour=bool(has(item.colour)[signed < -_INSIDE].mean() >= _INSIDE_SHARE),
        background=bool(has(scene.background)[signed > OUTLINE + _INSIDE].mean() >= _OUTSIDE_SHARE),
    )
