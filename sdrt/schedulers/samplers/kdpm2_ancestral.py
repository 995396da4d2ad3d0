"""DPM-Solver-2 with ancestral noise (K. Crowson's k-diffusion, ``sample_dpm_2_ancestral``)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import F64, Array, Float
from sdrt.schedulers.ancestral import ancestral_split, check_noise
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.ratio_stops import first_scale
from sdrt.schedulers.samplers.kdpm2 import KDPM2_KEYS, logarithmic_midpoints, midpoint_call, shown_ratios, shown_timesteps, told_whole
from sdrt.schedulers.staged import StagedCall, StagedSampler, euler_call, scales, staged_plan

__all__ = ["KDPM2Ancestral"]


@dataclass(frozen=True, kw_only=True)
class KDPM2Ancestral(StagedSampler):
    """A midpoint step to below the next stop, and fresh noise back up. Noise is drawn at the second call of a step only.

    The timesteps of Karras ratios are fractional here, as :class:`KDPM2` says.
    """

    name: ClassVar[str] = "KDPM2AncestralDiscreteScheduler"
    keys: ClassVar[Mapping[str, Any]] = KDPM2_KEYS
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {"prediction_type": ("epsilon", "v_prediction")}
    calls_per_step: ClassVar[int] = 2
    step_options: ClassVar[tuple[str, ...]] = ("eta", "s_noise")

    eta: float = 1.0  # how much of a step's variance is fresh: 0 makes KDPM2 of it
    s_noise: float = 1.0  # deviation of that noise

    def __post_init__(self) -> None:
        super().__post_init__()
        check_noise(eta=self.eta, s_noise=self.s_noise)

    def _plan(self, request: Request) -> Plan:
        timesteps, ratios = self._stops(request)
        timesteps = told_whole(self, timesteps, request)
        levels = ratios.astype(np.float64).tolist()
        down, up = self._split(ratios)
        middles = logarithmic_midpoints(ratios[:-1], down.astype(ratios.dtype))
        between = self._told(middles)
        calls: list[StagedCall] = []
        for i in range(len(timesteps)):
            now, then, middle = levels[i], levels[i + 1], float(middles[i])
            if then == 0:
                calls.append(euler_call(self.prediction_type, float(timesteps[i]), now, 0.0))
                continue
            calls.append(euler_call(self.prediction_type, float(timesteps[i]), now, middle, ends=False))
            ends = {"down": float(down[i]), "up": float(up[i]) * self.s_noise}
            calls.append(midpoint_call(self.prediction_type, float(between[i]), now, middle, then, draws=True, **ends))
        return staged_plan(calls, levels[-1], first_scale(self.timestep_spacing, scales(levels[0])[1]))

    def _split(self, ratios: Float) -> tuple[F64, F64]:
        """Return how far down each step goes, and how much noise brings it back up.

        diffusers 0.42.1 subtracts squares in float32: of a step that leaves a hundredth of the noise, little of ``down`` is left, and with
        it of the midpoint.
        """
        if self.compat != "diffusers" or self.eta != 1:
            wide = ratios.astype(np.float64)
            return ancestral_split(wide[:-1], wide[1:], self.eta)
        now, then = ratios[:-1], ratios[1:]
        up = np.sqrt(then * then * (now * now - then * then) / (now * now))
        down = np.sqrt(np.maximum(then * then - up * up, 0))
        return down.astype(np.float64), up.astype(np.float64)

    def shown_sigmas(self, plan: Plan) -> Float:
        """The ratio at which each step begins and ends, without the midpoints, and twice the last: diffusers' ``sigmas``."""
        return shown_ratios(plan)

    def shown_timesteps(self, plan: Plan) -> Array:
        """float32 as elsewhere, but float64 where ratios are spread by a formula, as diffusers' are."""
        return shown_timesteps(self, plan)
