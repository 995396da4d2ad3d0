"""``sdrt grid``: a picture for every combination of values, and one labelled sheet of them."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.cli import signals
from sdrt.cli.batch import add_shared, defaults_of, draw_all
from sdrt.cli.console import say
from sdrt.cli.opening import ModelChoice, open_pipeline, parse_choice
from sdrt.cli.output import Output
from sdrt.cli.prompts import prompt_text
from sdrt.errors import ConfigError

if TYPE_CHECKING:
    from sdrt.batch import Grid

__all__ = ["GridCommand", "add_command"]

_ABOUT = (
    "Draw a picture for every combination of values along up to three axes: x (columns), y (rows) and z (sheets side by side). An axis is "
    "an option by its name, prompt or negative_prompt; or replace=WORD,OTHER,..., which searches the first value in the prompts and puts "
    "each in its place. {red|blue} in the prompt is an axis too. All pictures share one seed, unless it is an axis. Each is a file of its "
    "own with its record, and a labelled sheet shows them all. Pictures that the folder already has are not drawn again."
)


@dataclass(frozen=True, kw_only=True)
class GridCommand:
    """One ``sdrt grid``, parsed.

    Parameters
    ----------
    grid : Grid
    output : Output
    choice : ModelChoice
    quiet : bool
    """

    grid: "Grid"
    output: Output
    choice: ModelChoice
    quiet: bool


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``grid`` to the command line."""
    command = commands.add_parser(
        "grid",
        help="draw every combination of values, and a labelled sheet of them",
        usage="sdrt grid PROMPT [--x NAME=VALUE,...] [--y ...] [--z ...] [options]\n       sdrt grid 'FIRST|SECOND|...' --matrix [options]",
        description=_ABOUT,
        epilog='example: sdrt grid "a {red|blue} circle" --y guidance_scale=3,5 --z scheduler=euler,ddim -o grid/',
    )
    command.add_argument("prompt", type=prompt_text, metavar="PROMPT", help="what to draw")
    for side, what in (("x", "the columns"), ("y", "the rows"), ("z", "sheets, side by side")):
        command.add_argument(f"--{side}", type=prompt_text, metavar="NAME=VALUE,...", help=f"{what}; quotes keep a comma inside a value")
    command.add_argument(
        "--matrix",
        action="store_true",
        help="the prompt is parts with '|' between them: the first is always there, and every selection of the others is drawn",
    )
    add_shared(command)
    command.set_defaults(run=lambda arguments: run(parse(arguments)))


def parse(arguments: argparse.Namespace) -> GridCommand:
    """Return the command that the arguments mean.

    Raises
    ------
    ConfigError : no axis or too many, one that cannot be read, or a place where no pictures go
    """
    from sdrt.batch import parse_axis, plan_grid

    sides = [None if text is None else parse_axis(text) for text in (arguments.x, arguments.y, arguments.z)]
    grid = plan_grid(arguments.prompt, defaults_of(arguments), sides, matrix=arguments.matrix, folder=Path())
    if len(grid.jobs) == 1:
        raise ConfigError("a grid must have an axis of two values, got none; pass --x, or write {one|other} in the prompt")
    return GridCommand(grid=grid, output=Output.parse_folder(arguments), choice=parse_choice(arguments), quiet=arguments.quiet)


def run(command: GridCommand) -> None:
    """Draw what is missing, and write the sheet.

    Raises
    ------
    ConfigError : a picture cannot be drawn, or is being drawn by another process
    """
    from sdrt.images import open_picture, picture_name, save_new_picture

    grid, output = command.grid, command.output
    with output.opened():
        with open_pipeline(command.choice, quiet=command.quiet) as pipe:
            outcomes = draw_all(pipe, grid.jobs, output, stop=False, quiet=command.quiet, what="pictures")
        if beside := sum(outcome.state == "elsewhere" for outcome in outcomes):
            raise ConfigError(f"a sheet must have all its pictures, got {beside} that another process draws; run it again after that")
        sheet = grid.sheet([open_picture(file) for outcome in outcomes for file in outcome.files])
        text = {"parameters": f"{grid.title}\n{_axes(grid)}"}
        with signals.deferred():
            name = picture_name(f"grid of {grid.title}", grid.seed, output.kind)
            file = save_new_picture(sheet, output.path / name, text, quality=output.quality)
            if not command.quiet:
                say(str(file))


def _axes(grid: "Grid") -> str:
    sides = {"x": grid.columns, "y": grid.rows, "z": grid.sheets}
    return "; ".join(f"{side}: {', '.join(labels)}" for side, labels in sides.items() if any(labels))
