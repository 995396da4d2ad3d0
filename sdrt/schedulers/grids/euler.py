"""Stops of Euler's class of diffusers, which can also spread them evenly in the logarithm of the ratio, and between other ends."""

from dataclasses import dataclass
from typing import Literal

from sdrt.arrays import F64, Float
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.ratio import RatioGrid
from sdrt.schedulers.grids.sigmas import SigmaSpacing, exponential_ratios

__all__ = ["EulerGrid"]


@dataclass(frozen=True, kw_only=True)
class EulerGrid(RatioGrid):
    """``log_linear`` spreads n ratios over all trained ones, and the network takes the timesteps that belong to them."""

    sigma_spacing: SigmaSpacing = group(SigmaSpacing, without=["use_lu_lambdas"])
    interpolation_type: Literal["linear", "log_linear"] = setting("linear")

    def _choose(self, request: Request, training: Float) -> tuple[F64, F64]:
        if self.interpolation_type == "linear" or request.timesteps is not None:
            return super()._choose(request, training)
        high, low = float(training[-1]), float(training[0])
        if self.sigma_spacing.kind == "interpolated":
            ratios = exponential_ratios(high, low, request.n, self.functions)
        else:
            ratios = self.sigma_spacing.spread(high, low, request.n, self.functions)
        return self.network_timesteps(ratios), ratios
