"""``sdrt verify``: whether this machine computes the bytes that every machine should."""

import argparse
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdrt.cli.console import say, tell
from sdrt.cli.json_output import say_json
from sdrt.cli.progress import Bar

if TYPE_CHECKING:
    from sdrt.verification import Verification

__all__ = ["VerifyCommand", "add_command"]

_ABOUT = (
    "Compute functions, tokens, noise, schedulers, networks and pictures with numerics='exact', and compare each with the hash that every "
    "machine should have; docs/exact.md says what that proves. It takes one minute or less. The exit status is 1 where a hash departs."
)


@dataclass(frozen=True, kw_only=True)
class VerifyCommand:
    """One ``sdrt verify``, parsed."""

    json: bool
    threads: int | None
    quiet: bool


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``verify`` to the command line."""
    command = commands.add_parser(
        "verify",
        help="check that this machine computes the same bytes as every other",
        description=_ABOUT,
        epilog="example: sdrt verify --json > here.json",
    )
    command.add_argument("--json", action="store_true", help="print machine, versions, and each check's hash and verdict as JSON")
    command.add_argument("--threads", type=int, metavar="N", help="use at most this many threads (default: all cores)")
    command.add_argument("-q", "--quiet", action="store_true", help="print no progress bar")
    command.set_defaults(run=lambda arguments: run(VerifyCommand(json=arguments.json, threads=arguments.threads, quiet=arguments.quiet)))


def run(command: VerifyCommand) -> None:
    """Verify, print what came of it, and leave with status 1 where a hash departs.

    Raises
    ------
    ConfigError : fewer than one thread
    """
    from sdrt.benchmarking import machine
    from sdrt.values import Integer, Nullable
    from sdrt.verification import verify

    threads = Nullable(Integer(minimum=1)).check("--threads", command.threads)
    began = time.perf_counter()
    with Bar("verify", shown=not command.quiet) as bar:
        found = verify(threads, bar)
    if command.json:
        say_json({"machine": {**machine(), **_numpy()}, **found.to_dict()})
    else:
        say(*_lines(found), f"{len(found.outcomes)} checks in {time.perf_counter() - began:.0f} s, sha256 {found.sha256}")
    if (first := found.first_departure) is not None:
        tell(
            f"sdrt: this machine departs from the table, first in {first.section}, {first.name}, at {first.departs_at}; please report what "
            "'sdrt verify --json' prints"
        )
        sys.exit(1)


def _numpy() -> dict[str, object]:
    """Return what numpy computes with: its BLAS, and the instructions that it has found."""
    import numpy as np

    built: Any = np.show_config(mode="dicts")
    return {"blas": built["Build Dependencies"].get("blas", {}).get("name"), "simd": built.get("SIMD Extensions", {}).get("found", [])}


def _lines(found: "Verification") -> list[str]:
    """Return a line for each section, and one for each check that departs."""
    lines = []
    for section in dict.fromkeys(outcome.section for outcome in found.outcomes):
        outcomes = [outcome for outcome in found.outcomes if outcome.section == section]
        equal = sum(outcome.equal for outcome in outcomes)
        lines.append(f"{section}: {'all' if equal == len(outcomes) else f'{equal} of'} {len(outcomes)} equal")
        lines += [f"  {outcome.name} departs at {outcome.departs_at}" for outcome in outcomes if not outcome.equal]
    return lines
