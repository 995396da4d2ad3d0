"""What each network call of PNDM does, and between which values of alpha_bar it moves the sample.

By default a plan knows that of every call. diffusers 0.42.1 and Apple's package count calls instead, and look at the timestep that they are
told: :class:`Counter` does so for their ``compat``.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from sdrt.arrays import F64, Array
from sdrt.errors import ConfigError
from sdrt.schedulers.core.numerics import Real
from sdrt.schedulers.core.run import State

__all__ = ["PRK_STEPS", "CountedCall", "Counter", "PNDMCall", "Role", "call_between", "plms_calls", "prk_calls"]

Role = Literal["first", "repeat", "multistep", "stage", "join"]

PRK_STEPS = 3  # Runge-Kutta steps that give the multistep method its history


@dataclass(frozen=True, kw_only=True)
class PNDMCall:
    """The numbers of one call: x' = sample * x - difference * eps / divisor (equation 11 of the paper)."""

    role: Role
    sample: float
    difference: float
    divisor: float
    alpha: float  # scales where the step starts, for a velocity
    sigma: float


def call_between(role: Role, now: Real, then: Real) -> PNDMCall:
    """Return the numbers of a call between two values of alpha_bar, computed in their own type."""
    return PNDMCall(
        role=role,
        sample=float(np.sqrt(then / now)),
        difference=float(then - now),
        divisor=float(now * np.sqrt(1 - then) + np.sqrt(now * (1 - now) * then)),
        alpha=float(np.sqrt(now)),
        sigma=float(np.sqrt(1 - now)),
    )


def plms_calls(steps: Array) -> tuple[Array, list[int], list[Role]]:
    """Return timestep, origin and role of each call; the origin is the call at which the step began."""
    n = len(steps)
    if n == 1:
        return steps, [0], ["first"]
    timesteps = np.concatenate([steps[:2], steps[1:]])
    return timesteps, [0, 0, *range(2, n + 1)], ["first", "repeat", *_repeat("multistep", n - 1)]


def prk_calls(steps: Array) -> tuple[Array, list[int], list[Role]]:
    """Return the same for a run that begins with Runge-Kutta steps: at the timestep, twice half-way to the next, and there."""
    blocks = [(here, there + (here - there) // 2, there) for here, there in pairwise(_prk_steps(steps))]
    origins = [4 * (i // 4) for i in range(4 * PRK_STEPS)]
    block: list[Role] = ["stage", "stage", "stage", "join"]
    rest = len(steps) - PRK_STEPS
    return _prk_timesteps(blocks, steps), origins + [len(origins) + i for i in range(rest)], block * PRK_STEPS + _repeat("multistep", rest)


def _prk_steps(steps: Array) -> Array:
    """Return the timesteps between which the Runge-Kutta steps lead."""
    if len(steps) <= PRK_STEPS:
        raise ConfigError(
            f"PNDM without skip_prk_steps takes at least {PRK_STEPS + 1} steps, got {len(steps)}; take more, or set skip_prk_steps"
        )
    return steps[: PRK_STEPS + 1]


def _prk_timesteps(blocks: list[tuple[int, int, int]], steps: Array) -> Array:
    """Return the timesteps of all calls, where each block asks at its start, twice at its middle and at its end."""
    asked = [timestep for here, middle, there in blocks for timestep in (here, middle, middle, there)]
    return np.concatenate([asked, steps[PRK_STEPS:]])


def _repeat(role: Role, count: int) -> list[Role]:
    return [role] * count


@dataclass(frozen=True, kw_only=True, eq=False)
class Counter:
    """The habit of both packages: every step is T // n timesteps long, and a call's role is how many calls came before it.

    So steps end elsewhere than the next one starts, under ``linspace`` and wherever n does not divide T; a Runge-Kutta step first goes
    T // n // 2 down; and a run that starts in the middle repeats its first step from T // n above its second timestep.
    """

    alpha_bar: F64  # of the numerics' own type
    final: Real  # alpha_bar below timestep 0
    stride: int  # T // n
    prk_starts: tuple[int, ...] = ()  # where the Runge-Kutta steps start; none for PLMS

    @classmethod
    def timesteps(cls, steps: Array, stride: int, skip_prk_steps: bool) -> Array:
        """Return the timestep of every call of a whole run, i64[calls]."""
        if skip_prk_steps:
            return plms_calls(steps)[0]
        blocks = [(here, there + stride // 2, there) for here, there in pairwise(_prk_steps(steps))]
        return _prk_timesteps(blocks, steps)

    def call(self, timestep: int, state: State) -> PNDMCall:
        """Return what a call at this timestep does after those that a state remembers."""
        done, stage = len(state.history), len(state.stage_outputs)
        if self.prk_starts and (stage or done < PRK_STEPS):
            start = self.prk_starts[done - 1 if stage else done]
            half = 0 if stage % 2 else self.stride // 2
            return self._between("join" if stage == 3 else "stage", start, timestep - half)
        if not self.prk_starts and not done:
            return self._between("first", timestep, timestep - self.stride)
        if not self.prk_starts and state.step_start is not None:
            return self._between("repeat", timestep + self.stride, timestep)
        return self._between("multistep", timestep, timestep - self.stride)

    def _between(self, role: Role, start: int, end: int) -> PNDMCall:
        return call_between(role, self.alpha_bar[start], self.alpha_bar[end] if end >= 0 else self.final)


@dataclass(frozen=True, kw_only=True)
class CountedCall:
    """A call whose numbers follow from those made before it."""

    timestep: int
    counter: Counter
    decodes: bool = False  # whether the run ends here with the predicted x0 (Apple)

    def after(self, state: State) -> PNDMCall:
        """Return the numbers of the call in this state."""
        found = self.counter.call(self.timestep, state)
        return _to_x0(found) if self.decodes else found


def _to_x0(c: PNDMCall) -> PNDMCall:
    """Return the numbers that lead to the x0 of a call's noise: (x - sigma * eps) / alpha."""
    return PNDMCall(role=c.role, sample=1 / c.alpha, difference=c.sigma, divisor=c.alpha, alpha=c.alpha, sigma=c.sigma)
