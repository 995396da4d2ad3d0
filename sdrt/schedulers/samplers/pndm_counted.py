"""PNDM as diffusers 0.42.1 and Apple's Swift package have it: both count calls, and read the timestep that they are passed.

Every step is T // n timesteps long, and a call's role is how many calls came before it. So steps end elsewhere than the next one starts,
under ``linspace`` and wherever n does not divide T; a Runge-Kutta step first goes T // n // 2 down; and a run that starts in the middle
repeats its first step from T // n above its second timestep. A step may start at any call: their pipelines leave out the first of the list.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.schedulers.core.numerics import Real
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.samplers.pndm import PNDM, PRK_STEPS, PNDMCall, Role, call_between, plms_calls, prk_ends, prk_timesteps

__all__ = ["ApplePNDM", "DiffusersPNDM"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Counter:
    """What a call does, by those that came before it."""

    alpha_bar: Float  # of the numerics' own type
    final: Real  # alpha_bar below timestep 0
    stride: int  # T // n
    prk_starts: tuple[int, ...] = ()  # where the Runge-Kutta steps start; none for PLMS

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

    def after(self, state: State) -> PNDMCall:
        """Return the numbers of the call in this state."""
        return self.counter.call(self.timestep, state)


@dataclass(frozen=True, kw_only=True)
class LastCall(CountedCall):
    """The last call of Apple's, which leads to the x0 of its noise: (x - sigma * eps) / alpha."""

    def after(self, state: State) -> PNDMCall:
        """Return the numbers of the call in this state."""
        c = super().after(state)
        return replace(c, sample=1 / c.alpha, difference=c.sigma, divisor=c.alpha)


def counted_plan(sampler: PNDM, request: Request) -> Plan:
    """Lay out a run of so many steps."""
    steps, stride = sampler.grid.timesteps(request), sampler.num_train_timesteps // request.n
    if sampler.skip_prk_steps:
        timesteps, prk_starts = plms_calls(steps)[0], ()
    else:
        timesteps = prk_timesteps([(start, end + stride // 2, end) for start, end in prk_ends(steps)], steps)
        prk_starts = tuple(steps[:PRK_STEPS].tolist())
    alpha_bars = sampler.alpha_bars(timesteps)
    table = sampler.grid.alpha_bar().astype(alpha_bars.dtype)
    counter = Counter(alpha_bar=table, final=alpha_bars[-1], stride=stride, prk_starts=prk_starts)
    calls = [CountedCall(timestep=timestep, counter=counter) for timestep in timesteps.tolist()]
    return sampler.tables(timesteps, alpha_bars, calls, range(request.n))


def advance_counted(self: PNDM, c: Any, state: State, output: Float, noise: Float | None) -> State:
    """Move on by one call, whose numbers may follow from those made before it."""
    return PNDM._advance(self, c.after(state) if isinstance(c, CountedCall) else c, state, output, noise)


@dataclass(frozen=True, kw_only=True)
class DiffusersPNDM(PNDM):
    """Counted calls, unless a caller lays the timesteps down."""

    _advance = advance_counted

    def _plan(self, request: Request) -> Plan:
        return super()._plan(request) if request.timesteps is not None else counted_plan(self, request)


@dataclass(frozen=True, kw_only=True)
class ApplePNDM(PNDM):
    """Counted calls, of PLMS for noise predictions alone, and the x0 that the last call predicts for the result."""

    def __post_init__(self) -> None:
        """Refuse what Apple's package, which reads no configuration, does not do."""
        super().__post_init__()
        spacing = self.grid.spacing
        settings = {
            "prediction_type": (self.prediction_type, "epsilon"),
            "skip_prk_steps": (self.skip_prk_steps, True),
            "timestep_spacing": (spacing.kind, "leading"),
            "steps_offset": (spacing.steps_offset, 1),
            "set_alpha_to_one": (self.grid.set_alpha_to_one, False),
        }
        if others := {key: values for key, values in settings.items() if values[0] != values[1]}:
            raise ConfigError(
                f"Apple's PNDM has {', '.join(f'{key} {its}' for key, (_, its) in others.items())}, "
                f"got {', '.join(str(own) for own, _ in others.values())}; set it so, or leave compat out"
            )

    _advance = advance_counted

    def _plan(self, request: Request) -> Plan:
        if request.timesteps is not None:
            return super()._plan(request)
        plan = counted_plan(self, request)
        *calls, last = plan.coefficients
        last = LastCall(timestep=last.timestep, counter=last.counter)
        alphas, sigmas = np.append(plan.alphas[:-1], 1.0), np.append(plan.sigmas[:-1], 0.0)
        return replace(plan, coefficients=(*calls, last), alphas=alphas, sigmas=sigmas)
