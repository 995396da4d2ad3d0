"""Grids: the pictures of every combination of values along up to three axes, and the labelled sheet of them.

Source: AUTOMATIC1111/stable-diffusion-webui 1.10.1, ``scripts/xyz_grid.py`` (axes, "Prompt S/R") and ``scripts/prompt_matrix.py`` (a prompt
of parts, of which every selection is drawn).
"""

import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sdrt.batch.jobs import Job, seed_of, with_subseed
from sdrt.batch.values import OPTION_NAMES, PROMPTS, files_of, from_text, read_value
from sdrt.errors import ConfigError
from sdrt.images.labelled_grid import labelled_grid
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.printable import shown

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

__all__ = ["Axis", "Grid", "parse_axis", "plan_grid"]

# The axis that replaces a text of the prompt, and what such an axis of the prompt's own stands for: no prompt holds a NUL.
_REPLACE = "replace"
_MARK = "\0{}\0"
# A cell is one picture.
_NOT_AXES = ("num_images",)


@dataclass(frozen=True)
class Axis:
    """The values of one option, or of a text in the prompt, along one side of a grid.

    Parameters
    ----------
    name : str
        An option, a prompt, or ``replace``: the first value is searched in prompt and negative prompt, and each takes its place.
    values : tuple
    labels : tuple of str
    search : str
        The text that ``replace`` searches.
    """

    name: str
    values: tuple[Any, ...]
    labels: tuple[str, ...]
    search: str = field(default="", kw_only=True)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The jobs of a grid, in the order of its sheet: row by row, sheet by sheet.

    Parameters
    ----------
    jobs : tuple of Job
    columns, rows, sheets : tuples of str
        The labels along x, y and z.
    title : str
        The prompt as it was written.
    seed : int
        That of each picture which no axis gives another.
    """

    jobs: tuple[Job, ...]
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    sheets: tuple[str, ...]
    title: str
    seed: int

    def sheet(self, images: "Sequence[Image]", limits: Limits = DEFAULT_LIMITS) -> "Image":
        """Arrange the pictures of the jobs in one labelled picture; along z, in one sheet beside the other.

        Raises
        ------
        ImageError : another number of pictures than of jobs, or a sheet above the limit
        """
        size = len(self.columns) * len(self.rows)
        if len(self.sheets) == 1 and not self.sheets[0]:
            return labelled_grid(images, self.rows, self.columns, limits)
        parts = [images[start : start + size] for start in range(0, max(len(images), 1), size)]
        return labelled_grid([labelled_grid(part, self.rows, self.columns, limits) for part in parts], ("",), self.sheets, limits)


def parse_axis(text: str) -> Axis:
    """Return the axis that a text means: ``NAME=VALUE,VALUE,...``; quotes keep a comma inside a value.

    Parameters
    ----------
    text : str
        The name is that of an option of ``generate``, ``prompt``, ``negative_prompt``, or ``replace``.

    Raises
    ------
    ConfigError : no such option, no values, or a value of another kind

    >>> parse_axis("guidance_scale=3,5.5").labels
    ('guidance_scale: 3', 'guidance_scale: 5.5')
    """
    name, equals, listed = text.partition("=")
    name = name.strip().removeprefix("--").replace("-", "_")
    known = [*PROMPTS, _REPLACE, *(each for each in OPTION_NAMES if each not in _NOT_AXES)]
    if not equals or name not in known:
        raise ConfigError(
            f"an axis must be NAME=VALUE,VALUE,... with an option as its name, got {shown(text)}; the names are {', '.join(known)}"
        )
    try:
        texts = [each.strip() for each in next(csv.reader([listed], skipinitialspace=True), [])]
    except csv.Error as error:
        raise ConfigError(f"an axis must have values with commas between them, got {shown(text)} ({error}); correct it") from None
    if not texts or (name != "negative_prompt" and "" in texts[: 1 if name == _REPLACE else None]):
        raise ConfigError(f"an axis must have values, got {shown(text)}; write {name}=VALUE,VALUE")
    if name == _REPLACE:
        return Axis(name, tuple(texts), tuple(texts), search=texts[0])
    values = tuple(read_value(f"the axis {name}", name, from_text(name, each)) for each in texts)
    return Axis(name, values, tuple(each if name in PROMPTS else f"{name}: {each}" for each in texts))


def plan_grid(
    prompt: str,
    options: Mapping[str, Any],
    axes: Sequence[Axis | None] = (),
    *,
    matrix: bool = False,
    folder: "Path",
    limits: Limits = DEFAULT_LIMITS,
) -> Grid:
    """Return the jobs of every combination of the axes' values.

    Parameters
    ----------
    prompt : str
        ``{red|blue}`` in it is an axis of its own, the first that is free.
    options : mapping
        What all pictures share, as `sdrt.batch.values.read_value` returns it, ``negative_prompt`` too.
    axes : sequence of up to three Axis or None
        x (the columns), y (the rows) and z (sheets).
    matrix : bool
        Whether the prompt is parts, ``first|second|third``: the first is always there, and every selection of the others is drawn.
    folder : Path
        Where relative paths of pictures begin.
    limits : Limits
        ``images`` bounds the pictures of the grid.

    Raises
    ------
    ConfigError : more axes than three, an axis that has no effect, or ``num_images``
    """
    if options.get("num_images", 1) != 1:
        raise ConfigError(f"num_images must be 1 for a grid, whose cells are a picture each, got {options['num_images']}; leave it out")
    if several := [
        name for name in ("seed", "negative_prompt", "prompt_2", "negative_prompt_2") if isinstance(options.get(name), list | tuple)
    ]:
        raise ConfigError(f"{several[0]} must be one for a grid, got a list; make it an axis")
    template, own = _matrix(prompt) if matrix else _alternatives(prompt)
    sides = _placed([*axes, *[None] * (3 - len(axes))], own)
    counts = [len(side.values) for side in sides]
    limits.check("images", "the pictures of a grid", counts[0] * counts[1] * counts[2])
    shared = {"seed": -1, "negative_prompt": "", **options}
    said = json.dumps([prompt, shared], sort_keys=True, default=str)
    if shared["seed"] == -1:
        shared["seed"] = seed_of(said)
    texts = [template, prompt, shared["negative_prompt"], *(text for side in sides if side.name in PROMPTS for text in side.values)]
    for side in sides:
        if side.name == _REPLACE and not any(side.search in text for text in texts):
            raise ConfigError(f"the axis replace must begin with a text of the prompt, got {shown(side.search)}; correct it")
    jobs = []
    # x runs fastest
    for number, (z, y, x) in enumerate(itertools.product(*(range(count) for count in reversed(counts))), 1):
        cell = {"prompt": template, **shared}
        # what is replaced in a prompt is replaced in those of an axis too
        for side, k in sorted(zip(sides, (x, y, z), strict=True), key=lambda pair: pair[0].name == _REPLACE):
            cell = dict(_changed(cell, side, k))
        files = files_of(cell, folder)
        kept = with_subseed({name: value for name, value in cell.items() if name in OPTION_NAMES and name not in files}, said)
        name = f"{number:03} {cell['prompt']}"[:200]
        jobs.append(Job(number, cell["prompt"], cell["negative_prompt"], kept, files, name, f"cell {number}"))
    labels = [side.labels for side in sides]
    return Grid(jobs=tuple(jobs), columns=labels[0], rows=labels[1], sheets=labels[2], title=prompt, seed=shared["seed"])


def _changed(cell: Mapping[str, Any], side: Axis, index: int) -> Iterator[tuple[str, Any]]:
    """Yield what a call says at one place of an axis."""
    for name, value in cell.items():
        replaces = side.name == _REPLACE and name in PROMPTS
        yield name, value.replace(side.search, side.values[index]) if replaces else value
    if side.name not in ("", _REPLACE):
        yield side.name, side.values[index]


def _placed(sides: Sequence[Axis | None], own: Iterable[Axis]) -> list[Axis]:
    """Put the axes of the prompt onto the first sides that are free."""
    left = list(own)
    if left and any(side is not None and side.name == "prompt" for side in sides):
        raise ConfigError("the prompt must be an axis or hold alternatives, got both; write the alternatives as values of the axis")
    placed = [side or (left.pop(0) if left else Axis("", (None,), ("",))) for side in sides]
    if left or len(placed) > 3:
        raise ConfigError(f"a grid must have at most 3 axes, got {len(placed) + len(left)}; leave some out")
    for name in {side.name for side in placed} - {"", _REPLACE}:
        if sum(side.name == name for side in placed) > 1:
            raise ConfigError(f"the axes of a grid must have different names, got {name} twice; put all values on one")
    return placed


def _alternatives(prompt: str) -> tuple[str, list[Axis]]:
    """Return a prompt with a mark for each ``{one|other}``, and the axes that replace them."""
    axes: list[Axis] = []

    def mark(found: re.Match[str]) -> str:
        values = tuple(each.strip() for each in found[1].split("|"))
        axes.append(Axis(_REPLACE, values, values, search=_MARK.format(len(axes))))
        return axes[-1].search

    return re.sub(r"\{([^{}]*\|[^{}]*)\}", mark, prompt), axes


def _matrix(prompt: str) -> tuple[str, list[Axis]]:
    """Return the first part with two marks, and the axes that replace them by each selection of the other parts."""
    first, *parts = prompt.strip().split("|")
    if not parts:
        raise ConfigError(f"the prompt of a matrix must have parts, as 'first|second|third', got {shown(prompt)}; write some")
    parts = [part.strip().strip(",") for part in parts]
    half = (len(parts) + 1) // 2
    axes = []
    for place, some in enumerate((parts[:half], parts[half:])):
        chosen = [[part for k, part in enumerate(some) if number >> k & 1] for number in range(2 ** len(some))]
        values = tuple("".join(f", {part}" for part in each) for each in chosen)
        labels = tuple(", ".join(each) or ("(none)" if some else "") for each in chosen)
        axes.append(Axis(_REPLACE, values, labels, search=_MARK.format(place)))
    return first + "".join(axis.search for axis in axes), axes
