"""How an ancestral step divides: down below the stop that it ends at, and back up with fresh noise."""

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError

__all__ = ["ancestral_split", "check_noise"]


def ancestral_split(now: F64, then: F64, eta: float = 1.0) -> tuple[F64, F64]:
    """Return (down, up) with down**2 + up**2 = then**2.

    Parameters
    ----------
    now, then : f64, now >= then
        Ratios of noise to signal where a step starts and where it ends; now is above 0.
    eta : float, at least 0
        How much of the variance is fresh: 0 none, 1 as much as the training's own process has when it is run backwards.

    Source: k-diffusion, ``get_ancestral_step``; the differences of squares are divided out, which near 0 would cancel.
    """
    fall = then / now
    share = np.minimum(eta**2 * (1 - fall * fall), 1)
    return then * np.sqrt(1 - share), then * np.sqrt(share)


def check_noise(**amounts: float) -> None:
    """Raise ConfigError for an amount of fresh noise below 0, each under its own name."""
    for name, amount in amounts.items():
        if not amount >= 0:
            raise ConfigError(f"{name} must be at least 0, got {amount}; 0 adds no noise")
