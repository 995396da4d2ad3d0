"""One check: stages in the order in which they are computed, so that the first that departs is where to look."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Check", "Stages"]

# The name and digest of each stage.
Stages: TypeAlias = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Check:
    """Something that is computed exactly.

    Parameters
    ----------
    section : str
        What it belongs to: functions, tokens, noise, schedulers, networks or pictures.
    name : str
        Unique within its section.
    stages : callable
        Computes the stages one after the other.
    """

    section: str
    name: str
    stages: Callable[[], Stages]

    @property
    def key(self) -> str:
        """Its name among all checks."""
        return f"{self.section}: {self.name}"
