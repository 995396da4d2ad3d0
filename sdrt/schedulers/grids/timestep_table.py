"""Stops that are whole timesteps of a trained noise schedule, read from its table: DDIM's and DDPM's families.

With alpha_bar the signal power there, x = sqrt(alpha_bar) * x0 + sqrt(1 - alpha_bar) * noise.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sdrt.arrays import F64, Array, Float
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.prediction import Prediction, check_alpha
from sdrt.schedulers.core.run import Level, Plan, Request
from sdrt.schedulers.core.sampler import Grid
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.noise_schedule import NoiseSchedule
from sdrt.schedulers.grids.timesteps import TimestepSpacing, round_timesteps
from sdrt.schedulers.steps.bounds import NO_BOUND, X0Bound

__all__ = ["TableLevels", "TimestepGrid", "levels_between"]


class TableLevels(NamedTuple):
    """The steps of a run, in the numerics' own type: terms are computed in it as diffusers does, and folded in float64."""

    timesteps: Array  # i64[n]
    alpha_bars: Float  # f[n]: signal power where each step starts
    ends: Float  # f[n]: and where it ends
    alphas: Float  # f[n]: scales where each step starts; what a predicted noise is divided by
    sigmas: Float

    @property
    def stops(self) -> tuple[Level, ...]:
        """Where each step starts."""
        columns = (self.timesteps, self.alphas, self.sigmas)
        return tuple(map(Level.of, *(column.tolist() for column in columns)))

    def plan(self, calls: Iterable[Any], draws: Sequence[bool] | bool = False) -> Plan:
        """Return the plan of these steps; ``draws``, one for all or one for each, is whether a step draws fresh noise."""
        n, end = len(self.timesteps), self.ends[-1:]
        return Plan(
            timesteps=self.timesteps,
            alphas=np.append(self.alphas, np.sqrt(end)).astype(np.float64),
            sigmas=np.append(self.sigmas, np.sqrt(1 - end)).astype(np.float64),
            coefficients=tuple(calls),
            draws=(draws,) * n if isinstance(draws, bool) else tuple(draws),
            starts=tuple(range(n)),
        )


def levels_between(timesteps: Array, alpha_bars: Float, ends: Float, prediction: Prediction, bound: X0Bound = NO_BOUND) -> TableLevels:
    """Return the steps that lead from one alpha_bar to another.

    Raises
    ------
    ConfigError : a noise prediction at a timestep without signal
    """
    alphas: Float = bound.divisors(np.sqrt(alpha_bars))
    check_alpha(prediction, float(alphas.min()))
    return TableLevels(timesteps, alpha_bars, ends, alphas, np.sqrt(1 - alpha_bars))


@dataclass(frozen=True, kw_only=True)
class TimestepGrid(Grid):
    """Each step ends where the next one starts, and the last without any noise, or at the first trained timestep."""

    schedule: NoiseSchedule = group(NoiseSchedule)
    spacing: TimestepSpacing = group(TimestepSpacing)
    set_alpha_to_one: bool = setting(True)  # whether the run ends without any noise

    @property
    def num_train_timesteps(self) -> int:
        """T, the length of the training schedule."""
        return self.schedule.num_train_timesteps

    def alpha_bar(self) -> F64:
        """Return the signal power at every trained timestep, f64[T]."""
        return self.schedule.alpha_bar(self.numerics)

    def timesteps(self, request: Request) -> Array:
        """Return the timesteps of a run, i64[n], descending.

        Raises
        ------
        ConfigError : timesteps that it cannot visit, or that coincide
        """
        return round_timesteps(self.spacing.timesteps(request, self.num_train_timesteps))

    def alpha_bar_at(self, timesteps: Array) -> Float:
        """Return the signal power at timesteps, in the numerics' own type; below 0 lies the end of the run."""
        table = self.alpha_bar()
        powers: Float = np.where(timesteps >= 0, table[timesteps], 1.0 if self.set_alpha_to_one else table[0])
        return powers.astype(real_type(self.numerics))

    def levels(self, request: Request, prediction: Prediction, bound: X0Bound = NO_BOUND) -> TableLevels:
        """Choose the steps of a run.

        Parameters
        ----------
        bound : X0Bound
            Of the predicted x0: see :meth:`X0Bound.divisors`.

        Raises
        ------
        ConfigError : as :meth:`timesteps`, or a noise prediction at a timestep without signal
        """
        timesteps = self.timesteps(request)
        ends = np.append(timesteps[1:], -1)
        return levels_between(timesteps, self.alpha_bar_at_calls(timesteps), self.alpha_bar_at(ends), prediction, bound)

    def alpha_bar_at_calls(self, timesteps: Array) -> Float:
        """Return the signal power where the network is called; at the -1 of diffusers' trailing spacing the noisiest, as there."""
        return self.alpha_bar()[timesteps].astype(real_type(self.numerics))
