"""LCM: multistep sampling from a latent consistency model (Luo et al. 2023, arXiv:2310.04378, algorithm 3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.schedulers.blend import Blend, blended, blends
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.prediction import check_alpha
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.distilled import DISTILLED_KEYS, DistilledSampler
from sdrt.schedulers.one_step import one_call_plan
from sdrt.schedulers.steps.bounds import NO_BOUND, X0Bound, divided_by

__all__ = ["LCM", "LCMStep"]

_SIGMA_DATA = 0.5  # deviation of the data in the boundary conditions of Song et al. 2023 (arXiv:2303.01469), equation 25


@dataclass(frozen=True, kw_only=True)
class LCMStep:
    """The numbers of one step."""

    mean: Blend
    deviation: float


@dataclass(frozen=True, kw_only=True)
class LCM(DistilledSampler):
    """Each call jumps to a clean sample; fresh noise brings it back up to the next timestep."""

    name: ClassVar[str] = "LCMScheduler"
    keys: ClassVar[Mapping[str, Any]] = DISTILLED_KEYS

    bound: X0Bound = NO_BOUND

    def _plan(self, request: Request) -> Plan:
        timesteps = self._visited(request)
        draws = self._draws(request, len(timesteps))
        real, table = real_type(self.numerics), self.alpha_bar()
        now = table[timesteps].astype(real)
        # A last step that draws, as diffusers makes one, ends where it began.
        then = np.append(now[1:], now[-1] if draws[-1] else real(1))
        alphas, sigmas = divided_by(np.sqrt(now), self.bound, self.compat), np.sqrt(1 - now)
        check_alpha(self.prediction_type, float(alphas.min()))
        c_skip, c_out = self._boundary(timesteps.astype(real))
        means = blends(self.prediction_type, alphas, sigmas, np.sqrt(then) * c_out, np.sqrt(then) * c_skip)
        deviations = np.sqrt(1 - then)
        return one_call_plan(
            timesteps,
            np.append(alphas, np.sqrt(then[-1:])).astype(np.float64),
            np.append(sigmas, deviations[-1:]).astype(np.float64),
            tuple(LCMStep(mean=mean, deviation=deviation) for mean, deviation in zip(means, deviations.tolist(), strict=True)),
            draws=draws,
        )

    def _boundary(self, timesteps: Array) -> tuple[Float, Float]:
        """Return the weights (c_skip, c_out) that make the consistency function the identity at timestep 0."""
        scaled = timesteps * timesteps.dtype.type(self.timestep_scaling)
        total = scaled**2 + _SIGMA_DATA**2
        return _SIGMA_DATA**2 / total, scaled / np.sqrt(total)

    def _advance(self, c: LCMStep, state: State, output: Float, noise: Float | None) -> State:
        x = blended(c.mean, self.prediction_type, self.bound, state.x, output)
        if noise is not None:
            np.add(x, noise * c.deviation, out=x)
        return state.advance(x)

    def _x0_bound(self) -> X0Bound:
        return self.bound

    def _config(self) -> dict[str, Any]:
        return super()._config() | self.bound.config()

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {"bound": X0Bound.read(values)}
