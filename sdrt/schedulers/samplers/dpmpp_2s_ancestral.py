"""DPM-Solver++(2S) with ancestral noise (K. Crowson's k-diffusion, ``sample_dpmpp_2s_ancestral``); diffusers has no such class."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.schedulers.ancestral import ancestral_split, check_noise
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.ratio_sampler import RATIO_KEYS
from sdrt.schedulers.ratio_stops import first_scale
from sdrt.schedulers.staged import StagedCall, StagedSampler, euler_call, exponential_call, scales, staged_plan

__all__ = ["DPMPP2SAncestral"]


@dataclass(frozen=True, kw_only=True)
class DPMPP2SAncestral(StagedSampler):
    """A singlestep DPM-Solver++ step of second order to below the next stop, and fresh noise back up.

    Noise is drawn at the second call of a step; the step to no noise is one call of Euler's, and draws none.
    """

    name: ClassVar[str] = "DPMPP2SAncestralScheduler"
    keys: ClassVar[Mapping[str, Any]] = RATIO_KEYS | {"rescale_betas_zero_snr": False}
    calls_per_step: ClassVar[int] = 2
    step_options: ClassVar[tuple[str, ...]] = ("eta", "s_noise")

    eta: float = 1.0  # how much of a step's variance is fresh: 0 leaves a deterministic method of second order
    s_noise: float = 1.0  # deviation of that noise

    def __post_init__(self) -> None:
        super().__post_init__()
        check_noise(eta=self.eta, s_noise=self.s_noise)

    def _plan(self, request: Request) -> Plan:
        timesteps, ratios = self._stops(request)
        wide = ratios.astype(np.float64)
        down, up = (part.tolist() for part in ancestral_split(wide[:-1], wide[1:], self.eta))
        levels = wide.tolist()
        middles = [math.sqrt(now * below) for now, below in zip(levels[:-1], down, strict=True)]
        between = self._told(np.array(middles))
        calls: list[StagedCall] = []
        for i in range(len(timesteps)):
            now, then, middle = levels[i], levels[i + 1], middles[i]
            if down[i] == 0:  # x0 alone, be it of a step to no noise or of one that draws all of its noise anew
                calls.append(self._single(float(timesteps[i]), now, then, up[i]))
                continue
            calls.append(exponential_call(self.prediction_type, float(timesteps[i]), now, now, middle, down=middle, ends=False))
            fresh = {"down": down[i], "up": up[i] * self.s_noise, "draws": True}
            calls.append(exponential_call(self.prediction_type, float(between[i]), middle, now, then, **fresh))
        return staged_plan(calls, levels[-1], first_scale(self.timestep_spacing, scales(levels[0])[1]))

    def _single(self, timestep: float, now: float, then: float, up: float) -> StagedCall:
        return euler_call(self.prediction_type, timestep, now, then, down=0.0, up=up * self.s_noise, draws=up > 0)
