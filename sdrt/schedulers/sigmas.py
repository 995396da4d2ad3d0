"""Noise-to-signal ratios: the variance-exploding "sigmas" of Karras et al. 2022, which are sigma / alpha in sdrt's own terms.

Samplers that choose their stops by ratio take them from here, and turn them into (alpha, sigma) with :func:`alpha_sigma`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.errors import ConfigError

__all__ = [
    "FinalSigma",
    "SigmaKind",
    "SigmaSpacing",
    "alpha_sigma",
    "interpolated",
    "ratio_stops",
    "ratio_to_timestep",
    "training_ratios",
    "with_final_ratio",
]

SigmaKind = Literal["interpolated", "karras"]
FinalSigma = Literal["zero", "sigma_min"]

_RHO = 7.0  # Karras et al. 2022 (arXiv:2206.00364), table 1


@dataclass(frozen=True, kw_only=True)
class SigmaSpacing:
    """How the ratios of a run are chosen."""

    kind: SigmaKind = "interpolated"  # at the timesteps' own ratios, or spread by a formula between the ends
    sigma_min: float | None = None  # ends of the formula; None: the sampler's own
    sigma_max: float | None = None

    def config(self) -> dict[str, Any]:
        """Return these settings under diffusers' keys."""
        return {"use_karras_sigmas": self.kind == "karras", "sigma_min": self.sigma_min, "sigma_max": self.sigma_max}

    def spread(self, first: float, last: float, n: int) -> F64:
        """Spread n ratios from ``first`` down to ``last``, where the settings do not say otherwise: f64[n]."""
        high = first if self.sigma_max is None else self.sigma_max
        low = last if self.sigma_min is None else self.sigma_min
        return _SPREADS[self.kind](high, low, np.linspace(0, 1, n))


def _karras(high: float, low: float, ramp: F64) -> F64:
    """Equation 5 of Karras et al. 2022."""
    start, end = high ** (1 / _RHO), low ** (1 / _RHO)
    found: F64 = (start + ramp * (end - start)) ** _RHO
    return found


_SPREADS: dict[str, Callable[[float, float, F64], F64]] = {"karras": _karras}


def training_ratios(alpha_bar: F64, real: type[Any]) -> Float:
    """Return sqrt((1 - alpha_bar) / alpha_bar) at every trained timestep, ascending: real[T]."""
    if not alpha_bar[-1]:
        raise ConfigError("ratios of noise to signal need a last alpha_bar above 0; set terminal_alpha_bar (diffusers takes 2**-24)")
    a: Float = alpha_bar.astype(real)
    ratios: Float = np.sqrt((1 - a) / a)
    return ratios


def interpolated(ratios: Float, timesteps: F64) -> F64:
    """Return the ratio at each timestep, linear between the trained ones: f64[n]."""
    return np.interp(timesteps, np.arange(len(ratios)), ratios)


def ratio_to_timestep(ratios: F64, training: Float) -> F64:
    """Return the fractional timestep at which training had each ratio, linear in its logarithm, held in [0, T - 1]: f64[n]."""
    table, log_ratio = np.log(training), np.log(np.maximum(ratios, 1e-10))
    low = np.clip(np.searchsorted(table, log_ratio, side="right") - 1, 0, len(table) - 2)
    weight = np.clip((table[low] - log_ratio) / (table[low] - table[low + 1]), 0, 1)
    found: F64 = (1 - weight) * low + weight * (low + 1)
    return found


def alpha_sigma(ratios: Float) -> tuple[Float, Float]:
    """Turn ratios of noise to signal into (alpha, sigma) with alpha**2 + sigma**2 = 1, in the dtype of the ratios."""
    alpha = 1 / np.sqrt(ratios * ratios + 1)
    return alpha, ratios * alpha


def ratio_stops(alpha_bar: F64, timesteps: F64, spacing: SigmaSpacing, final: FinalSigma, real: type[Any]) -> tuple[F64, Float]:
    """Choose the stops of a run by their ratio, as Euler's family does: a formula spreads them between the timesteps' own ends.

    Parameters
    ----------
    timesteps : f64[n]
        Where the timestep spacing put them.
    final : {"zero", "sigma_min"}
        The ratio at which the run ends: none, or the smallest trained one.

    Returns
    -------
    timesteps : f64[n], fractional, with float32 values where ``real`` is
    ratios : real[n + 1], descending
    """
    training = training_ratios(alpha_bar, real)
    at_float = timesteps.astype(real).astype(np.float64)
    ratios = interpolated(training, at_float)
    if spacing.kind != "interpolated":
        ratios = spacing.spread(ratios[0], ratios[-1], len(ratios))
        at_float = ratio_to_timestep(ratios, training).astype(real).astype(np.float64)
    return at_float, with_final_ratio(ratios, training, final)


def with_final_ratio(ratios: F64, training: Float, final: FinalSigma) -> Float:
    """Append the ratio at which the run ends, in the type of the training table."""
    return np.append(ratios, 0.0 if final == "zero" else training[0]).astype(training.dtype)
