"""DPM-Solver++ (stochastic), the two-stage sampler of K. Crowson's k-diffusion (``sample_dpmpp_sde``), with Brownian noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import F64, Array, Float
from sdrt.schedulers.ancestral import ancestral_split, check_noise
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.ratio_sampler import RATIO_KEYS
from sdrt.schedulers.ratio_stops import first_scale
from sdrt.schedulers.staged import StagedCall, StagedSampler, euler_call, exponential_call, scales, staged_plan

__all__ = ["DPMSolverSDE"]


@dataclass(frozen=True, kw_only=True)
class DPMSolverSDE(StagedSampler):
    """A stochastic step to the middle of the step in log ratio, then the whole step with the x0 predicted there.

    The noise of a call is the increment of a Brownian path between the call's two ratios: both calls of a step look at one path, and so do
    runs of other numbers of steps. The path comes from ``noise_sampler_seed``, where there is one, and else from the run's seed.
    """

    name: ClassVar[str] = "DPMSolverSDEScheduler"
    keys: ClassVar[Mapping[str, Any]] = RATIO_KEYS | {"beta_start": 0.00085, "beta_end": 0.012, "noise_sampler_seed": None}
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {"prediction_type": ("epsilon", "v_prediction")}
    calls_per_step: ClassVar[int] = 2
    step_options: ClassVar[tuple[str, ...]] = ("s_noise",)

    noise_sampler_seed: int | tuple[int, ...] | None = None  # of the path; several: one for each sample of a batch
    s_noise: float = 1.0  # deviation of the noise

    def __post_init__(self) -> None:
        super().__post_init__()
        check_noise(s_noise=self.s_noise)

    @property
    def brownian_seed(self) -> int | tuple[int, ...] | None:
        """The seed of the Brownian path; None: the run's."""
        return self.noise_sampler_seed

    def _plan(self, request: Request) -> Plan:
        timesteps, ratios = self._stops(request, fine=True)
        levels = ratios.astype(np.float64).tolist()
        ends, middles = _through_logarithms(ratios)
        between = self._told(middles)
        calls: list[StagedCall] = []
        for i in range(len(timesteps)):
            now, then = float(ends[i]), float(ends[i + 1])
            if then == 0:
                calls.append(euler_call(self.prediction_type, float(timesteps[i]), levels[i], 0.0))
                continue
            calls.append(self._stage(float(timesteps[i]), levels[i], now, float(middles[i]), ends_step=False))
            calls.append(self._stage(float(between[i]), float(middles[i]), now, then, ends_step=True))
        positive = [level for level in levels if level > 0]
        span = (min(positive), max(positive))
        return staged_plan(calls, levels[-1], first_scale(self.timestep_spacing, scales(levels[0])[1]), span=span)

    def _stage(self, timestep: float, at: float, now: float, then: float, *, ends_step: bool) -> StagedCall:
        """Return a call at ratio ``at`` that leads from the step's beginning at ``now`` to ``then``."""
        down, up = (float(part) for part in ancestral_split(np.float64(now), np.float64(then)))  # type: ignore[arg-type]
        return exponential_call(
            self.prediction_type,
            timestep,
            at,
            now,
            then,
            down=down,
            up=up * self.s_noise,
            draws=now != then,
            ends=ends_step,
            interval=(now, then),
        )

    def shown_sigmas(self, plan: Plan) -> Float:
        """The ratio at which each step begins and ends, without the midpoints: diffusers' ``sigmas``."""
        ratios = plan.sigmas[[*plan.starts, -1]] / plan.alphas[[*plan.starts, -1]]
        return np.concatenate([ratios[:1], np.repeat(ratios[1:-1], 2), ratios[-1:]])

    def shown_timesteps(self, plan: Plan) -> Array:
        """float64, as diffusers' are."""
        return plan.timesteps

    def _config(self) -> dict[str, Any]:
        seed = self.noise_sampler_seed
        return super()._config() | {"noise_sampler_seed": list(seed) if isinstance(seed, tuple) else seed}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        seed = values["noise_sampler_seed"]
        return super()._read(values) | {"noise_sampler_seed": tuple(seed) if isinstance(seed, (list, tuple)) else seed}


def _through_logarithms(ratios: Float) -> tuple[F64, F64]:
    """Return the ratios as the step sees them, and the middle of each two in their logarithm, in the ratios' own type.

    A logarithm and its exponential move a float32 ratio by a unit in the last place. A Brownian path is read at six decimals, and so sees
    that: diffusers' noise belongs to the ratios that come back.
    """
    real = ratios.dtype
    with np.errstate(divide="ignore", invalid="ignore"):
        times = -np.log(ratios.astype(np.float64)).astype(real)
        proposed = times[:-1] + np.diff(times) * real.type(0.5)
    back, middles = (np.exp(-t.astype(np.float64)).astype(real).astype(np.float64) for t in (times, proposed))
    return back, middles
