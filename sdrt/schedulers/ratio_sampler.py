"""What the samplers of k-diffusion share: stops chosen by noise-to-signal ratio, and how diffusers names the ways to choose them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sdrt.arrays import F64, Float
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.grids.ratio import training_ratios
from sdrt.schedulers.grids.sigmas import SIGMA_KEYS, FinalSigma, SigmaSpacing
from sdrt.schedulers.ratio_stops import ratio_stops, timesteps_of
from sdrt.schedulers.scheduled import SCHEDULE_KEYS, TERMINAL, ScheduledSampler
from sdrt.schedulers.spacing import Spacing

__all__ = ["RATIO_KEYS", "EndedRatioSampler", "RatioSampler"]

RATIO_KEYS: dict[str, Any] = SCHEDULE_KEYS | SIGMA_KEYS | {"timestep_spacing": "linspace"}


@dataclass(frozen=True, kw_only=True)
class RatioSampler(ScheduledSampler):
    """A sampler that chooses its stops by ratio, and whose class of diffusers works on x / alpha."""

    exploding: ClassVar[bool] = True
    terminal_alpha_bar: ClassVar[float] = TERMINAL
    takes: ClassVar[frozenset[str]] = frozenset({"timesteps", "sigmas"})

    timestep_spacing: Spacing = "linspace"
    sigma_spacing: SigmaSpacing = field(default_factory=SigmaSpacing)

    def _stops(self, request: Request, final: FinalSigma = "zero", *, fine: bool = False) -> tuple[F64, Float]:
        """Return timesteps f64[n] and ratios real[n + 1]: see :func:`ratio_stops`."""
        return ratio_stops(self, request, self.sigma_spacing, final, fine=fine)

    def _told(self, ratios: F64) -> F64:
        """Return the timesteps that the network is told at these ratios."""
        return timesteps_of(ratios, training_ratios(self.alpha_bar(), real_type(self.numerics)))

    def _config(self) -> dict[str, Any]:
        return super()._config() | self.sigma_spacing.config()

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {"sigma_spacing": SigmaSpacing.read(values)}


@dataclass(frozen=True, kw_only=True)
class EndedRatioSampler(RatioSampler):
    """One of these whose run may end at the smallest trained ratio instead of none: samplers of sdrt's own, in diffusers' manner."""

    keys: ClassVar[Mapping[str, Any]] = RATIO_KEYS | {"final_sigmas_type": "zero", "rescale_betas_zero_snr": False}
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {"final_sigmas_type": ("zero", "sigma_min")}

    final_sigma: FinalSigma = "zero"

    def _config(self) -> dict[str, Any]:
        return super()._config() | {"final_sigmas_type": self.final_sigma}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {"final_sigma": values["final_sigmas_type"]}
