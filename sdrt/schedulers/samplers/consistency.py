"""Multistep sampling of consistency models (Song et al. 2023, arXiv:2303.01469, algorithm 1)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import F64, Array, Float
from sdrt.errors import ConfigError
from sdrt.schedulers.base import Sampler
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.edm import check_karras, input_scales
from sdrt.schedulers.grids.sigmas import karras_at
from sdrt.schedulers.spacing import given
from sdrt.schedulers.steps.bounds import NO_BOUND, X0Bound
from sdrt.schedulers.weighted_sum import Weights, weighted_sum

__all__ = ["ConsistencyModel"]

_SAME = ("num_train_timesteps", "sigma_min", "sigma_max", "sigma_data", "s_noise", "rho")
_TOLD = 250.0  # the network is told 1000 * log(sigma) / 4
_TINY = 1e-44  # what diffusers adds before the logarithm


@dataclass(frozen=True, kw_only=True)
class ConsistencyModel(Sampler):
    """Each step goes to the predicted picture, and back to the next level with fresh noise.

    Timesteps are indices of the training's levels, which a caller passes descending, and which count from the noisiest: diffusers visits
    [22, 0] as 0, then 22. Noise is drawn at every step of a run of more than one, the last included, where its weight is 0.
    """

    name: ClassVar[str] = "CMStochasticIterativeScheduler"
    keys: ClassVar[Mapping[str, Any]] = {
        "num_train_timesteps": 40,
        "sigma_min": 0.002,
        "sigma_max": 80.0,
        "sigma_data": 0.5,
        "s_noise": 1.0,
        "rho": 7.0,
        "clip_denoised": True,
    }

    num_train_timesteps: int = 40
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5  # deviation of the training data
    s_noise: float = 1.0  # deviation of the fresh noise
    rho: float = 7.0
    clip_denoised: bool = True  # to [-1, 1]: for models of pixels

    def __post_init__(self) -> None:
        super().__post_init__()
        check_karras(self.sigma_min, self.sigma_max, self.sigma_data, self.rho)
        if self.num_train_timesteps < 2:
            raise ConfigError(f"num_train_timesteps must be at least 2, got {self.num_train_timesteps}; consistency models have 40")
        if not self.s_noise >= 0:
            raise ConfigError(f"s_noise must be at least 0, got {self.s_noise}")

    def _config(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in (*_SAME, "clip_denoised")}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: values[key] for key in _SAME} | {"clip_denoised": bool(values["clip_denoised"])}

    def _plan(self, request: Request) -> Plan:
        ramp = self._indices(request) / (self.num_train_timesteps - 1)
        exact = karras_at(ramp, self.sigma_max, self.sigma_min, self.rho)
        sigmas = np.append(exact, self.sigma_min).astype(real_type(self.numerics)).astype(np.float64)
        n = len(exact)
        return Plan(
            timesteps=_TOLD * np.log(exact + _TINY),
            alphas=np.ones(n + 1),
            sigmas=sigmas,
            coefficients=tuple(self._step(now, then) for now, then in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True)),
            draws=(n > 1,) * n,
            starts=tuple(range(n)),
            init_scale=self._first_scale(float(sigmas[0])),
            input_scale=input_scales(sigmas[:-1], self.sigma_data),
        )

    def _indices(self, request: Request) -> F64:
        """Return the levels of a run, counted from the noisiest: f64[n], ascending."""
        T = self.num_train_timesteps
        if request.timesteps is None:
            return np.arange(request.n, dtype=np.float64) * (T // request.n)
        found = np.trunc(given(request.timesteps, T))[::-1]
        if np.any(np.diff(found) <= 0):
            raise ConfigError(f"timesteps are whole and differ from each other, got {found[::-1].tolist()}; leave out those that repeat")
        return found

    def _first_scale(self, first: float) -> float:
        """Return the deviation of the first noise: the first level's. diffusers 0.42.1 takes ``sigma_max`` wherever a run begins."""
        return self.sigma_max if self.compat == "diffusers" else first

    def _step(self, sigma: float, then: float) -> Weights:
        """Return the weights of a step: to the end of the trajectory at sigma_min, and with noise to the next level."""
        c_skip, c_out = self.x0_weights(1.0, sigma)
        back = min(max(then, self.sigma_min), self.sigma_max)
        return Weights(sample=c_skip, output=c_out, noise=self.s_noise * math.sqrt(max(back**2 - self.sigma_min**2, 0.0)))

    def x0_weights(self, alpha: float, sigma: float) -> tuple[float, float]:
        """Return (c_skip, c_out), by which the network is the identity at sigma_min (the paper, appendix C). Alpha is 1 here."""
        del alpha
        above = sigma - self.sigma_min
        c_skip = self.sigma_data**2 / (above**2 + self.sigma_data**2)
        return c_skip, above * self.sigma_data / math.sqrt(sigma**2 + self.sigma_data**2)

    def shown_timesteps(self, plan: Plan) -> Array:
        """f64[calls]: this class of diffusers leaves them in float64."""
        return plan.timesteps

    def _x0_bound(self) -> X0Bound:
        return X0Bound(clip_sample_range=1.0) if self.clip_denoised else NO_BOUND

    def _advance(self, c: Weights, state: State, output: Float, noise: Float | None) -> State:
        x = weighted_sum(Weights(sample=c.sample, output=c.output), state.x, output)
        if self.clip_denoised:
            np.clip(x, -1, 1, out=x)
        if noise is not None and c.noise:
            np.add(x, noise * c.noise, out=x)
        return state.advance(x)
