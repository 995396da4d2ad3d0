"""Euler's method on a rectified flow (Esser et al. 2024, arXiv:2403.03206): what Stable Diffusion 3 and FLUX are sampled with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.schedulers.core.run import Plan, State
from sdrt.schedulers.flow import DYNAMIC_FLOW_KEYS, FlowSampler
from sdrt.schedulers.one_step import one_call_plan
from sdrt.schedulers.weighted_sum import Weights, weighted_sum

__all__ = ["FlowEuler"]


@dataclass(frozen=True, kw_only=True)
class FlowEuler(FlowSampler):
    """x' = x + (sigma' - sigma) * output; or, with ``stochastic_sampling``, to x0 and back with fresh noise at every step.

    Noise is drawn at the last step too, where its weight is 0: the stream's position is part of the contract.
    """

    name: ClassVar[str] = "FlowMatchEulerDiscreteScheduler"
    keys: ClassVar[Mapping[str, Any]] = DYNAMIC_FLOW_KEYS | {"stochastic_sampling": False}

    stochastic_sampling: bool = False

    def _config(self) -> dict[str, Any]:
        return super()._config() | {"stochastic_sampling": self.stochastic_sampling}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {"stochastic_sampling": bool(values["stochastic_sampling"])}

    def _of_stops(self, timesteps: F64, sigmas: F64) -> Plan:
        steps = self._redrawn(sigmas) if self.stochastic_sampling else self._straight(sigmas)
        return one_call_plan(timesteps, 1 - sigmas, sigmas, steps, draws=self.stochastic_sampling)

    def _straight(self, sigmas: F64) -> tuple[Weights, ...]:
        return tuple(Weights(sample=1.0, output=self._sign * difference) for difference in np.diff(sigmas).tolist())

    def _advance(self, c: Weights, state: State, output: Float, noise: Float | None) -> State:
        return state.advance(weighted_sum(c, state.x, output, noise))
