"""DPM-Solver-2, the midpoint method of K. Crowson's k-diffusion (``sample_dpm_2``), inspired by Karras et al. 2022 and Lu et al. 2022."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import F64, Array, Float
from sdrt.schedulers.core.prediction import Prediction, eps_weights
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.ratio_sampler import RATIO_KEYS
from sdrt.schedulers.ratio_stops import first_scale
from sdrt.schedulers.staged import StagedCall, StagedSampler, euler_call, scales, staged_plan

__all__ = ["KDPM2", "KDPM2_KEYS", "logarithmic_midpoints", "midpoint_call", "shown_ratios", "shown_timesteps", "told_whole"]

KDPM2_KEYS: dict[str, Any] = RATIO_KEYS | {"beta_start": 0.00085, "beta_end": 0.012}


@dataclass(frozen=True, kw_only=True)
class KDPM2(StagedSampler):
    """An Euler step to the middle of the step in log ratio, then the whole step along the slope there. The step to no noise is Euler's.

    The network is told the fractional timesteps of its ratios; diffusers 0.42.1 rounds those of Karras ratios, half a timestep off at most.
    """

    name: ClassVar[str] = "KDPM2DiscreteScheduler"
    keys: ClassVar[Mapping[str, Any]] = KDPM2_KEYS
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {"prediction_type": ("epsilon", "v_prediction")}
    calls_per_step: ClassVar[int] = 2

    def _plan(self, request: Request) -> Plan:
        timesteps, ratios = self._stops(request)
        timesteps = told_whole(self, timesteps, request)
        levels, n = ratios.astype(np.float64).tolist(), len(timesteps)
        middles = logarithmic_midpoints(ratios[:-1], ratios[1:])
        between = self._told(middles)
        calls: list[StagedCall] = []
        for i in range(n):
            now, then, middle = levels[i], levels[i + 1], float(middles[i])
            if then == 0:
                calls.append(euler_call(self.prediction_type, float(timesteps[i]), now, 0.0))
                continue
            calls.append(euler_call(self.prediction_type, float(timesteps[i]), now, middle, ends=False))
            calls.append(midpoint_call(self.prediction_type, float(between[i]), now, middle, then))
        return staged_plan(calls, levels[-1], first_scale(self.timestep_spacing, scales(levels[0])[1]))

    def shown_sigmas(self, plan: Plan) -> Float:
        """The ratio at which each step begins and ends, without the midpoints, and twice the last: diffusers' ``sigmas``."""
        return shown_ratios(plan)

    def shown_timesteps(self, plan: Plan) -> Array:
        """float32 as elsewhere, but float64 where ratios are spread by a formula, as diffusers' are."""
        return shown_timesteps(self, plan)


def midpoint_call(
    prediction: Prediction,
    timestep: float,
    now: float,
    middle: float,
    then: float,
    *,
    down: float | None = None,
    up: float = 0.0,
    draws: bool = False,
) -> StagedCall:
    """Return the second call: from the anchor at ``now`` along the slope at ``middle``, to ``down`` of the ratio ``then`` or all of it."""
    alpha, alpha_next = scales(now)[0], scales(then)[0]
    length = alpha_next * ((then if down is None else down) - now)
    eps_x, eps_output = eps_weights(prediction, *scales(middle))
    return StagedCall(
        timestep=timestep,
        ratio=middle,
        x=length * eps_x,
        output=length * eps_output,
        anchor=alpha_next / alpha,
        noise=alpha_next * up,
        draws=draws,
    )


def logarithmic_midpoints(now: Float, then: Float) -> F64:
    """Return the ratios in the middle between two, in their logarithm: computed in their own type, in torch.lerp's order.

    At its weight of one half torch.lerp starts from the end, which differs from the other order in last bits; a ratio of 0 has no middle,
    and gives 0.
    """
    real = now.dtype
    with np.errstate(divide="ignore", invalid="ignore"):
        start, end = (np.log(ratios.astype(np.float64)).astype(real) for ratios in (now, then))
        middle = end - (end - start) * real.type(0.5)
    return np.where(then == 0, 0, np.exp(middle.astype(np.float64)).astype(real)).astype(np.float64)


def told_whole(sampler: StagedSampler, timesteps: F64, request: Request) -> F64:
    """Return the timesteps that the network is told at the stops: as they are, or whole ones where diffusers rounds."""
    karras = sampler.sigma_spacing.kind == "karras" and request.timesteps is None and request.sigmas is None
    return np.round(timesteps) if sampler.compat == "diffusers" and karras else timesteps


def shown_ratios(plan: Plan) -> Float:
    """Return the ratios of steps as these two classes of diffusers list them, each twice but the first."""
    ratios = plan.sigmas[[*plan.starts, -1]] / plan.alphas[[*plan.starts, -1]]
    shown: Float = np.concatenate([ratios[:1], np.repeat(ratios[1:], 2), ratios[-1:]])
    return shown


def shown_timesteps(sampler: StagedSampler, plan: Plan) -> Array:
    """Return the timesteps in the dtype in which these two classes of diffusers have them."""
    return plan.timesteps.astype(np.float32 if sampler.sigma_spacing.kind == "interpolated" else np.float64)
