"""The levels of consistency models: those of EDM's training schedule, by index (Song et al. 2023, arXiv:2303.01469, section 3)."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.schedulers.core.kinds import POSITIVE, whole
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Level, Request
from sdrt.schedulers.core.sampler import Grid
from sdrt.schedulers.core.settings import setting
from sdrt.schedulers.grids.edm import check_range
from sdrt.schedulers.grids.sigmas import karras_at
from sdrt.schedulers.grids.timesteps import check_timesteps

__all__ = ["ConsistencyGrid"]

_C_NOISE = 250.0  # the network's timestep is 1000 * log(sigma) / 4
_TINY = 1e-44  # what diffusers adds before the logarithm


@dataclass(frozen=True, kw_only=True)
class ConsistencyGrid(Grid):
    """Equidistant indices of the training's levels.

    Timesteps are such indices, which a caller passes descending, and which count from the noisiest: diffusers visits [22, 0] as 0, then 22.
    """

    num_train_timesteps: int = setting(40, kind=whole(2))
    sigma_min: float = setting(0.002, kind=POSITIVE)
    sigma_max: float = setting(80.0, kind=POSITIVE)
    sigma_data: float = setting(0.5, kind=POSITIVE)  # deviation of the training data
    rho: float = setting(7.0, kind=POSITIVE)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.sigma_min, self.sigma_max)

    def levels(self, request: Request) -> tuple[Level, ...]:
        """Return the stops of a run, sigma_min the last."""
        ramp = self._indices(request) / (self.num_train_timesteps - 1)
        exact = karras_at(ramp, self.sigma_max, self.sigma_min, self.rho, self.functions)
        sigmas = np.append(exact, self.sigma_min).astype(real_type(self.numerics)).astype(np.float64)
        timesteps = [*(_C_NOISE * self.functions.log(exact + _TINY)).tolist(), 0.0]
        return tuple(Level(timestep, sigma, 1.0, sigma) for timestep, sigma in zip(timesteps, sigmas.tolist(), strict=True))

    def init_scale(self, first: Level) -> float:
        """Return the deviation of the first noise: the first level's."""
        return first.sigma

    def _indices(self, request: Request) -> F64:
        """Return the levels of a run, counted from the noisiest: f64[n], ascending."""
        T = self.num_train_timesteps
        if request.timesteps is None:
            return np.arange(request.n, dtype=np.float64) * (T // request.n)
        indices = np.trunc(check_timesteps(request.timesteps, T))[::-1]
        if np.any(np.diff(indices) <= 0):
            raise ConfigError(
                f"timesteps must be whole and differ from each other, got {indices[::-1].tolist()}; leave out those that repeat"
            )
        return indices
