"""Formulas that spread ratios of noise to signal: the variance-exploding "sigmas" of Karras et al. 2022."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.exact.sequences import interp, linspace
from sdrt.printable import shown
from sdrt.schedulers.core.kinds import ANY_FLAG, POSITIVE
from sdrt.schedulers.core.settings import check_codec
from sdrt.schedulers.grids.beta_quantile import beta_quantile
from sdrt.values import Choice, Either, Kind, Nullable

__all__ = [
    "SIGMA_FLAGS",
    "SIGMA_KEYS",
    "FinalSigma",
    "SigmaKind",
    "SigmaSpacing",
    "beta_ratios",
    "exponential_ratios",
    "karras_at",
    "karras_ratios",
    "log_linear_table",
]

SigmaKind = Literal["interpolated", "karras", "exponential", "beta", "lu", "ays"]
FinalSigma = Literal["zero", "sigma_min"]

SIGMA_KEYS: dict[str, Any] = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "use_ays_sigmas": False,
}

SIGMA_FLAGS: dict[str, str] = {
    "karras": "use_karras_sigmas",
    "exponential": "use_exponential_sigmas",
    "beta": "use_beta_sigmas",
    "lu": "use_lu_lambdas",
    "ays": "use_ays_sigmas",  # sdrt's own key: diffusers has the tables (AysSchedules), and no configuration for them
}
_RHO = 7.0  # Karras et al. 2022 (arXiv:2206.00364), table 1
_BETA = 0.6  # both parameters of the beta distribution (Lee et al. 2024, arXiv:2407.12173)

# Sabour et al. 2024, "Align Your Steps" (arXiv:2404.14507): the ten-step ratios that its authors publish for Stable Diffusion 1.5 and XL.
_AYS = {
    "sd": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
}


@dataclass(frozen=True, kw_only=True)
class SigmaSpacing:
    """How the ratios of a run are chosen: at the timesteps' own, or spread by a formula between two ends.

    Raises
    ------
    ConfigError : a kind or a table that there is not, or an end that is not above 0
    """

    KEYS: ClassVar[Mapping[str, Any]] = {**SIGMA_KEYS, "use_lu_lambdas": False, "sigma_min": None, "sigma_max": None}
    KINDS: ClassVar[Mapping[str, Kind[Any]]] = {
        **dict.fromkeys(SIGMA_FLAGS.values(), ANY_FLAG),
        "use_ays_sigmas": Either(ANY_FLAG, Choice(*_AYS)),
        "sigma_min": Nullable(POSITIVE),
        "sigma_max": Nullable(POSITIVE),
    }

    kind: SigmaKind = "interpolated"
    sigma_min: float | None = None  # ends of the formula; None: the sampler's own
    sigma_max: float | None = None
    ays: str = "sd"  # whose table kind "ays" takes: sd or sdxl

    def __post_init__(self) -> None:
        check_codec(self)
        if self.kind not in ("interpolated", *SIGMA_FLAGS) or self.ays not in _AYS:
            raise ConfigError(
                f"kind must be interpolated, {', '.join(SIGMA_FLAGS)}, and its table {' or '.join(_AYS)}, "
                f"got {shown(self.kind)} and {shown(self.ays)}; choose among them"
            )

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "SigmaSpacing":
        """Read diffusers' keys, of which one flag may be set.

        Raises
        ------
        ConfigError : two flags are set
        """
        kinds = [kind for kind, flag in SIGMA_FLAGS.items() if values.get(flag)]
        if len(kinds) > 1:
            raise ConfigError(
                f"one way to spread sigmas must be set at most, got {', '.join(SIGMA_FLAGS[kind] for kind in kinds)}; choose one"
            )
        kind: Any = kinds[0] if kinds else "interpolated"
        table = values.get(SIGMA_FLAGS["ays"])
        return cls(
            kind=kind, sigma_min=values.get("sigma_min"), sigma_max=values.get("sigma_max"), ays=table if isinstance(table, str) else "sd"
        )

    def config(self) -> dict[str, Any]:
        """Return these settings under diffusers' keys."""
        flags: dict[str, Any] = {flag: kind == self.kind for kind, flag in SIGMA_FLAGS.items() if kind != "ays"}
        if self.kind == "ays":  # a key that diffusers does not know is written only where it says something
            flags[SIGMA_FLAGS["ays"]] = self.ays
        return flags | {"sigma_min": self.sigma_min, "sigma_max": self.sigma_max}

    @classmethod
    def named(cls, name: str | None) -> "SigmaSpacing":
        """Read sdrt's own key ``sigma_spacing``, for classes to which diffusers gave no flags: a kind, or "ays sdxl"."""
        kind, _, table = (name or "interpolated").partition(" ")
        return cls(kind=kind, ays=table or "sd")  # type: ignore[arg-type]

    def named_config(self) -> dict[str, Any]:
        """Return these settings under that key, which is written only where it says something."""
        if self.kind == "interpolated":
            return {}
        return {"sigma_spacing": f"{self.kind} {self.ays}" if self.ays != "sd" else self.kind}

    def spread(self, first: float, last: float, n: int, functions: Functions = PLATFORM) -> F64:
        """Spread n ratios from ``first`` down to ``last``, where the settings do not say otherwise: f64[n].

        Raises
        ------
        ConfigError : ends that do not fall
        """
        high = first if self.sigma_max is None else self.sigma_max
        low = last if self.sigma_min is None else self.sigma_min
        own_ends = self.sigma_min is not None or self.sigma_max is not None  # an inverse run's rise, and are the schedule's
        if own_ends and n > 1 and not low < high:
            raise ConfigError(f"sigma_min must be below sigma_max, got {low:g} and {high:g}; leave both out for the model's own")
        if self.kind == "ays":
            return log_linear_table(_AYS[self.ays], n, functions)
        return _SPREADS[self.kind](high, low, n, functions=functions)


def karras_ratios(high: float, low: float, n: int, rho: float = _RHO, functions: Functions = PLATFORM) -> F64:
    """Spread n ratios by equation 5 of Karras et al. 2022: f64[n]."""
    return karras_at(linspace(0, 1, n), high, low, rho, functions)


def karras_at(ramp: F64, high: float, low: float, rho: float = _RHO, functions: Functions = PLATFORM) -> F64:
    """Return the ratios at positions between the two ends of that spread, 0 the high one and 1 the low one: f64 of the same shape."""
    start, end = functions.power(high, 1 / rho), functions.power(low, 1 / rho)
    ratios: F64 = functions.power(start + ramp * (end - start), rho)
    return ratios


def exponential_ratios(high: float, low: float, n: int, functions: Functions = PLATFORM) -> F64:
    """Spread n ratios evenly in their logarithm: f64[n]."""
    ratios: F64 = functions.exp(linspace(functions.log(float(high)), functions.log(float(low)), n))
    return ratios


def beta_ratios(high: float, low: float, n: int, functions: Functions = PLATFORM) -> F64:
    """Spread n ratios by the quantiles of a beta distribution, dense at both ends: f64[n]."""
    quantiles = np.array([beta_quantile(1 - p, _BETA, _BETA, functions) for p in linspace(0, 1, n).tolist()])
    ratios: F64 = low + quantiles * (high - low)
    return ratios


def log_linear_table(table: tuple[float, ...], n: int, functions: Functions = PLATFORM) -> F64:
    """Resample a table of falling ratios to n + 1 in its logarithm, and return all but the last, which ends the run: f64[n].

    Source: the authors' notebook (research.nvidia.com/labs/toronto-ai/AlignYourSteps), function ``loglinear_interp``.
    """
    at = linspace(0, 1, n + 1)
    ratios: F64 = functions.exp(interp(at, linspace(0, 1, len(table)), functions.log(np.array(table))))
    return ratios[:-1]


_SPREADS: dict[str, Callable[..., F64]] = {
    "karras": karras_ratios,
    "exponential": exponential_ratios,
    "beta": beta_ratios,
    "lu": exponential_ratios,  # even in lambda, which is the logarithm of 1 / ratio (Lu et al. 2022, arXiv:2206.00927, section 3.3)
}
