"""What is compared of a run: its timesteps, the size of its first noise, each input of the network, and each sample."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sdrt.arrays import F64
from sdrt.testing.schedulers.paths import Path, Transcript

__all__ = ["Item", "items_of", "predicted"]

Stage = Literal["timesteps", "init", "scaled", "step"]

# Fractional timesteps follow the last bits of square roots and logarithms.
_TIMESTEPS_CLOSE = 2e-2

_INIT_CLOSE = 1e-4


@dataclass(frozen=True, eq=False)
class Item:
    """One of these, of a port."""

    path: Path
    stage: Stage
    call: int
    got: F64
    sigmas: F64 | None  # what the port shows as such, as evidence
    retimed: bool = False  # whether the path goes over the port's own timesteps, which are wrong

    @property
    def wanted(self) -> F64:
        """The original's value."""
        value = predicted(self.path.right, self)
        assert value is not None  # noqa: S101  # the original has every stage
        return value

    @property
    def bound(self) -> float:
        """How far the value may be off."""
        if self.stage == "timesteps":
            return 0.0 if np.array_equal(self.wanted, np.rint(self.wanted)) else _TIMESTEPS_CLOSE
        if self.stage == "init":
            return _INIT_CLOSE * max(abs(float(self.wanted)), 1e-3)
        return self.path.bounds[self.call]

    def matches(self, value: F64 | None) -> bool:
        """Whether the port's value is this one."""
        if value is None or value.shape != self.got.shape:
            return False
        with np.errstate(invalid="ignore"):
            return bool((np.abs(self.got - value) <= self.bound).all())

    @property
    def is_right(self) -> bool:
        """Whether the port's value is the original's."""
        return self.matches(self.wanted)

    def __str__(self) -> str:
        return f"{self.path.case}: {_STAGES[self.stage](self)}"


def predicted(transcript: Transcript, item: Item) -> F64 | None:
    """Return a transcript's value in place of an item's; None where it makes other calls."""
    if item.stage == "timesteps":
        return transcript.timesteps
    if item.stage == "init":
        return np.asarray(transcript.init)
    values = transcript.scaled if item.stage == "scaled" else transcript.results
    return values[item.call] if len(values) == len(item.path.inputs) else None


def items_of(path: Path, scaled: Sequence[F64], results: Sequence[F64], sigmas: F64 | None, *, retimed: bool) -> Iterator[Item]:
    """Yield the items of a port's calls along a path."""
    for i, value in enumerate(scaled):
        yield Item(path, "scaled", i, value, sigmas, retimed)
    for i, value in enumerate(results):
        yield Item(path, "step", i, value, sigmas, retimed)


def _timesteps(item: Item) -> str:
    return f"timesteps must be {_shown(item.wanted)}, got {_shown(item.got)}"


def _shown(values: F64) -> str:
    texts = [f"{value:.6g}" for value in values]
    return f"[{', '.join(texts if len(texts) <= 6 else [*texts[:3], '...', *texts[-2:]])}]"


def _values(item: Item) -> str:
    what = "the network's input" if item.stage == "scaled" else "the sample after it"
    if item.got.shape != item.wanted.shape:
        return f"call {item.call}: {what} must have the shape {item.wanted.shape}, got {item.got.shape}"
    error, largest = (float(np.abs(values).max()) for values in (item.got - item.wanted, item.wanted))
    return f"call {item.call} of {len(item.path.inputs)}: {what} is off by {error:.3g}, where its largest value is {largest:.3g}"


_STAGES = {
    "timesteps": _timesteps,
    "init": lambda item: f"init_noise_sigma must be {float(item.wanted):.6g}, got {float(item.got):.6g}",
    "scaled": _values,
    "step": _values,
}
