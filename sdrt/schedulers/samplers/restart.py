"""Restart sampling (Xu et al. 2023, arXiv:2306.14878); diffusers has no such class.

A run of Heun steps goes back to a higher noise level now and then, by adding noise, and comes down again: the fresh noise contracts the
errors that were made on the way, which a deterministic run keeps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.schedulers.ancestral import check_noise
from sdrt.schedulers.plan import Plan
from sdrt.schedulers.ratio_sampler import RATIO_KEYS
from sdrt.schedulers.ratio_stops import first_scale
from sdrt.schedulers.request import Request
from sdrt.schedulers.samplers.heun import heun_step
from sdrt.schedulers.sigmas import karras_ratios
from sdrt.schedulers.staged import StagedCall, StagedSampler, scales, staged_plan

__all__ = ["Restart", "RestartInterval"]

_FEW_STEPS, _MANY_STEPS = 20, 36  # below the first a run never goes back, from the second on it does so twice (AUTOMATIC1111's rule)
_INTERVAL = (0.1, 2.0)  # between which ratios, by that rule


class RestartInterval(NamedTuple):
    """Where a run goes back."""

    sigma_min: float  # from the stop that is nearest to this ratio
    sigma_max: float  # to the stop that is nearest to this
    steps: int  # in so many steps it comes down again
    times: int  # and so often


@dataclass(frozen=True, kw_only=True)
class Restart(StagedSampler):
    """The paper's algorithm, with Heun's method.

    ``num_inference_steps`` counts all steps, those of the way back too; stops that a caller lays down are the main run's, and a run through
    them goes back only where ``restart_intervals`` says. The ratios of the way back are spread by Karras' formula.
    """

    name: ClassVar[str] = "RestartScheduler"
    keys: ClassVar[Mapping[str, Any]] = RATIO_KEYS | {"rescale_betas_zero_snr": False, "restart_intervals": None}
    calls_per_step: ClassVar[int] = 2
    step_options: ClassVar[tuple[str, ...]] = ("s_noise",)

    restart_intervals: tuple[RestartInterval, ...] | None = None  # None: by the number of steps, as AUTOMATIC1111 chooses
    s_noise: float = 1.0  # deviation of the noise

    def __post_init__(self) -> None:
        super().__post_init__()
        check_noise(s_noise=self.s_noise)
        for interval in self.restart_intervals or ():
            if not (0 < interval.sigma_min < interval.sigma_max and interval.steps >= 1 and interval.times >= 1):
                raise ConfigError(f"a restart goes from sigma_min up to sigma_max, in steps and times of at least 1, got {tuple(interval)}")

    def _plan(self, request: Request) -> Plan:
        own_stops = request.timesteps is not None or request.sigmas is not None
        intervals = self._intervals(request.n, own_stops=own_stops)
        main = request if own_stops else replace(request, n=self._main_steps(request.n, intervals))
        timesteps, ratios = self._stops(main)
        steps = _walk(ratios.astype(np.float64), intervals)
        told = dict(zip(ratios.astype(np.float64).tolist(), timesteps.tolist(), strict=False))
        calls: list[StagedCall] = []
        for i, (now, then) in enumerate(steps):
            onward = steps[i + 1][0] if i + 1 < len(steps) else then
            ends = (self._timestep(now, told), self._timestep(then, told))
            *first, last = heun_step(self.prediction_type, ends, now, then)
            calls += [*first, self._raised(last, then, onward)]
        return staged_plan(calls, steps[-1][1], first_scale(self.timestep_spacing, scales(steps[0][0])[1]))

    def _intervals(self, n: int, *, own_stops: bool) -> tuple[RestartInterval, ...]:
        """Return where a run of n steps goes back."""
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
            raise ConfigError(f"restart_intervals take {back} steps, and the run itself at least {least}, got {n} in all; take more")
        return n - back

    def _timestep(self, ratio: float, told: Mapping[float, float]) -> float:
        return told[ratio] if ratio in told else float(self._told(np.array([ratio]))[0])

    def _raised(self, call: StagedCall, then: float, onward: float) -> StagedCall:
        """Let a step that ends at ``then`` end at ``onward`` above it, by fresh noise."""
        if onward <= then:
            return call
        lift = scales(onward)[0] / scales(then)[0]
        fresh = scales(onward)[0] * float(np.sqrt(onward**2 - then**2)) * self.s_noise
        weights = {key: lift * getattr(call, key) for key in ("x", "output", "anchor")}
        return replace(call, **weights, stages=tuple(lift * weight for weight in call.stages), noise=fresh, draws=True)

    def _config(self) -> dict[str, Any]:
        intervals = self.restart_intervals
        return super()._config() | {"restart_intervals": None if intervals is None else [list(interval) for interval in intervals]}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        intervals = values["restart_intervals"]
        own = None if intervals is None else tuple(RestartInterval(*interval) for interval in intervals)
        return super()._read(values) | {"restart_intervals": own}


def _walk(ratios: F64, intervals: tuple[RestartInterval, ...]) -> list[tuple[float, float]]:
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
        levels = karras_ratios(float(ratios[high]), float(ratios[low]), interval.steps + 1)
        levels[0], levels[-1] = ratios[high], ratios[low]  # what the formula's powers round off
        way = list(zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True))
        back.setdefault(low, []).extend(way * interval.times)
    steps = []
    for i in range(len(ratios) - 1):
        steps.append((float(ratios[i]), float(ratios[i + 1])))
        steps += back.get(i + 1, [])
    return steps
