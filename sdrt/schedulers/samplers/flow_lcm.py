"""Multistep consistency sampling of a rectified flow: each step goes to the predicted picture, and back with fresh noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sdrt.arrays import F64, Float
from sdrt.schedulers.core.run import Plan, State
from sdrt.schedulers.flow import DYNAMIC_FLOW_KEYS, FlowSampler
from sdrt.schedulers.one_step import one_call_plan
from sdrt.schedulers.weighted_sum import Weights, weighted_sum

__all__ = ["FlowLCM"]


@dataclass(frozen=True, kw_only=True)
class FlowLCM(FlowSampler):
    """x' = (1 - sigma') * x0 + sigma' * noise, for models distilled to a few steps.

    Noise is drawn at the last step too, where its weight is 0. Sampling at growing scales (``scale_factors``) changes the sample's shape on
    the way, which no state here does: it is refused, and without it ``upscale_mode`` says nothing.
    """

    name: ClassVar[str] = "FlowMatchLCMScheduler"
    keys: ClassVar[Mapping[str, Any]] = DYNAMIC_FLOW_KEYS | {"scale_factors": None, "upscale_mode": "bicubic"}
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {**FlowSampler.choices, "scale_factors": (None, [])}

    def _of_stops(self, timesteps: F64, sigmas: F64) -> Plan:
        return one_call_plan(timesteps, 1 - sigmas, sigmas, self._redrawn(sigmas), draws=True)

    def _advance(self, c: Weights, state: State, output: Float, noise: Float | None) -> State:
        return state.advance(weighted_sum(c, state.x, output, noise))
