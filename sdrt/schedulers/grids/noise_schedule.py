"""How much noise training added at each timestep: betas, and alpha_bar, their cumulative signal power.

Two numerics. ``float64`` computes as written. ``float32`` computes as PyTorch does on x86-64: its rounding is part of a model's schedule
(sigma_min in pure float64 differs by 1.3e-5 relative), so it is reproduced operation by operation and the result then held in float64.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from sdrt.arrays import F64, Float, Numerics
from sdrt.errors import ConfigError
from sdrt.exact import sequences
from sdrt.exact.mathematics import Functions, functions_of
from sdrt.schedulers.core.kinds import ANY_FLAG, whole
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.settings import check_codec
from sdrt.values import Choice, Kind, ListOf, Nullable, Number

__all__ = ["BetaSchedule", "NoiseSchedule", "linspace"]

BetaSchedule = Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace", "exp"]

_BETA = Number(0, 0.9999, above=True)

# Less signal than this is none: ratios of noise to signal have squares, which float32 must hold. Real schedules end above 1e-9.
_LEAST_ALPHA_BAR = 1e-30

_MAX_BETA = 0.999  # Nichol and Dhariwal 2021, section 3.2: keeps the last steps from being singular


@dataclass(frozen=True, kw_only=True)
class NoiseSchedule:
    """The training schedule, as diffusers' configurations describe it.

    Raises
    ------
    ConfigError : a value that gives no schedule
    """

    KEYS: ClassVar[Mapping[str, Any]] = {
        "num_train_timesteps": 1000,
        "beta_start": 0.0001,
        "beta_end": 0.02,
        "beta_schedule": "linear",
        "trained_betas": None,
        "rescale_betas_zero_snr": False,
    }
    KINDS: ClassVar[Mapping[str, Kind[Any]]] = {
        "num_train_timesteps": whole(2),
        "beta_start": _BETA,
        "beta_end": _BETA,
        "beta_schedule": Choice("linear", "scaled_linear", "squaredcos_cap_v2"),  # and others in some classes
        "trained_betas": Nullable(ListOf(_BETA, minimum=2)),
        "rescale_betas_zero_snr": ANY_FLAG,
    }

    num_train_timesteps: int = 1000  # T
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: BetaSchedule = "linear"
    trained_betas: tuple[float, ...] | None = None  # replaces the four above
    rescale_betas_zero_snr: bool = False  # Lin et al. 2024 (arXiv:2305.08891), algorithm 1: the last timestep is pure noise
    terminal_alpha_bar: float = 0.0  # what the last alpha_bar then is: 2**-24 in diffusers' sigma-based classes, which divide by it

    def __post_init__(self) -> None:
        check_codec(self)
        if self.trained_betas is not None:
            if len(self.trained_betas) != self.num_train_timesteps:
                raise ConfigError(
                    f"trained_betas must hold num_train_timesteps = {self.num_train_timesteps} values, "
                    f"got {len(self.trained_betas)}; make both agree"
                )
        elif self.beta_schedule in ("linear", "scaled_linear", "sigmoid") and self.beta_start > self.beta_end:
            raise ConfigError(f"beta_start must not be above beta_end, got {self.beta_start} and {self.beta_end}; SD has 0.00085 and 0.012")

    @classmethod
    def read(cls, values: Mapping[str, Any], terminal_alpha_bar: float = 0.0) -> "NoiseSchedule":
        """Read diffusers' keys; those that a class does not have are at their defaults."""
        betas = values.get("trained_betas")
        return cls(
            num_train_timesteps=len(betas) if betas is not None else values["num_train_timesteps"],
            beta_start=values.get("beta_start", 0.0001),
            beta_end=values.get("beta_end", 0.02),
            beta_schedule=values.get("beta_schedule", "linear"),
            trained_betas=None if betas is None else tuple(map(float, betas)),
            rescale_betas_zero_snr=bool(values.get("rescale_betas_zero_snr")),
            terminal_alpha_bar=terminal_alpha_bar,
        )

    def config(self) -> dict[str, Any]:
        """Return diffusers' keys."""
        return {
            "num_train_timesteps": self.num_train_timesteps,
            "beta_start": self.beta_start,
            "beta_end": self.beta_end,
            "beta_schedule": self.beta_schedule,
            "trained_betas": None if self.trained_betas is None else list(self.trained_betas),
            "rescale_betas_zero_snr": self.rescale_betas_zero_snr,
        }

    def betas(self, numerics: Numerics = "float32") -> F64:
        """Return the noise variance added at each timestep, f64[T], rescaled if the settings say so."""
        betas = _plain_betas(self, numerics)
        return (_rescale_to_zero_snr(betas) if self.rescale_betas_zero_snr else betas).astype(np.float64)

    def alpha_bar(self, numerics: Numerics = "float32") -> F64:
        """Return the cumulative product of 1 - beta, f64[T], read-only.

        Raises
        ------
        ConfigError : betas that add nothing, or leave nothing
        """
        return _alpha_bar(self, numerics)


@lru_cache(maxsize=32)
def _alpha_bar(schedule: NoiseSchedule, numerics: Numerics) -> F64:
    betas = schedule.betas(numerics).astype(real_type(numerics))
    product = _cumulative_product(1 - betas).astype(np.float64)
    if not (
        product[0] < 1 and product[:-1].min() > _LEAST_ALPHA_BAR and (schedule.rescale_betas_zero_snr or product[-1] > _LEAST_ALPHA_BAR)
    ):
        raise ConfigError(
            f"betas must add noise at the first timestep and leave signal at the last, got alpha_bar {product[0]:g} to {product[-1]:g}; "
            "set the betas as the model's configuration has them"
        )
    if schedule.rescale_betas_zero_snr:
        product[-1] = schedule.terminal_alpha_bar
    product.setflags(write=False)
    return product


def _plain_betas(schedule: NoiseSchedule, numerics: Numerics) -> Float:
    """Return the betas in the real type of the numerics."""
    real, T, functions = real_type(numerics), schedule.num_train_timesteps, functions_of(numerics)
    if schedule.trained_betas is not None:
        return np.array(schedule.trained_betas, real)
    match schedule.beta_schedule:
        case "linear":
            return linspace(schedule.beta_start, schedule.beta_end, T, numerics)
        case "scaled_linear":
            first, last = (functions.power(end, 0.5) for end in (schedule.beta_start, schedule.beta_end))
            roots = linspace(first, last, T, numerics)
            return roots * roots
        case "squaredcos_cap_v2":
            return np.array(_betas_of(_cosine_signal, T, functions), real)
        case "laplace":
            return np.array(_betas_of(_laplace_signal, T, functions), real)
        case "exp":
            return np.array(_betas_of(_exponential_signal, T, functions), real)
        case "sigmoid":
            rise: Float = _sigmoid(linspace(-6, 6, T, numerics), functions)
            rise *= real(schedule.beta_end - schedule.beta_start)
            rise += real(schedule.beta_start)
            return rise
    raise ConfigError(f"beta_schedule must be one of {', '.join(get_args(BetaSchedule))}, got {schedule.beta_schedule!r}; choose one")


def _betas_of(signal: Callable[[float, Functions], float], T: int, functions: Functions) -> list[float]:
    """Return the betas whose running product follows a signal power given over the progress in [0, 1]; in float64, as diffusers does."""
    powers = [signal(i / T, functions) for i in range(T + 1)]
    return [min(1 - later / power, _MAX_BETA) for power, later in pairwise(powers)]


def _cosine_signal(progress: float, functions: Functions) -> float:
    """Return alpha_bar of the cosine schedule (Nichol and Dhariwal 2021, equation 17)."""
    power: float = functions.square(functions.cos((progress + 0.008) / 1.008 * math.pi / 2))
    return power


def _laplace_signal(progress: float, functions: Functions) -> float:
    """Return alpha_bar of the schedule whose log-SNR is spread by Laplace's distribution (Hang and Gu 2024, arXiv:2407.03297).

    As diffusers has it, with the square root that turns the paper's alpha_bar into alpha: models are trained on what is written there.
    """
    log_snr = -0.5 * math.copysign(1, 0.5 - progress) * functions.log(1 - 2 * abs(0.5 - progress) + 1e-6)
    snr = functions.exp(log_snr)
    return math.sqrt(snr / (1 + snr))


def _exponential_signal(progress: float, functions: Functions) -> float:
    """Return alpha_bar of a log-signal that falls evenly, to exp(-12)."""
    power: float = functions.exp(-12.0 * progress)
    return power


def _sigmoid(x: Float, functions: Functions) -> Float:
    """Return the logistic function, computed in float64 and rounded once: within a unit in the last place of torch's."""
    result: Float = (1 / (1 + functions.exp(-x.astype(np.float64)))).astype(x.dtype)
    return result


def linspace(start: float, end: float, count: int, numerics: Numerics) -> Float:
    """Return evenly spaced values; in float32 as torch.linspace computes them.

    torch counts from both ends with a float32 step, in one fused multiply-add each: float64 holds the exact product here.
    """
    if numerics == "float64":
        return sequences.linspace(start, end, count)
    first, last = np.float32(start), np.float32(end)
    step = np.float64((last - first) / np.float32(count - 1))
    i = np.arange(count)
    return np.where(i < count // 2, first + i * step, last - (count - 1 - i) * step).astype(np.float32)


def _cumulative_product(x: Float) -> Float:
    """Return the running product, accumulated in float64 and rounded at each output: torch.cumprod's way on CPU."""
    return np.cumprod(x, dtype=np.float64).astype(x.dtype)


def _rescale_to_zero_snr(betas: Float) -> Float:
    """Shift and scale sqrt(alpha_bar) so that the last is 0 and the first stays (Lin et al. 2024, algorithm 1)."""
    root = np.sqrt(_cumulative_product(1 - betas))
    first, last = root[0], root[-1]
    root = (root - last) * (first / (first - last))
    alpha_bar = root * root
    alphas = np.concatenate([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])
    return 1 - alphas
