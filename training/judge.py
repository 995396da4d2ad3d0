"""Judge whether a picture shows a scene: shape, colour, background, place and size are read by fitting templates, without any network.

The limits below were set on rendered and on autoencoded pictures, before any generated picture was judged. A picture is read first, and
compared with the scene afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.scenes import COLOURS, PALETTE, PICTURE, POSITIONS, SIZES, Colour, Layout, Scene, anchor
from training.shapes import EXTENT, SHAPES, Field, Shape, coverage, distance

Picture = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; width and height are even

_STEP = 2  # pixels along a side of the squares on which templates are compared
_COLOUR_LIMIT = 60.0  # RGB distance; the palette's closest colours are 82 apart
_CONTRAST = 40.0  # RGB distance below which nothing is distinct from the background
FIT_LIMIT = 0.75  # intersection over union with the best template
_PLACE_LIMIT = 9.0  # pixels in either direction; neighbouring positions are at least 18 apart
_EVEN_INSIDE, _EVEN_OUTSIDE = 0.9, 0.97  # share of pixels that must have the same colour
_EDGE = 3.0  # pixels on both sides of an outline that are not used to read colours
_BORDERS = (22.5, 32.5)  # radii that separate small, medium and large
_PAIR_BORDERS = (16.0, 30.0)  # smallest and largest radius of an object of a pair
_FRAME = 2  # pixels along the picture's edge that determine the background


@dataclass(frozen=True)
class DetectedObject:
    """One object, as read from a picture."""

    shape: Shape
    fit: float  # intersection over union with this shape's template
    x: float
    y: float
    radius: float
    colour: Colour | None  # None: no colour of the palette, or several colours


@dataclass(frozen=True)
class Reading:
    """A whole picture, as read: its background, and the object found in each place of the layout."""

    background: Colour | None
    objects: tuple[DetectedObject | None, ...]


@dataclass(frozen=True)
class Verdict:
    """Which aspects of a picture are correct; of two objects, both must be."""

    shape: bool
    colour: bool
    background: bool
    position: bool
    size: bool

    @property
    def all(self) -> bool:
        """Whether every aspect is correct."""
        return self.shape and self.colour and self.background and self.position and self.size


@dataclass(frozen=True)
class _Region:
    """The part of a picture that holds one object: its pixels f32[h, w, 3], and its offset in the picture."""

    pixels: Field
    left: int
    top: int

    def distance(self, shape: Shape, x: float, y: float, radius: float, step: int = 1) -> Field:
        """Return the distance to an outline at the centres of squares of `step` pixels a side."""
        height, width = self.pixels.shape[:2]
        columns = np.arange(self.left + step / 2, self.left + width, step, dtype=np.float32) - np.float32(x)
        rows = np.arange(self.top + step / 2, self.top + height, step, dtype=np.float32) - np.float32(y)
        return distance(shape, columns[None, :], rows[:, None], radius)


def name_colour(rgb: Field) -> Colour | None:
    """Return the palette's nearest colour, or None if even that is too different.

    >>> name_colour(np.array([215, 50, 45], np.float32))
    'red'
    """
    away = {name: float(np.linalg.norm(rgb - np.asarray(PALETTE[name], np.float32))) for name in COLOURS}
    best = min(away, key=away.__getitem__)
    return best if away[best] < _COLOUR_LIMIT else None


def _even_colour(pixels: Field, share: float) -> Colour | None:
    """Return the colour of pixels f32[n, 3] if at least this share of them has it."""
    if len(pixels) == 0:
        return None
    middle = np.median(pixels, axis=0).astype(np.float32)
    close = np.linalg.norm(pixels - middle, axis=1) < _COLOUR_LIMIT
    return name_colour(middle) if close.mean() >= share else None


def _overlap(mask: Field, template: Field) -> float:
    return float(np.minimum(mask, template).sum() / np.maximum(mask, template).sum())


def _object_mask(region: _Region, background: Field) -> Field | None:
    """Return how much of each pixel the object covers, 0..1, or None if nothing is distinct from the background.

    Coverage is how far a pixel's colour lies on the way from the background's to the object's. The first and last quarter of the way count
    as its ends: otherwise, over a whole picture, the faint haze left by a decoder would outweigh a small object.
    """
    away = region.pixels - background
    contrast = np.linalg.norm(away, axis=2)
    strongest = float(np.quantile(contrast, 0.99))
    if strongest < _CONTRAST:
        return None
    direction = np.median(away[contrast > 0.6 * strongest], axis=0)
    return np.asarray(np.clip(2.0 * (away @ direction) / (direction @ direction) - 0.5, 0.0, 1.0), np.float32)


def _fit(region: _Region, mask: Field, shape: Shape) -> tuple[float, float, float, float]:
    """Find the best overlap of one shape's template with a mask: overlap, x, y, radius. Starts from the mask's box, then climbs."""
    squares = mask.reshape(mask.shape[0] // _STEP, _STEP, mask.shape[1] // _STEP, _STEP).mean((1, 3))
    columns, rows = (np.flatnonzero((mask > 0.5).sum(axis) >= 2) for axis in (0, 1))
    if len(columns) == 0 or len(rows) == 0:
        return 0.0, 0.0, 0.0, 1.0
    x, y = region.left + (columns[0] + columns[-1] + 1) / 2.0, region.top + (rows[0] + rows[-1] + 1) / 2.0
    radius = max(6.0, (columns[-1] - columns[0] + rows[-1] - rows[0] + 2) / 4.0)

    def overlap(at: tuple[float, float, float]) -> float:
        # A square crossed by the outline is partly covered: the ramp is as wide as the square.
        return _overlap(squares, coverage(region.distance(shape, *at, step=_STEP) / np.float32(_STEP)))

    best, at = overlap((x, y, radius)), (float(x), float(y), float(radius))
    stride = 2.0
    while stride >= 0.5:
        moves = [(at[0] + dx * stride, at[1] + dy * stride, max(6.0, at[2] + dr * stride)) for dx, dy, dr in _MOVES]
        scores = [overlap(move) for move in moves]
        if max(scores) > best:
            best = max(scores)
            at = moves[scores.index(best)]
        else:
            stride /= 2.0
    return best, *at


_MOVES = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))


def _best(region: _Region, mask: Field) -> tuple[Shape, float, float, float, float]:
    """Return the shape that fits a mask best, and its overlap, x, y and radius."""
    fits = {shape: _fit(region, mask, shape) for shape in SHAPES}
    shape = max(fits, key=lambda name: fits[name][0])
    return shape, *fits[shape]


def fit_mask(mask: Field) -> DetectedObject | None:
    """Fit a shape to a mask f32[128, 128] of the whole picture; None if the mask is empty."""
    if not mask.any():
        return None
    return DetectedObject(*_best(_Region(np.broadcast_to(mask[..., None], (*mask.shape, 3)), 0, 0), mask), colour=None)


def _find(region: _Region, background: Field) -> DetectedObject | None:
    mask = _object_mask(region, background)
    if mask is None:
        return None
    shape, fit, x, y, radius = _best(region, mask)
    inside = region.distance(shape, x, y, radius) < -_EDGE
    return DetectedObject(shape, fit, x, y, radius, _even_colour(region.pixels[inside], _EVEN_INSIDE))


def _regions(pixels: Field, layout: Layout) -> list[_Region]:
    """Return the parts of the picture where the objects must be: the whole, or two halves."""
    half = PICTURE // 2
    if layout == "single":
        return [_Region(pixels, 0, 0)]
    if layout == "beside":
        return [_Region(pixels[:, :half], 0, 0), _Region(pixels[:, half:], half, 0)]
    return [_Region(pixels[:half], 0, 0), _Region(pixels[half:], 0, half)]


def read(picture: Picture, layout: Layout) -> Reading:
    """Read background and objects from a picture u8[128, 128, 3], looking for objects where the layout puts them."""
    pixels = picture.astype(np.float32)
    return _read(pixels, _regions(pixels, layout))


def read_in(picture: Picture, boxes: Sequence[Box]) -> Reading:
    """Read the background and one object in each box from a picture u8[128, 128, 3]; the boxes must not overlap."""
    pixels = picture.astype(np.float32)
    return _read(pixels, [_Region(pixels[top:bottom, left:right], left, top) for left, top, right, bottom in boxes])


def _read(pixels: Field, regions: list[_Region]) -> Reading:
    inner = np.zeros(pixels.shape[:2], np.bool_)
    inner[_FRAME:-_FRAME, _FRAME:-_FRAME] = True
    backdrop = np.median(pixels[~inner], axis=0).astype(np.float32)
    detected = [_find(region, backdrop) for region in regions]
    whole, outside = _Region(pixels, 0, 0), np.ones(pixels.shape[:2], np.bool_)
    for thing in detected:
        if thing:
            outside &= whole.distance(thing.shape, thing.x, thing.y, thing.radius) > _EDGE
    return Reading(_even_colour(pixels[outside], _EVEN_OUTSIDE), tuple(detected))


def _well_placed(detected: DetectedObject, scene: Scene, index: int) -> bool:
    if scene.layout == "single":
        x, y = anchor(scene.position, min(detected.radius, PICTURE / 2.0 / EXTENT))
        nearest = min(POSITIONS, key=lambda name: float(np.hypot(*np.subtract(anchor(name, detected.radius), (detected.x, detected.y)))))
        return nearest == scene.position and max(abs(detected.x - x), abs(detected.y - y)) <= _PLACE_LIMIT
    along, middle = PICTURE * (0.25 + 0.5 * index), PICTURE / 2.0
    x, y = (along, middle) if scene.layout == "beside" else (middle, along)
    return max(abs(detected.x - x), abs(detected.y - y)) <= _PLACE_LIMIT


def _well_sized(detected: DetectedObject, scene: Scene) -> bool:
    if scene.layout == "single":
        return SIZES[int(np.searchsorted(_BORDERS, detected.radius))] == scene.size
    return _PAIR_BORDERS[0] <= detected.radius <= _PAIR_BORDERS[1]


def compare(reading: Reading, scene: Scene) -> Verdict:
    """Compare a reading with the scene that the picture should show."""
    detected = reading.objects
    pairs = list(zip(detected, scene.items, strict=True))
    return Verdict(
        shape=all(thing is not None and thing.shape == item.shape and thing.fit >= FIT_LIMIT for thing, item in pairs),
        colour=all(thing is not None and thing.colour == item.colour for thing, item in pairs),
        background=reading.background == scene.background,
        position=all(thing is not None and _well_placed(thing, scene, index) for index, thing in enumerate(detected)),
        size=all(thing is not None and _well_sized(thing, scene) for thing in detected),
    )


def judge(picture: Picture, scene: Scene) -> Verdict:
    """Read a picture u8[128, 128, 3] and compare it with the scene that it should show."""
    return compare(read(picture, scene.layout), scene)
