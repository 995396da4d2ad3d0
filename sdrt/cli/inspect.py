"""``sdrt inspect``: the settings inside a picture, or what a Core ML package holds."""

import argparse
import dataclasses
import json
from pathlib import Path

from sdrt.errors import ImageError

__all__ = ["add_command"]

_PACKAGES = (".mlpackage", ".mlmodelc", ".mlmodel")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``inspect`` to the command line."""
    command = commands.add_parser(
        "inspect",
        help="show the settings inside a picture, or a Core ML package",
        description="Show the settings that a PNG carries, or inputs, outputs, operations, precision and size of a Core ML package.",
    )
    command.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="a PNG, of sdrt or of another tool that writes 'parameters'; or a .mlpackage, .mlmodelc or .mlmodel",
    )
    command.add_argument("--json", action="store_true", help="the same as JSON (pictures of sdrt, and packages)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print what is there.

    Raises
    ------
    ImageError : no PNG, or one without settings
    ModelError : a damaged package
    """
    from sdrt.images.png import read_text

    file: Path = arguments.file
    if file.suffix in _PACKAGES:
        print(_package(file, as_json=arguments.json))
        return
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


def _package(file: Path, *, as_json: bool) -> str:
    """What a Core ML package holds, as text or JSON."""
    from sdrt.backends.coreml import describe

    found = describe(file)
    if as_json:
        return json.dumps(dataclasses.asdict(found), indent=2, ensure_ascii=False)
    lines = [f"{found.path}: {found.form}, specification {found.specification}" + (f" ({found.deployment})" if found.deployment else "")]
    lines.append(f"size         {found.size_bytes / 1e6:.1f} MB")
    for title, features in (("input", found.inputs), ("output", found.outputs)):
        lines += [f"{title:12} {each.name} {each.dtype or each.kind}{each.shapes_text()}" for each in features]
    for function in found.functions:
        lines.append(f"function     {function.name}, {function.opset}, model {function.model}: {function.precision}")
        lines += [f"compression  {kind}: {count} weights" for kind, count in function.compression.items()]
        lines.append(f"operations   {', '.join(f'{name} {count}' for name, count in function.operations.items())}")
    lines += [f"{key:12} {value}" for key, value in {**found.metadata, **found.user_defined}.items()]
    return "\n".join(lines)
