"""``sdrt inspect``: the settings inside a picture."""

import argparse
import json
from pathlib import Path

from sdrt.errors import ImageError

__all__ = ["add_command"]


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``inspect`` to the command line."""
    command = commands.add_parser("inspect", help="show the settings inside a picture", description="Show the settings that a PNG carries.")
    command.add_argument("file", type=Path, metavar="IMAGE", help="a PNG, of sdrt or of another tool that writes 'parameters'")
    command.add_argument("--json", action="store_true", help="the settings as JSON (pictures of sdrt only)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print what is there.

    Raises
    ------
    ImageError : no PNG, or one without settings
    """
    from sdrt.image import read_text

    file: Path = arguments.file
    text = read_text(file)
    if arguments.json:
        if "sdrt" not in text:
            raise ImageError(f"{file}: was not made by sdrt; leave --json out to see what other tools wrote")
        print(text["sdrt"])
    elif "sdrt" in text:
        try:
            settings = json.loads(text["sdrt"])
        except ValueError as error:
            raise ImageError(f"{file}: its settings are damaged ({error})") from error
        width = max(map(len, settings))
        for key, value in settings.items():
            print(f"{key:{width}}  {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    elif text:
        for key, value in text.items():
            print(f"{key}:\n{value}")
    else:
        raise ImageError(f"{file}: carries no settings; they are lost when a picture is re-saved by a tool that drops PNG text")
