"""``sdrt compare``: two backends, models or recordings side by side, and where their runs part."""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrt.cli.console import say, tell
from sdrt.cli.downloads import Downloads
from sdrt.cli.json_output import say_json
from sdrt.cli.opening import CHOICES
from sdrt.cli.options import add_options, fold, input_files, parse_options
from sdrt.cli.paths import a_path
from sdrt.cli.prompts import prompt_text
from sdrt.errors import ConfigError
from sdrt.pipeline.input_files import open_inputs

if TYPE_CHECKING:
    from sdrt.compare import Comparison

__all__ = ["CompareCommand", "add_command"]

# What either side is opened with: name, type, help.
_OF_A_SIDE: dict[str, tuple[Any, str]] = {
    "backend": (str, "a name that 'sdrt backends' lists"),
    "numerics": (str, "float32, float64 or exact"),
    "dtype": (str, "torch's and OpenVINO's precision: float32, bfloat16 or float16"),
    "device": (str, "torch's device: cpu, cuda or mps"),
    "compute_unit": (str, "what Core ML may use: ALL, CPU_ONLY, CPU_AND_GPU or CPU_AND_NE"),
    "precision": (str, "precision of Core ML packages where Core ML is missing: float32 or float16"),
}
_TOLERANCES = {
    "latents": "of latents, each side going its own way",
    "network": "of one network call from the same inputs",
    "scheduler": "of one step of the scheduler",
    "layer": "of one module from the same values",
}


@dataclass(frozen=True, kw_only=True)
class CompareCommand:
    """One ``sdrt compare``, parsed.

    Parameters
    ----------
    sides : pair of str
        Backends, models or recordings.
    openings : pair of dict
        How to open each.
    model : str or None
        What backends run.
    call : dict
        What goes to `sdrt.compare.compare`.
    pictures : dict
        Files of pictures and arrays, which go there once they are opened.
    json, quiet : bool
    html : Path or None
    fail_below : float or None
        dB.
    """

    sides: tuple[str, str]
    openings: tuple[dict[str, Any], dict[str, Any]]
    model: str | None
    call: dict[str, Any]
    pictures: dict[str, tuple[Path, ...]]
    json: bool
    html: Path | None
    fail_below: float | None
    quiet: bool


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``compare`` to the command line."""
    command = commands.add_parser(
        "compare",
        help="draw one picture with two backends, models or recordings, and say where they part",
        usage="sdrt compare A B --prompt TEXT --seed N [options]\n       sdrt compare RUN.sdrt B [options]",
        description="Draw one picture with two sides, and say how far they are apart and where they part. A side is the name of a backend, "
        "a model, or a recording, whose call both then make. docs/compare.md describes the JSON.",
        epilog='example: sdrt compare numpy torch --prompt "a red circle" --seed 93 --layers --html page.html',
    )
    command.add_argument("a", metavar="A", help="the baseline")
    command.add_argument("b", metavar="B", help="what is held against it")
    command.add_argument("--prompt", type=prompt_text, metavar="TEXT", help="what to draw")
    command.add_argument("--negative-prompt", type=prompt_text, metavar="TEXT", help="what to steer away from")
    command.add_argument("--teacher-forced", action="store_true", help="make each call of A again with B's networks, from A's inputs")
    command.add_argument("--layers", action="store_true", help="compare modules too, each from the other side's values")
    command.add_argument("--truth", action="store_true", help="hold both sides against the numpy backend in float64")
    command.add_argument("--json", action="store_true", help="print JSON in place of the table")
    command.add_argument("--html", type=a_path, metavar="FILE", help="write a page with plots and pictures, which opens without a network")
    command.add_argument(
        "--fail-below", type=float, metavar="DB", help="end with status 1 where a picture's PSNR is lower (latents', without pictures)"
    )
    command.add_argument("-q", "--quiet", action="store_true", help="say nothing of what is being done")
    group = command.add_argument_group("the two sides")
    group.add_argument("--model", help="what sides that are backends run (default: the other side's model, or nano)")
    for name, (kind, text) in _OF_A_SIDE.items():
        for letter in "ab":
            flag = f"--{name.replace('_', '-')}-{letter}"
            group.add_argument(flag, dest=f"{name}_{letter}", type=kind, metavar="NAME", help=text if letter == "a" else "the same for B")
    group.add_argument("--threads", type=int, metavar="N", help="use at most this many threads (default: all cores)")
    tolerances = command.add_argument_group("tolerances, each a largest difference over a largest value (default: by both precisions)")
    for name, text in _TOLERANCES.items():
        tolerances.add_argument(f"--{name}-tolerance", type=float, metavar="X", help=text)
    add_options(command)
    command.set_defaults(run=lambda arguments: run(parse(arguments)))


def parse(arguments: argparse.Namespace) -> CompareCommand:
    """Return the command that the arguments mean.

    Raises
    ------
    ConfigError : a bound that is no number, or a page that cannot be one
    """
    # said before minutes of comparing; and a recording or picture that is named by mistake is kept
    if arguments.html is not None and (arguments.html.suffix.lower() not in (".html", ".htm") or arguments.html.is_dir()):
        raise ConfigError(f"--html must be the page's file, got {arguments.html}; write --html page.html")
    if arguments.html is not None and not arguments.html.parent.is_dir():
        raise ConfigError(f"--html {arguments.html}: cannot be written (no such folder); choose another place")
    if arguments.fail_below is not None and math.isnan(arguments.fail_below):
        raise ConfigError("--fail-below must be a number of dB, got nan; write one such as 60")
    openings = tuple(_opening(arguments, letter) for letter in "ab")
    given = {name: getattr(arguments, name) for name in ("prompt", "negative_prompt")}
    given |= {f"{name}_tolerance": getattr(arguments, f"{name}_tolerance") for name in _TOLERANCES}
    call = {name: value for name, value in given.items() if value is not None} | parse_options(arguments)
    call |= {name: getattr(arguments, name) for name in ("teacher_forced", "layers", "truth")}
    return CompareCommand(
        sides=(arguments.a, arguments.b),
        openings=(openings[0], openings[1]),
        model=arguments.model,
        call=call,
        pictures=input_files(arguments),
        json=arguments.json,
        html=arguments.html,
        fail_below=arguments.fail_below,
        quiet=arguments.quiet,
    )


def _opening(arguments: argparse.Namespace, letter: str) -> dict[str, Any]:
    given = {name: getattr(arguments, f"{name}_{letter}") for name in _OF_A_SIDE} | {"threads": arguments.threads}
    if given["compute_unit"] is not None:
        given["compute_unit"] = given["compute_unit"].upper()
    return {name: fold(value, CHOICES[name]) if name in CHOICES else value for name, value in given.items() if value is not None}


def run(command: CompareCommand) -> None:
    """Compare, and print the table or the JSON.

    Raises
    ------
    SystemExit : with status 1, where the sides are further apart than allowed
    """
    from sdrt.compare import compare
    from sdrt.compare.sides import open_sides

    report = None if command.quiet else lambda stage: tell(f"sdrt: {stage}")
    with Downloads(quiet=command.quiet) as downloads:
        a, b = open_sides(*command.sides, command.model, command.openings, downloads)
    comparison = compare(a, b, on_stage=report, **open_inputs(command.pictures), **command.call)
    if command.html is not None:
        comparison.to_html(command.html)
    if command.json:
        say_json(comparison.to_json())
    else:
        say(*str(comparison).splitlines())
    _judge(comparison, command.fail_below)


def _judge(comparison: "Comparison", fail_below: float | None) -> None:
    if fail_below is not None and not comparison.psnr >= fail_below:
        what = "pictures" if comparison.pixels else "latents"
        tell(f"sdrt: {what} must be at least {fail_below:g} dB alike, got {comparison.psnr:.1f} dB")
        raise SystemExit(1)
