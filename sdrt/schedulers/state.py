"""What changes in a run, as a value."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.schedulers.bounds import NO_BOUND, X0Bound

__all__ = ["Seen", "State"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What the last network call saw and said."""

    x: Float
    output: Float
    weights: tuple[float, float]  # (a, b) with x0 = a * x + b * output
    bound: X0Bound = NO_BOUND

    def x0(self) -> Float:
        """Compute the clean sample that the network's output amounts to."""
        a, b = self.weights
        return self.bound(self.x * a + self.output * b if a else self.output * b)


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """Where a run is. A value: it can be copied, pickled, compared, and gone on from more than once."""

    x: Float  # the sample, at stop ``position``
    position: int  # the next call
    history: tuple[Float, ...] = ()  # what a multistep sampler remembers of earlier steps, newest last
    stages: tuple[Float, ...] = ()  # network outputs of the step under way, where a step takes several calls
    anchor: Float | None = None  # the sample at which that step began
    seen: Seen | None = None  # the last call

    @property
    def x0(self) -> Float:
        """The clean sample that the last call predicted, of x's shape and dtype; computed when read.

        Raises
        ------
        ConfigError : no call has been made
        """
        if self.seen is None:
            raise ConfigError("no x0 is predicted before the first step; make a step")
        return self.seen.x0().astype(self.x.dtype, copy=False)

    def moved(self, x: Float, *, history: tuple[Float, ...] = (), stages: tuple[Float, ...] = (), anchor: Float | None = None) -> "State":
        """Return the state after one call."""
        return State(x=x, position=self.position + 1, history=history, stages=stages, anchor=anchor)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        return self.position == other.position and _same(self._parts(), other._parts())

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    def _parts(self) -> tuple[Any, ...]:
        seen = None if self.seen is None else (self.seen.x, self.seen.output)
        return (self.x, self.history, self.stages, self.anchor, seen)


def _same(a: Any, b: Any) -> bool:
    """Compare two trees of tuples, arrays and None."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_same(p, q) for p, q in zip(a, b, strict=True))
    if a is None or b is None:
        return a is b
    return bool(a.dtype == b.dtype and np.array_equal(a, b))
