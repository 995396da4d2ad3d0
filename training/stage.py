"""The command line of every training stage: the run's folder, and the minutes to train."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from training.team import Team, gather

__all__ = ["alone", "for_model", "in_team"]


def alone(description: str | None, run: Callable[[Path, float], None], minutes: float) -> None:
    """Run a stage in this process, for ``--minutes`` (default: the given number)."""
    options = _parser(description, minutes).parse_args()
    run(options.out, options.minutes)


def in_team(module: str, description: str | None, run: Callable[[Path, float, Team], None], minutes: float) -> None:
    """Run a stage in ``--processes`` copies of this command; ``module`` is its dotted name."""
    parser = _parser(description, minutes)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if team := gather(module, options.processes, options.out):
        run(options.out, options.minutes, team)


def for_model(module: str, description: str | None, run: Callable[[Path, Path, float, Team], None], minutes: float) -> None:
    """Run a stage as `in_team` does, for a finished model that ``--model`` names."""
    parser = _parser(description, minutes)
    parser.add_argument("--model", type=Path, required=True, help="folder of the model, which does not change")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    if team := gather(module, options.processes, options.out):
        run(options.model, options.out, options.minutes, team)


def _parser(description: str | None, minutes: float) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--minutes", type=float, default=minutes, help="of wall time, earlier runs of the stage counted in")
    return parser
