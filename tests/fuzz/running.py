"""The generators by name, and one case of one of them."""

import contextlib
import importlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.fuzz.drawing import Draw
from tests.fuzz.judging import RIGHT, Outcome, judge
from tests.fuzz.materials import Materials

# Draws a case, runs it, and returns None, or says what passed in silence; errors leave it as they come.
Generator = Callable[[Draw], str | None]

ROOMS = (
    "batch",
    "command_line",
    "core_ml",
    "conversion",
    "folders",
    "guiding",
    "loading",
    "networks",
    "noise",
    "pictures",
    "pipeline",
    "prompts",
    "recordings",
    "records",
    "results",
    "samplers",
    "schedulers",
    "tokenizers",
    "weights",
)


@dataclass(frozen=True)
class Finished:
    """A case that was run.

    Parameters
    ----------
    case : str
        ``NAME/SEED/INDEX``, which runs it again.
    outcome : Outcome
    notes : tuple of str
        What was drawn.
    """

    case: str
    outcome: Outcome
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.case.split("/")[0]

    @property
    def is_right(self) -> bool:
        return self.outcome.column in RIGHT

    def report(self) -> str:
        drawn = "; ".join(self.notes)[:600]
        return f"{self.outcome.column}: {self.outcome.detail}\n    at {self.outcome.kind}\n    drawn: {drawn}\n    --replay {self.case}"


@cache
def generators() -> dict[str, Generator]:
    """Every generator, from the rooms."""
    found: dict[str, Generator] = {}
    for room in ROOMS:
        module = importlib.import_module(f"tests.fuzz.rooms.{room}")
        found |= module.GENERATORS
    return found


def run_case(case: str, materials: Materials, *, loud: bool = False) -> Finished:
    """Run one case in this process; ``loud`` prints the traceback of what it raises."""
    generator = _generator(case.split("/")[0])
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    draw = Draw(case, place, materials)
    try:
        # a name that is drawn for a file may be taken: its file lies there too
        with contextlib.chdir(place):
            outcome = judge(lambda: generator(draw), loud=loud)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return Finished(case, outcome, tuple(draw.notes))


def _generator(name: str) -> Generator:
    """Return a generator by its name; ``module:function`` is one that no room has, for tests of the suite."""
    module, colon, function = name.partition(":")
    found: Generator = getattr(importlib.import_module(module), function) if colon else generators()[name]
    return found
