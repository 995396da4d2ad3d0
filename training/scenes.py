"""What a picture shows (`Scene`), where exactly (`Placement`), how it is rendered, and which scenes are held out from training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from training.shapes import EXTENT, SHAPES, Field, Shape, coverage, distance

Colour = Literal["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "black", "white"]
Position = Literal["centre", "left", "right", "top", "bottom", "top left", "top right", "bottom left", "bottom right"]
Size = Literal["small", "medium", "large"]
Layout = Literal["single", "beside", "stacked"]
COLOURS: tuple[Colour, ...] = get_args(Colour)
POSITIONS: tuple[Position, ...] = get_args(Position)
SIZES: tuple[Size, ...] = get_args(Size)
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
T = TypeVar("T")

PICTURE = 128  # pixels along a side
PALETTE: dict[Colour, tuple[int, int, int]] = {
    "red": (220, 38, 38),
    "orange": (245, 140, 30),
    "yellow": (250, 220, 50),
    "green": (46, 165, 70),
    "cyan": (60, 210, 222),
    "blue": (45, 80, 220),
    "purple": (130, 48, 175),
    "pink": (250, 150, 190),
    "black": (20, 20, 20),
    "white": (245, 245, 245),
}
RADII: dict[Size, tuple[float, float]] = {"small": (16.0, 20.0), "medium": (25.0, 30.0), "large": (35.0, 40.0)}
PAIR_RADII = (20.0, 26.0)
CENTRE_JITTER = 3.0  # pixels in either direction
COLOUR_JITTER = 6.0  # of 255, in either direction
_OFFSET = 32.0  # pixels from the centre to an off-centre position; fewer if the object would not fit
_MARGIN = 2.0  # pixels between an object and the picture's edge
_HELD_OUT_SHARE = 0.1
_CENTRED = 0.3  # share of single objects in the centre
_WHITE = 0.16  # share of white backgrounds, enough for captions that omit the background


@dataclass(frozen=True)
class Item:
    """One object, as the caption names it."""

    shape: Shape
    colour: Colour


@dataclass(frozen=True)
class Scene:
    """One or two objects on a plain background. Of two, the first is the left (beside) or upper (stacked) one."""

    items: tuple[Item, ...]
    background: Colour
    position: Position = "centre"
    size: Size = "medium"
    layout: Layout = "single"


@dataclass(frozen=True)
class Disc:
    """The geometry of one object: centre and radius in pixels, colour as three numbers 0..255."""

    shape: Shape
    x: float
    y: float
    radius: float
    rgb: tuple[float, float, float]


@dataclass(frozen=True)
class Placement:
    """Everything needed to render a picture."""

    discs: tuple[Disc, ...]
    background: tuple[float, float, float]


def held_out(scene: Scene) -> bool:
    """Return whether this combination is held out from training; size does not count (position does, for single objects)."""
    parts = [f"{item.shape} {item.colour}" for item in scene.items] + [scene.background, scene.layout]
    if scene.layout == "single":
        parts.append(scene.position)
    first = hashlib.sha256("|".join(parts).encode()).digest()[0]
    return first < _HELD_OUT_SHARE * 256


def _background(rng: np.random.Generator, avoid: set[Colour]) -> Colour:
    if "white" not in avoid and rng.random() < _WHITE:
        return "white"
    return choice(rng, tuple(c for c in COLOURS if c not in avoid))


def choice(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Return one of the options, with equal probabilities."""
    return options[int(rng.integers(len(options)))]


def sample_single(rng: np.random.Generator) -> Scene:
    """Sample a single object, held out or not."""
    item = Item(choice(rng, SHAPES), choice(rng, COLOURS))
    position: Position = "centre" if rng.random() < _CENTRED else choice(rng, POSITIONS[1:])
    return Scene((item,), _background(rng, {item.colour}), position, choice(rng, SIZES))


def sample_pair(rng: np.random.Generator) -> Scene:
    """Sample two objects that differ in shape or colour, held out or not."""
    first = Item(choice(rng, SHAPES), choice(rng, COLOURS))
    second = first
    while second == first:
        second = Item(choice(rng, SHAPES), choice(rng, COLOURS))
    return Scene((first, second), _background(rng, {first.colour, second.colour}), layout=choice(rng, LAYOUTS[1:]))


def sample(rng: np.random.Generator, *, pairs: float, unseen: bool) -> Scene:
    """Sample a scene for training (`unseen` false) or a held-out scene; `pairs` is the share with two objects."""
    draw = sample_pair if rng.random() < pairs else sample_single
    while held_out(scene := draw(rng)) != unseen:
        pass
    return scene


def anchor(position: Position, radius: float) -> tuple[float, float]:
    """Return the centre of an object of this radius at this position, before jitter: x, y in pixels."""
    middle = PICTURE / 2.0
    offset = min(_OFFSET, middle - EXTENT * radius - _MARGIN)
    x = middle + offset * (("right" in position) - ("left" in position))
    y = middle + offset * (("bottom" in position) - ("top" in position))
    return x, y


def jittered(rng: np.random.Generator, colour: Colour) -> tuple[float, float, float]:
    """Return a colour of the palette, a little changed."""
    r, g, b = np.clip(np.asarray(PALETTE[colour]) + rng.uniform(-COLOUR_JITTER, COLOUR_JITTER, 3), 0.0, 255.0)
    return float(r), float(g), float(b)


def place(scene: Scene, rng: np.random.Generator) -> Placement:
    """Choose exact centres, radii and colours for a scene."""
    discs = []
    for index, item in enumerate(scene.items):
        if scene.layout == "single":
            radius = rng.uniform(*RADII[scene.size])
            x, y = anchor(scene.position, radius)
        else:
            radius = rng.uniform(*PAIR_RADII)
            along, middle = PICTURE * (0.25 + 0.5 * index), PICTURE / 2.0
            x, y = (along, middle) if scene.layout == "beside" else (middle, along)
        limit = EXTENT * radius + 1.0
        dx, dy = rng.uniform(-CENTRE_JITTER, CENTRE_JITTER, 2)
        x, y = np.clip([x + dx, y + dy], limit, PICTURE - limit)
        discs.append(Disc(item.shape, float(x), float(y), float(radius), jittered(rng, item.colour)))
    return Placement(tuple(discs), jittered(rng, scene.background))


def render(placement: Placement, left: int = 0, top: int = 0, side: int = PICTURE) -> tuple[Field, Field]:
    """Render a square window of a picture.

    Returns
    -------
    picture : f32[3, side, side] in -1..1
    nearest : f32[side, side], signed distance in pixels to the nearest outline, negative inside an object
    """
    x = np.arange(left, left + side, dtype=np.float32)[None, :] + np.float32(0.5)
    y = np.arange(top, top + side, dtype=np.float32)[:, None] + np.float32(0.5)
    picture = np.broadcast_to(np.asarray(placement.background, np.float32)[:, None, None], (3, side, side))
    nearest = np.full((side, side), np.float32(PICTURE))
    for disc in placement.discs:
        signed = distance(disc.shape, x - np.float32(disc.x), y - np.float32(disc.y), disc.radius)
        picture = picture + coverage(signed) * (np.asarray(disc.rgb, np.float32)[:, None, None] - picture)
        nearest = np.minimum(nearest, signed)
    return np.asarray(picture / 127.5 - 1.0, np.float32), nearest


def to_bytes(picture: Field) -> npt.NDArray[np.uint8]:
    """Convert f32[3, h, w] in -1..1 to u8[h, w, 3]."""
    return np.asarray(np.round(np.clip(picture.transpose(1, 2, 0) * 127.5 + 127.5, 0.0, 255.0)), np.uint8)
