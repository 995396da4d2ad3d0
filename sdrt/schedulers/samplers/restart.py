"""Restart sampling (Xu et al. 2023, arXiv:2306.14878); diffusers has no such class.

A run of Heun steps returns to a higher noise level now and then, by adding noise, and comes down again: the fresh noise contracts the
accumulated errors, which a deterministic run keeps. With r = sigma / alpha, a restart from r_min to r_max is

    x / alpha at r_max = x / alpha at r_min + sqrt(r_max**2 - r_min**2) * s_noise * z
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import Functions
from sdrt.limits import DEFAULT_LIMITS
from sdrt.schedulers.core.kinds import POSITIVE, whole
from sdrt.schedulers.core.run import Level, Plan, Request
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, option, setting
from sdrt.schedulers.grids.ratio import RatioGrid, RatioLevels
from sdrt.schedulers.grids.sigmas import karras_ratios
from sdrt.schedulers.samplers.heun import heun_step
from sdrt.schedulers.steps.linear import LinearCall, Weights, linear_plan
from sdrt.values import Kind, ListOf, Nullable, Number, RefusedError

__all__ = ["Restart", "RestartInterval"]

_FEW_STEPS, _MANY_STEPS = 20, 36  # below the first a run never goes back, from the second on it does so twice (AUTOMATIC1111's rule)
_INTERVAL = (0.1, 2.0)  # the two ratios, by that rule


class RestartInterval(NamedTuple):
    """An interval of noise levels over which a run goes back."""

    sigma_min: float  # it goes back from the stop nearest to this ratio
    sigma_max: float  # to the stop nearest to this ratio
    steps: int  # number of steps down again
    times: int  # number of repetitions


@dataclass(frozen=True)
class _Interval(Kind[RestartInterval]):
    """Four numbers, two of them ratios and two of them counts."""

    def describe(self) -> str:
        return "[sigma_min, sigma_max, steps, times] with sigma_min below sigma_max, and steps and times from 1 to 1000"

    def convert(self, value: object) -> RestartInterval:
        low, high, steps, times = ListOf(POSITIVE, 4, 4).convert(value)
        if not low < high:
            raise RefusedError
        return RestartInterval(low, high, _COUNT.convert(steps), _COUNT.convert(times))


_COUNT = whole(1, 1000)
_INTERVALS = Nullable(ListOf(_Interval(), maximum=100))


@dataclass(frozen=True, kw_only=True)
class Restart(Sampler):
    """The paper's algorithm 1, with Heun's method.

    ``num_inference_steps`` counts all steps, those of the way back too; stops that a caller lays down are the main run's, and a run through
    them goes back only where ``restart_intervals`` says. The ratios of the way back are spread by Karras' formula.
    """

    name: ClassVar[str] = "RestartScheduler"
    calls_per_step: ClassVar[int] = 2
    step_options: ClassVar[tuple[str, ...]] = ("s_noise",)

    prediction_type: Literal["epsilon", "v_prediction", "sample"] = setting("epsilon")
    grid: RatioGrid = group(RatioGrid, without=["final_sigmas_type"])
    # None: chosen by the number of steps, as in AUTOMATIC1111
    restart_intervals: tuple[RestartInterval, ...] | None = setting(None, kind=_INTERVALS)
    s_noise: float = option(1.0, Number(0))  # deviation of the noise

    def __post_init__(self) -> None:
        super().__post_init__()
        back = sum(interval.steps * interval.times for interval in self.restart_intervals or ())
        DEFAULT_LIMITS.check("steps", "the steps of all restart_intervals", back)

    def _plan(self, request: Request) -> Plan:
        own_stops = request.timesteps is not None or request.sigmas is not None
        intervals = self._intervals(request.n, own_stops=own_stops)
        levels = self.grid.levels(request if own_stops else replace(request, n=self._main_steps(request.n, intervals)))
        steps = self._walk(levels, intervals)
        calls: list[LinearCall] = []
        for i, (level, level_next) in enumerate(steps):
            *first, last = heun_step(level, level_next)
            back_at = steps[i + 1][0] if i + 1 < len(steps) else level_next
            calls += [*first, last if back_at.ratio <= level_next.ratio else self._raise_noise(last, level_next, back_at)]
        return linear_plan(self.prediction_type, calls, steps[-1][1], self.grid.init_scale(levels.stops[0]))

    def _raise_noise(self, call: LinearCall, reached: Level, back_at: Level) -> LinearCall:
        """Let a step that has reached a level return to a higher one: x / alpha gets noise of deviation sqrt(r_back**2 - r_reached**2)."""
        lift = back_at.alpha / reached.alpha
        fresh = back_at.alpha * float(np.sqrt(self.functions.square(back_at.ratio) - self.functions.square(reached.ratio))) * self.s_noise
        w = call.step.fold(self.prediction_type, call)
        stages = tuple(lift * weight for weight in w.stages)
        raised: Weights = w._replace(x=lift * w.x, output=lift * w.output, start=lift * w.start, stages=stages, noise=fresh)
        return call._replace(step=raised, draws=True)

    def _intervals(self, n: int, *, own_stops: bool) -> tuple[RestartInterval, ...]:
        """Return the restart intervals of a run of n steps."""
        if self.restart_intervals is not None:
            return self.restart_intervals
        if own_stops or n < _FEW_STEPS:
            return ()
        steps, times = (n // 4, 2) if n >= _MANY_STEPS else (9, 1)
        return (RestartInterval(*_INTERVAL, steps, times),)

    def _main_steps(self, n: int, intervals: tuple[RestartInterval, ...]) -> int:
        back = sum(interval.steps * interval.times for interval in intervals)
        least = 2 if intervals else 1
        if n - back < least:
            raise ConfigError(f"num_inference_steps must be at least {back + least} with these restart_intervals, got {n}; take more")
        return n - back

    def _walk(self, levels: RatioLevels, intervals: tuple[RestartInterval, ...]) -> list[tuple[Level, Level]]:
        """Return both ends of every step, in order."""
        ratios = levels.ratios.astype(np.float64)
        known: dict[float, Level] = {level.ratio: level for level in levels.stops}
        steps = _walk_ratios(ratios, intervals, self.functions)
        return [(self._level(ratio, known), self._level(ratio_next, known)) for ratio, ratio_next in steps]

    def _level(self, ratio: float, known: Mapping[float, Level]) -> Level:
        return known[ratio] if ratio in known else self.grid.levels_at(np.array([ratio]))[0]


def _walk_ratios(ratios: F64, intervals: tuple[RestartInterval, ...], functions: Functions) -> list[tuple[float, float]]:
    """Return the two ratios of every step, in order.

    Parameters
    ----------
    ratios : f64[n + 1]
        Of the main run's stops.
    """
    back: dict[int, list[tuple[float, float]]] = {}
    for interval in intervals:
        # The run can go back from any stop but the first and, as there is nothing to contract there, the last.
        low = max(int(np.abs(ratios[:-1] - interval.sigma_min).argmin()), 1)
        high = min(int(np.abs(ratios[:-1] - interval.sigma_max).argmin()), low - 1)
        levels = karras_ratios(float(ratios[high]), float(ratios[low]), interval.steps + 1, functions=functions)
        levels[0], levels[-1] = ratios[high], ratios[low]  # what the formula's powers round off
        way = list(zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True))
        back.setdefault(low, []).extend(way * interval.times)
    steps = []
    for i in range(len(ratios) - 1):
        steps.append((float(ratios[i]), float(ratios[i + 1])))
        steps += back.get(i + 1, [])
    return steps
