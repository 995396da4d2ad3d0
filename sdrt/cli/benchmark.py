"""``sdrt benchmark``: how long a picture takes here, per model, backend and compute unit."""

import argparse
import dataclasses
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrt.cli import signals
from sdrt.cli.console import say
from sdrt.cli.downloads import Downloads
from sdrt.cli.json_output import say_json
from sdrt.cli.options import fold
from sdrt.cli.paths import a_path
from sdrt.cli.progress import Bar
from sdrt.cli.prompts import prompt_text
from sdrt.errors import ConfigError, ImageError
from sdrt.printable import printable, shown

if TYPE_CHECKING:
    from sdrt.benchmarking import Candidate, Measurement, Workload

__all__ = ["BenchmarkCommand", "add_command"]

# What --json is without a file.
_STANDARD_OUTPUT = Path("-")

_HEADS = ("model", "backend", "compute unit", "attention", "size", "image", "step", "load", "peak memory")


@dataclass(frozen=True, kw_only=True)
class BenchmarkCommand:
    """One ``sdrt benchmark``, parsed; ``json`` is a file, ``-`` for standard output, or None."""

    models: tuple[str, ...]
    backends: tuple[str, ...]
    compute_units: tuple[str, ...]
    workload: "Workload"
    options: dict[str, Any]
    json: Path | None
    quiet: bool


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``benchmark`` to the command line."""
    command = commands.add_parser(
        "benchmark",
        help="time whole pictures, per model, backend and compute unit",
        description="Time whole pictures, from prompt to pixels: the median of several after a warm-up; loading is timed apart.",
        epilog="example: sdrt benchmark --model sd15 sd15-coreml --backend numpy,torch,coreml --json here.json",
    )
    command.add_argument(
        "--model", nargs="+", default=["nano"], metavar="MODEL", help="folders, files, names, or repositories of the Hub (default: nano)"
    )
    command.add_argument("--backend", default="numpy", metavar="NAME,...", help="names that 'sdrt backends' lists (default: numpy)")
    command.add_argument(
        "--compute-unit",
        default="",
        metavar="UNIT,...",
        help="for Core ML: ALL, CPU_ONLY, CPU_AND_GPU, CPU_AND_NE (default: the backend's own)",
    )
    command.add_argument("--steps", type=int, default=50, metavar="N", help="denoising steps of each picture (default: 50)")
    command.add_argument("--repeats", type=int, default=3, metavar="N", help="pictures to time after the warm-up (default: 3)")
    command.add_argument("--size", metavar="WIDTHxHEIGHT", help="pixels (default: the model's own)")
    command.add_argument("--scheduler", metavar="NAME", help="a name that 'sdrt schedulers' lists (default: the model's own)")
    command.add_argument("--prompt", type=prompt_text, metavar="TEXT", help="what to draw (default: an astronaut on a horse)")
    command.add_argument("--seed", type=int, default=93, metavar="N", help="seed of each picture (default: 93)")
    command.add_argument("--threads", type=int, metavar="N", help="use at most this many threads (default: all cores)")
    command.add_argument("--dtype", metavar="NAME", help="the torch backend's precision: float32, bfloat16 or float16")
    command.add_argument("--reduce-memory", action="store_true", default=None, help="hold one network in memory at a time")
    command.add_argument(
        "--json",
        nargs="?",
        type=a_path,
        const=_STANDARD_OUTPUT,
        metavar="FILE",
        help="write all figures to this file, with the machine and its versions; without a file print them as JSON in place of the table",
    )
    command.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="print no progress bar and no remarks; there is no bar where standard error is no terminal",
    )
    command.set_defaults(run=lambda arguments: run(parse(arguments)))


def parse(arguments: argparse.Namespace) -> BenchmarkCommand:
    """Return the command that the arguments mean.

    Raises
    ------
    ConfigError : arguments that cannot be read
    """
    from sdrt.benchmarking import Workload
    from sdrt.models.coreml.names import COMPUTE_UNITS

    units = tuple(fold(unit, COMPUTE_UNITS) for unit in _names("--compute-unit", arguments.compute_unit))
    if unknown := [unit for unit in units if unit not in COMPUTE_UNITS]:
        raise ConfigError(f"--compute-unit must be one or more of {', '.join(COMPUTE_UNITS)}, got {', '.join(unknown)}; choose from those")
    backends = _names("--backend", arguments.backend)
    if not backends:
        raise ConfigError("--backend must be one or more names, got none; choose from those that 'sdrt backends' lists")
    width, height = _parse_size(arguments.size) if arguments.size is not None else (None, None)
    given: dict[str, Any] = {} if arguments.prompt is None else {"prompt": arguments.prompt}
    options = {name: getattr(arguments, name) for name in ("threads", "dtype", "reduce_memory")}
    return BenchmarkCommand(
        models=tuple(arguments.model),
        backends=backends,
        compute_units=units,
        workload=Workload(
            seed=arguments.seed,
            steps=arguments.steps,
            repeats=arguments.repeats,
            width=width,
            height=height,
            scheduler=arguments.scheduler,
            **given,
        ),
        options={name: value for name, value in options.items() if value is not None},
        json=arguments.json,
        quiet=arguments.quiet,
    )


def run(command: BenchmarkCommand) -> None:
    """Measure, then print one table or JSON; the JSON file holds what is known after each candidate.

    Raises
    ------
    ConfigError : nothing could be measured, with the first reason; or the JSON file cannot be written
    """
    from sdrt.benchmarking import candidates, measure

    file = None if command.json == _STANDARD_OUTPUT else command.json
    if file is not None:
        _check(file)
    chosen = candidates(command.models, command.backends, command.compute_units, command.options)
    found: list[Measurement] = []
    bars = _Bars(shown=not command.quiet)
    try:
        with Downloads(quiet=command.quiet) as downloads:
            for measurement in measure(chosen, command.workload, on_step=bars, on_download=downloads):
                found.append(measurement)
                if file is not None:
                    with signals.deferred():
                        _write(file, command.workload, found)
    finally:
        bars.close()
    if all(measurement.skipped for measurement in found):
        raise ConfigError(f"nothing could be measured: {found[0].skipped}")
    if command.json == _STANDARD_OUTPUT:
        say_json(_figures(command.workload, found))
    else:
        say(*_table(found))


def _table(found: "Sequence[Measurement]") -> list[str]:
    rows = [_HEADS, *(_cells(measurement) for measurement in found if not measurement.skipped)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, *(f"{_name(each.candidate)}: not measured: {each.skipped}" for each in found if each.skipped)]


def _cells(measurement: "Measurement") -> tuple[str, ...]:
    candidate, memory = measurement.candidate, measurement.peak_memory_mib
    return (
        printable(Path(candidate.model).name),
        candidate.backend,
        candidate.compute_unit or "-",
        measurement.attention or "-",
        f"{measurement.width}x{measurement.height}",
        f"{measurement.image_seconds:.3g} s",
        f"{measurement.step_seconds:.3g} s",
        f"{measurement.load_seconds:.3g} s",
        "-" if memory is None else f"{memory:.0f} MiB",
    )


def _name(candidate: "Candidate") -> str:
    unit = "" if candidate.compute_unit is None else f", {candidate.compute_unit}"
    return f"{Path(candidate.model).name} on {candidate.backend}{unit}"


def _figures(workload: "Workload", found: "Sequence[Measurement]") -> dict[str, Any]:
    """Return what is known so far, as JSON has it."""
    from sdrt.benchmarking import machine

    return {
        "benchmark": "sdrt benchmark",
        "machine": machine(),
        "workload": dataclasses.asdict(workload),
        "results": [dataclasses.asdict(measurement) for measurement in found],
    }


def _write(file: Path, workload: "Workload", found: "Sequence[Measurement]") -> None:
    """Write the file whole or not at all."""
    temporary = file.with_name(f".{file.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        try:
            temporary.write_text(json.dumps(_figures(workload, found), indent=2) + "\n", encoding="utf-8")
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"--json {file}: cannot be written ({error.strerror}); choose another place") from error


def _check(file: Path) -> None:
    """Find out whether the file can be written before anything is measured."""
    from sdrt.images.files import check_file

    if not os.path.isdir(file.parent):  # noqa: PTH112 -- it is False for a name that cannot be, where Path raises
        raise ConfigError(f"--json {file}: cannot be written (no such folder); choose another place")
    try:
        check_file(file)
    except ImageError as error:
        raise ConfigError(f"--json {error}") from None


class _Bars:
    """A bar for each candidate."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._candidate: Candidate | None = None
        self._bar: Bar | None = None

    def __call__(self, candidate: "Candidate", done: int, total: int) -> None:
        """Show how far a candidate is."""
        if self._bar is None or candidate is not self._candidate:
            self.close()
            self._candidate, self._bar = candidate, Bar(_name(candidate), shown=self._shown)
        self._bar(done, total)

    def close(self) -> None:
        """End the last bar."""
        if self._bar is not None:
            self._bar.close()


def _names(flag: str, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text else ()
    if "" in names:
        raise ConfigError(f"{flag} must be names separated by commas, got {shown(text)}; leave no name empty")
    return names


def _parse_size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    # a number of thousands of digits is none for Python
    if not all(side.isdecimal() and len(side) < 10 for side in (width, height)):
        raise ConfigError(f"--size must be WIDTHxHEIGHT in pixels, got {shown(text)}; write it like 512x768")
    return int(width), int(height)
