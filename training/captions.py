"""Caption scenes in many wordings and synonyms, sometimes omitting what has its default value.

The defaults are: position the centre, size medium, background white, colour red.
"""

from __future__ import annotations

import numpy as np

from training.scenes import Colour, Item, Position, Scene, Size, choice
from training.shapes import Shape

DEFAULT_COLOUR: Colour = "red"
DEFAULT_BACKGROUND: Colour = "white"

_SHAPE_WORDS: dict[Shape, tuple[str, ...]] = {
    "circle": ("circle", "circle", "disc", "disk", "dot"),
    "square": ("square", "square", "square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "heart": ("heart",),
    "cross": ("cross", "cross", "plus", "plus sign"),
    "ring": ("ring", "ring", "ring", "donut"),
    "diamond": ("diamond", "diamond", "diamond", "rhombus"),
}
_COLOUR_WORDS: dict[Colour, tuple[str, ...]] = {"purple": ("purple", "purple", "violet"), "cyan": ("cyan", "cyan", "turquoise")}
_SIZE_WORDS: dict[Size, tuple[str, ...]] = {
    "small": ("small", "small", "tiny", "little"),
    "medium": ("", "", "", "medium"),
    "large": ("large", "large", "big", "huge"),
}
_VERTICAL = {"top": ("top", "top", "upper"), "bottom": ("bottom", "bottom", "lower")}
_PREFIXES = ("a photo of", "a picture of", "a drawing of", "an image of", "an icon of", "an illustration of", "a painting of")
_MANNERS = ("simple", "nice", "flat", "plain", "bright", "beautiful")
_ANY_SHAPE = ("shape", "shape", "thing", "object", "form")
_PLAIN_SHARE = 0.4  # of captions, without prefix, manner or omissions


def _article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def _colour(rng: np.random.Generator, colour: Colour) -> str:
    return choice(rng, _COLOUR_WORDS.get(colour, (colour,)))


def _item(rng: np.random.Generator, item: Item, size: str = "", manner: str = "", *, say_colour: bool = True) -> str:
    """Name size, colour and shape, without an article."""
    colour = _colour(rng, item.colour) if say_colour else ""
    return " ".join(word for word in (manner, size, colour, choice(rng, _SHAPE_WORDS[item.shape])) if word)


def _position(rng: np.random.Generator, position: Position) -> str:
    if position == "centre":
        return choice(rng, ("", "", "", "in the centre", "in the center", "in the middle"))
    if position in ("left", "right"):
        return choice(rng, (f"on the {position}", f"on the {position}", f"on the {position} side", f"at the {position}"))
    if position in ("top", "bottom"):
        return choice(rng, (f"at the {position}", f"at the {position}", f"on the {position}"))
    vertical, side = position.split()
    corner = f"{choice(rng, _VERTICAL[vertical])} {side}"
    return choice(rng, (f"in the {corner} corner", f"in the {corner}", f"at the {corner}", f"on the {corner}"))


def _pair(rng: np.random.Generator, scene: Scene, manner: str) -> str:
    first, second = (_article(_item(rng, item, manner=manner)) for item in scene.items)
    if scene.layout == "stacked":
        stacked = (f"{first} above {second}", f"{second} below {first}", f"{first} on top of {second}", f"{second} under {first}")
        return choice(rng, (*stacked[:2], *stacked))
    forms = (
        f"{first} and {second}",
        f"{first} next to {second}",
        f"{first} beside {second}",
        f"{first} left of {second}",
        f"{first} to the left of {second}",
        f"{second} right of {first}",
        f"{second} to the right of {first}",
    )
    return choice(rng, (forms[0], forms[0], forms[0], *forms))


def _with_background(rng: np.random.Generator, subject: str, place: str, colour: Colour) -> str:
    """Join subject, place and background in one of the usual orders."""
    name = _colour(rng, colour)
    behind = _article(f"{name} background")
    tail = f" {place}" if place else ""
    forms = (
        f"{subject}{tail} on {behind}",
        f"{subject} on {behind}{f', {place}' if place else ''}",
        f"{subject}{tail} on {name}",
        f"{subject}{tail} over {behind}",
        f"{subject}{tail} against {behind}",
        f"{subject}{tail}, {name} background",
        f"{behind} with {subject}{tail}",
        f"{name} background with {subject}{tail}",
    )
    return choice(rng, (forms[0], forms[0], forms[0], *forms))


def caption(scene: Scene, rng: np.random.Generator, *, complete: bool = False) -> str:
    """Word a scene at random.

    Parameters
    ----------
    complete : bool
        Name every colour and the background, without prefix or manner, as evaluation needs it.

    >>> scene = Scene((Item("triangle", "red"),), "blue")
    >>> caption(scene, np.random.default_rng(2), complete=True)
    'a medium red triangle on a blue background'
    """
    wordy = not complete and rng.random() > _PLAIN_SHARE
    manner = choice(rng, _MANNERS) if wordy and rng.random() < 0.15 else ""
    if scene.layout == "single":
        (item,) = scene.items
        silent = wordy and item.colour == DEFAULT_COLOUR and rng.random() < 0.4
        subject = _item(rng, item, choice(rng, _SIZE_WORDS[scene.size]), manner, say_colour=not silent)
        place = _position(rng, scene.position)
        if not (wordy and rng.random() < 0.25):
            subject = _article(subject)
    else:
        subject, place = _pair(rng, scene, manner), ""
    if wordy and scene.background == DEFAULT_BACKGROUND and rng.random() < 0.6:
        text = f"{subject} {place}".strip()
    else:
        text = _with_background(rng, subject, place, scene.background)
    if wordy and rng.random() < 0.35:
        prefix = choice(rng, _PREFIXES)
        text = f"{prefix} {text if text.split()[0] in ('a', 'an') else _article(text)}"
    return text


def unplaced_caption(scene: Scene, rng: np.random.Generator, *, say_background: bool = True) -> str:
    """Word a scene without its place, size and order, as for a picture in which something else decides them.

    >>> scene = Scene((Item("triangle", "red"),), "blue")
    >>> unplaced_caption(scene, np.random.default_rng(2))
    'a red triangle on a blue background'
    """
    return _unplaced(rng, [_item(rng, item) for item in scene.items], scene.background if say_background else None)


def shapeless_caption(scene: Scene, rng: np.random.Generator) -> str:
    """Word a scene by its colours alone; a white background may be left out.

    >>> scene = Scene((Item("triangle", "red"),), "blue")
    >>> shapeless_caption(scene, np.random.default_rng(0))
    'red thing on a blue background'
    """
    colours = [_colour(rng, item.colour) for item in scene.items]
    silent = scene.background == DEFAULT_BACKGROUND and rng.random() < 0.4
    if rng.random() < 0.3:
        return " and ".join(colours) + ("" if silent else f" on {_colour(rng, scene.background)}")
    word = choice(rng, _ANY_SHAPE)
    return _unplaced(rng, [f"{colour} {word}" for colour in colours], None if silent else scene.background)


def _unplaced(rng: np.random.Generator, subjects: list[str], background: Colour | None) -> str:
    subject = " and ".join(subjects if rng.random() < 0.15 else [_article(subject) for subject in subjects])
    return subject if background is None else _with_background(rng, subject, "", background)


def plain_caption(scene: Scene) -> str:
    """Word a scene as plainly as possible; size and position are omitted if they have their default.

    >>> plain_caption(Scene((Item("star", "red"),), "blue", "top left", "large"))
    'a large red star in the top left corner on a blue background'
    """
    named = [_article(f"{item.colour} {item.shape}") for item in scene.items]
    if scene.layout == "single":
        if scene.size != "medium":
            named = [f"a {scene.size} {scene.items[0].colour} {scene.items[0].shape}"]
        place = {"centre": "", "left": " on the left", "right": " on the right", "top": " at the top", "bottom": " at the bottom"}
        subject = named[0] + place.get(scene.position, f" in the {scene.position} corner")
    else:
        subject = f" {'above' if scene.layout == 'stacked' else 'and'} ".join(named)
    return f"{subject} on {_article(f'{scene.background} background')}"
