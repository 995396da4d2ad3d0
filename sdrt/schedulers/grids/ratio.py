"""Stops that are chosen by their ratio of noise to signal, at fractional timesteps: Euler's family, which diffusers took from k-diffusion.

A ratio is sigma / alpha, the variance-exploding "sigma" of Karras et al. 2022; :func:`alpha_sigma` turns it into sdrt's own terms.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from sdrt.arrays import F64, Float, Numerics
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import PLATFORM, Functions, functions_of
from sdrt.exact.sequences import interp
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Level, Request
from sdrt.schedulers.core.sampler import Grid
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.noise_schedule import NoiseSchedule
from sdrt.schedulers.grids.sigmas import FinalSigma, SigmaSpacing
from sdrt.schedulers.grids.timesteps import TimestepSpacing
from sdrt.values import Choice

__all__ = [
    "TERMINAL",
    "NamedRatioGrid",
    "RatioGrid",
    "RatioLevels",
    "alpha_sigma",
    "level_at",
    "levels_of",
    "ratio_to_timestep",
    "schedule_ratios",
    "training_ratios",
]

# What diffusers' sigma-based classes put in place of a terminal alpha_bar of 0: the smallest float16, since they divide by it.
TERMINAL = 2.0**-24


class RatioLevels(NamedTuple):
    """The stops of a run."""

    timesteps: F64  # f64[n], fractional, with float32 values in float32 numerics
    ratios: Float  # real[n + 1], descending
    stops: tuple[Level, ...]  # the same n + 1, in float64


@dataclass(frozen=True, kw_only=True)
class RatioGrid(Grid):
    """The timesteps' own ratios, or ratios spread by a formula over the whole trained range, as in k-diffusion and AUTOMATIC1111.

    Ratios that a caller lays down (``sigmas``) are those of all stops, the end of the run among them; timesteps that a caller lays down
    take the place of the spacing and of the formula.
    """

    accepts: frozenset[str] = frozenset({"timesteps", "sigmas"})
    schedule: NoiseSchedule = group(NoiseSchedule, fixed={"terminal_alpha_bar": TERMINAL})
    spacing: TimestepSpacing = group(TimestepSpacing, timestep_spacing="linspace")
    sigma_spacing: SigmaSpacing = group(SigmaSpacing, without=("use_lu_lambdas", "sigma_min", "sigma_max"))
    final_sigma: FinalSigma = setting("zero", "final_sigmas_type")  # where a run ends: without noise, or at the smallest trained ratio
    reads_exact_timesteps: bool = False  # whether ratios are read at the timesteps before these are rounded to the numerics' type

    @property
    def num_train_timesteps(self) -> int:
        """T, the length of the training schedule."""
        return self.schedule.num_train_timesteps

    def alpha_bar(self) -> F64:
        """Return the signal power at every trained timestep, f64[T]."""
        return self.schedule.alpha_bar(self.numerics)

    def levels(self, request: Request) -> RatioLevels:
        """Choose the stops of a run.

        Raises
        ------
        ConfigError : timesteps that it cannot visit
        """
        training = schedule_ratios(self.schedule, self.numerics)
        if request.sigmas is not None:
            ratios = np.array(request.sigmas, training.dtype)
            timesteps = self.network_timesteps(ratios[:-1].astype(np.float64))
        else:
            timesteps, chosen = self._choose(request, training)
            ratios = np.append(chosen, 0.0 if self.final_sigma == "zero" else training[0]).astype(training.dtype)
        in_float64 = ratios.astype(np.float64)
        end = self.network_timesteps(in_float64[-1:]).tolist() if ratios[-1] else [0.0]
        alphas, sigmas = alpha_sigma(in_float64)
        stops = tuple(map(Level, timesteps.tolist() + end, in_float64.tolist(), alphas.tolist(), sigmas.tolist()))
        return RatioLevels(timesteps, ratios, stops)

    def init_scale(self, first: Level) -> float:
        """Return the scale of the initial noise, as diffusers 0.42.1 has it (``init_noise_sigma``).

        ``leading`` starts at unit variance; the others at sigma, as if the image were empty: less than 1 by 0.2 % for SD 1.x.
        """
        return 1.0 if self.spacing.kind == "leading" else first.sigma

    def network_timesteps(self, ratios: F64) -> F64:
        """Return the network's timesteps at these ratios, rounded to the numerics' type: f64[n], fractional."""
        training = schedule_ratios(self.schedule, self.numerics)
        return ratio_to_timestep(ratios, training, functions_of(self.numerics)).astype(training.dtype).astype(np.float64)

    def levels_at(self, ratios: F64) -> tuple[Level, ...]:
        """Return the levels of these ratios, with the network's timesteps there."""
        return levels_of(self.network_timesteps(ratios).tolist(), ratios)

    def _choose(self, request: Request, training: Float) -> tuple[F64, F64]:
        """Return timesteps and ratios of the calls: f64[n] each."""
        exact = self.spacing.timesteps(request, len(training))
        timesteps = exact.astype(training.dtype).astype(np.float64)
        ratios = interp(exact if self.reads_exact_timesteps else timesteps, np.arange(len(training)), training)
        if self.sigma_spacing.kind == "interpolated" or request.timesteps is not None:
            return timesteps, ratios
        spread = self.sigma_spacing.spread(*self._formula_ends(ratios, training), request.n, functions_of(self.numerics))
        return self.network_timesteps(spread), spread

    def _formula_ends(self, ratios: F64, training: Float) -> tuple[float, float]:  # noqa: ARG002
        """Return the ratios between which a formula spreads: the ends of the trained range, wherever the spacing's timesteps end."""
        return float(training[-1]), float(training[0])


@dataclass(frozen=True, kw_only=True)
class NamedRatioGrid(RatioGrid):
    """The same under sdrt's own key ``sigma_spacing``: for classes to which diffusers gave no flags of sigmas.

    They ignore such flags in another class's configuration, as diffusers' do.
    """

    sigma_spacing: SigmaSpacing = setting(
        None,
        read=SigmaSpacing.named,
        write=SigmaSpacing.named_config,
        kind=Choice(None, "karras", "exponential", "beta", "ays", "ays sdxl"),
    )


@lru_cache(maxsize=32)
def schedule_ratios(schedule: NoiseSchedule, numerics: Numerics) -> Float:
    """Return the ratio at every timestep of a noise schedule, ascending: real[T], read-only."""
    ratios = training_ratios(schedule.alpha_bar(numerics), real_type(numerics))
    ratios.setflags(write=False)
    return ratios


def training_ratios(alpha_bar: F64, real: type[Any]) -> Float:
    """Return sqrt((1 - alpha_bar) / alpha_bar) at every trained timestep, ascending: real[T].

    Raises
    ------
    ConfigError : the last alpha_bar is 0
    """
    if not alpha_bar[-1]:
        raise ConfigError("ratios of noise to signal need a last alpha_bar above 0; set terminal_alpha_bar (diffusers takes 2**-24)")
    a: Float = alpha_bar.astype(real)
    ratios: Float = np.sqrt((1 - a) / a)
    return ratios


def ratio_to_timestep(ratios: F64, training: Float, functions: Functions = PLATFORM) -> F64:
    """Return the fractional timestep at which training had each ratio, linear in its logarithm, held in [0, T - 1]: f64[n]."""
    table, log_ratio = functions.log(training), functions.log(np.maximum(ratios, 1e-10))
    low = np.clip(np.searchsorted(table, log_ratio, side="right") - 1, 0, len(table) - 2)
    weight = np.clip((table[low] - log_ratio) / (table[low] - table[low + 1]), 0, 1)
    timesteps: F64 = (1 - weight) * low + weight * (low + 1)
    return timesteps


def alpha_sigma(ratios: Float) -> tuple[Float, Float]:
    """Turn ratios of noise to signal into (alpha, sigma) with alpha**2 + sigma**2 = 1, in the dtype of the ratios."""
    alpha = 1 / np.sqrt(ratios * ratios + 1)
    return alpha, ratios * alpha


def levels_of(timesteps: list[float], ratios: F64) -> tuple[Level, ...]:
    """Return the levels of ratios with these timesteps."""
    alphas, sigmas = alpha_sigma(ratios)
    return tuple(map(Level, timesteps, ratios.tolist(), alphas.tolist(), sigmas.tolist()))


def level_at(timestep: float, ratio: float) -> Level:
    """Return the level of one ratio."""
    return levels_of([timestep], np.array([ratio]))[0]
