"""``sdrt inspect``: the settings inside a picture, or what a recording, a Core ML package or a folder of them holds."""

import argparse
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdrt.cli.console import say
from sdrt.cli.json_output import json_lines
from sdrt.cli.package_summary import folder_lines, folder_summary, holds_packages
from sdrt.cli.paths import a_path
from sdrt.errors import ConfigError, ImageError
from sdrt.printable import printable

__all__ = ["add_command"]

_PACKAGES = (".mlpackage", ".mlmodelc", ".mlmodel")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``inspect`` to the command line."""
    command = commands.add_parser(
        "inspect",
        help="show the settings inside a picture, or what a recording or a Core ML package holds",
        description="Show the settings inside a picture; the runs of a recording, every byte of which is checked; or the inputs, outputs, "
        "operations, precision and size of a Core ML package; or what a folder of packages is, and what is assumed of it.",
    )
    command.add_argument(
        "file",
        type=a_path,
        metavar="FILE",
        help="a picture of sdrt, or of another tool that writes 'parameters'; a recording; a .mlpackage, .mlmodelc or .mlmodel, or a "
        "folder of them",
    )
    command.add_argument("--json", action="store_true", help="print JSON (pictures of sdrt, recordings and packages)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print what the file holds.

    Raises
    ------
    ConfigError : a folder of something else
    ImageError : no picture, or one without settings
    ModelError : a damaged package
    RecordingError : a damaged recording, after what is whole of it is printed
    """
    from sdrt.images import read_text
    from sdrt.recordings import is_recording
    from sdrt.records import read_record

    file: Path = arguments.file
    if file.suffix not in _PACKAGES and file.is_dir():
        if not holds_packages(file):
            raise ConfigError(f"{file}: must be a file, or a folder of Core ML packages, got a folder without any; pass one of those")
        say(*(json_lines(folder_summary(file), indent=2) if arguments.json else folder_lines(file)))
        return
    if file.suffix not in _PACKAGES and is_recording(file):
        _recording(file, as_json=arguments.json)
        return
    if file.suffix in _PACKAGES:
        say(*_package(file, as_json=arguments.json))
        return
    text = read_text(file)
    if "sdrt" in text or arguments.json:
        record = read_record(file)
        say(*(json_lines(record) if arguments.json else _table(record)))
    elif text:
        for key, value in text.items():
            say(f"{key}:", *value.splitlines())
    else:
        raise ImageError(f"{file}: must carry settings, got none; they are lost when a tool saves a picture without its text")


def _table(record: Mapping[str, Any]) -> list[str]:
    """Return a line for each setting in the order of ``Settings``, what a mapping holds indented below its name."""
    from sdrt.records import Settings

    known = list(Settings.__dataclass_fields__)
    rows: list[tuple[str, str]] = []
    for key in sorted(record, key=lambda key: known.index(key) if key in known else len(known)):
        value = record[key]
        rows.append((key, "" if isinstance(value, dict) and value else _plain(value)))
        if isinstance(value, dict):
            rows += [(f"  {name}", _plain(each)) for name, each in value.items()]
    rows = [(printable(key), value) for key, value in rows]
    width = max((len(key) for key, _ in rows), default=0)
    return [f"{key:{width}}  {value}".rstrip(" ") for key, value in rows]


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _recording(file: Path, *, as_json: bool) -> None:
    from sdrt.cli.recording_summary import summary, summary_lines
    from sdrt.recordings import Recording

    recording = Recording.open(file)
    say(*(json_lines(summary(recording)) if as_json else summary_lines(recording, file)))
    recording.verify()
    if not as_json:
        say("every byte is as it was written")


def _package(file: Path, *, as_json: bool) -> list[str]:
    """Return the lines of what a Core ML package holds, as text or JSON."""
    from sdrt.backends.coreml import describe

    found = describe(file)
    if as_json:
        return json_lines(dataclasses.asdict(found), indent=2)
    lines = [f"{found.path}: {found.form}, specification {found.specification}" + (f" ({found.deployment})" if found.deployment else "")]
    lines.append(f"size         {found.size_bytes / 1e6:.1f} MB")
    for title, features in (("input", found.inputs), ("output", found.outputs)):
        lines += [f"{title:12} {each.name} {each.dtype or each.kind}{each.shapes_text()}" for each in features]
    for function in found.functions:
        lines.append(f"function     {function.name}, {function.opset}, model {function.model}: {function.precision}")
        lines += [f"compression  {kind}: {count} weights" for kind, count in function.compression.items()]
        lines.append(f"operations   {', '.join(f'{name} {count}' for name, count in function.operations.items())}")
    return [*lines, *(f"{key:12} {value}" for key, value in {**found.metadata, **found.user_defined}.items())]
