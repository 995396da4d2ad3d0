"""``sdrt record``: pictures as ``sdrt generate`` draws them, with everything that happened in one file."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.cli.console import say
from sdrt.cli.generate import GenerateCommand, add_drawing, draw, parse_drawing
from sdrt.cli.output import Output
from sdrt.cli.paths import a_path
from sdrt.errors import ConfigError

if TYPE_CHECKING:
    from sdrt.recordings import Keep

__all__ = ["RecordCommand", "add_command"]

_ABOUT = (
    "Draw pictures, and write every network call, step, noise draw, token and setting of the runs into one file, which 'sdrt replay' "
    "draws again and 'sdrt compare' compares. docs/recordings.md describes the file."
)


@dataclass(frozen=True, kw_only=True)
class RecordCommand:
    """One ``sdrt record``, parsed.

    Parameters
    ----------
    drawing : GenerateCommand
    file : Path
        Of the recording.
    keep : "all", "outputs" or "hashes"
    """

    drawing: GenerateCommand
    file: Path
    keep: "Keep"


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``record`` to the command line."""
    command = commands.add_parser(
        "record",
        help="draw pictures, and record everything that happens",
        usage="sdrt record PROMPT -o FILE [options]\n       sdrt record --from PICTURE.png -o FILE [options]",
        description=_ABOUT,
        epilog='example: sdrt record "a red circle" --backend torch -o run.sdrt',
    )
    command.add_argument("-o", "--output", dest="file", type=a_path, required=True, metavar="FILE", help="the recording, such as run.sdrt")
    command.add_argument(
        "--keep",
        choices=("all", "outputs", "hashes"),
        default="all",
        help="which arrays to keep: all; all but the inputs of networks; or none, their SHA-256 alone (default: all)",
    )
    command.add_argument(
        "--picture",
        dest="output",
        type=a_path,
        metavar="PATH",
        help="write the pictures too: a folder, or a picture's file",
    )
    command.add_argument("--format", metavar="{png,jpeg,webp}", help="of the files in a folder (default: png)")
    command.add_argument("--quality", type=int, metavar="N", help="of JPEG and WebP, 1 to 100 (default: 95)")
    add_drawing(command)
    command.set_defaults(run=lambda arguments: run(parse(arguments)), kept="the recording has what was finished")


def parse(arguments: argparse.Namespace) -> RecordCommand:
    """Return the command that the arguments mean.

    Raises
    ------
    ConfigError : as ``sdrt generate``, or the name of a picture for the recording
    """
    from sdrt.images.saving import format_of

    if format_of(arguments.file) is not None or arguments.file.is_dir():
        raise ConfigError(f"-o must be the recording's file, got {arguments.file}; write -o run.sdrt, and --picture for pictures")
    if arguments.output is None and (arguments.format or arguments.quality):
        raise ConfigError("--format and --quality must come with --picture, got them without; add --picture FOLDER")
    place = None if arguments.output is None else Output.parse
    return RecordCommand(drawing=parse_drawing(arguments, place), file=arguments.file, keep=arguments.keep)


def run(command: RecordCommand) -> None:
    """Draw and record.

    Raises
    ------
    RecordingError : the file cannot be written
    """
    from sdrt.compare import record

    draw(command.drawing, lambda pipe: record(command.file, pipe, keep=command.keep))
    if not command.drawing.quiet:
        say(str(command.file))
