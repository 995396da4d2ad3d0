"""The stops of DPM-Solver's family (DPM-Solver, DEIS, UniPC, SA-Solver): n + 1 points of which the last is dropped, at whole timesteps.

A stop's level is its ratio of noise to signal, or, for a flow, its share of noise: what diffusers calls ``sigmas``.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F64, Array, Float
from sdrt.errors import ConfigError
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.dpm_update import Scales
from sdrt.schedulers.grids.ratio import alpha_sigma, interpolated, ratio_to_timestep, training_ratios
from sdrt.schedulers.spacing import given, place, rounded

if TYPE_CHECKING:
    from sdrt.schedulers.solver import SolverSampler

__all__ = ["SolverStops", "flow_timesteps", "solver_stops", "training_levels", "usable_timesteps", "whole"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SolverStops:
    """The stops of a run."""

    timesteps: Array  # i64[n], or f64[n] for a flow
    levels: Float  # real[n + 1], descending
    flow: bool

    def scales(self) -> Scales:
        """Return alpha, sigma and lambda at each stop, in the levels' type: what diffusers computes from them."""
        return Scales.of(*_scales_of(self.levels, self.flow))

    def wide_scales(self) -> Scales:
        """Return them in float64: the level follows from them to the bit."""
        return Scales.of(*_scales_of(self.levels.astype(np.float64), self.flow))


def _scales_of(levels: Float, flow: bool) -> tuple[Any, Any]:
    return (1 - levels, levels.copy()) if flow else alpha_sigma(levels)


def solver_stops(sampler: "SolverSampler", request: Request) -> SolverStops:
    """Choose the stops of a run: those that were asked for, or as many as were, by the sampler's spacing or formula.

    Raises
    ------
    ConfigError : stops that it cannot visit
    """
    if sampler.flow.use_flow_sigmas:
        timesteps, levels = _flow_stops(sampler, request)
    elif request.mu is not None and not sampler.flow.use_dynamic_shifting:
        raise ConfigError(f"mu is for use_dynamic_shifting, which is off here, got {request.mu}; leave it out")
    elif request.sigmas is not None:
        raise ConfigError("sigmas can be laid down for a flow alone; set use_flow_sigmas, or pass timesteps")
    elif sampler.sigma_spacing.kind == "interpolated" or request.timesteps is not None:
        timesteps, levels = _trained_stops(sampler, request)
    else:
        levels = _formula_levels(sampler, request.n)
        timesteps = whole(sampler, _timesteps_of(sampler, levels[:-1]))
    return SolverStops(timesteps=timesteps, levels=levels.astype(real_type(sampler.numerics)), flow=sampler.flow.use_flow_sigmas)


def training_levels(sampler: "SolverSampler") -> Float:
    """Return the ratio at every trained timestep, real[T]."""
    return training_ratios(sampler.schedule.alpha_bar(sampler.numerics), real_type(sampler.numerics))


# ---- a trained schedule


def _trained_stops(sampler: "SolverSampler", request: Request) -> tuple[npt.NDArray[np.int64], F64]:
    """Return timesteps and levels where the levels are the timesteps' own."""
    training = training_levels(sampler)
    timesteps = _placed(sampler, request)
    levels = interpolated(training, timesteps.astype(np.float64))
    return timesteps, np.append(levels, 0.0 if sampler.ends_at_zero else float(training[0]))


def _placed(sampler: "SolverSampler", request: Request) -> npt.NDArray[np.int64]:
    """Return the timesteps that were asked for, or as many as were, among those that lambda_min_clipped leaves."""
    if request.timesteps is not None:
        return given(request.timesteps, sampler.num_train_timesteps).astype(np.int64)
    usable = usable_timesteps(sampler)
    if sampler.timestep_spacing == "trailing" and sampler.compat == "diffusers":
        return _trailing_by_all(usable, sampler.num_train_timesteps, request.n)
    return rounded(place(sampler.timestep_spacing, usable, request.n, sampler.steps_offset, spare=1, compat=sampler.compat))


def usable_timesteps(sampler: "SolverSampler") -> int:
    """Count the timesteps that lambda_min_clipped leaves: 0 up to this number."""
    a = sampler.schedule.alpha_bar(sampler.numerics).astype(real_type(sampler.numerics))
    lambdas = np.log(np.sqrt(a)) - np.log(np.sqrt(1 - a))
    usable = len(lambdas) - int(np.searchsorted(lambdas[::-1], sampler.lambda_min_clipped))
    if not usable:
        raise ConfigError(f"lambda_min_clipped {sampler.lambda_min_clipped} leaves no timestep; the cosine schedule has -5.1")
    return usable


def _trailing_by_all(usable: int, num_train_timesteps: int, n: int) -> npt.NDArray[np.int64]:
    """Place trailing timesteps as diffusers 0.42.1 does: from the last usable one down, by an n-th of all T.

    Where lambda_min_clipped leaves fewer than T, a run so has fewer calls than steps. It also has one more, at timestep -1, for some n.
    """
    return np.round(np.arange(usable, 0, -num_train_timesteps / n)).astype(np.int64) - 1


def _formula_levels(sampler: "SolverSampler", n: int) -> F64:
    """Return the ratios of a formula, and the one at which the run ends: f64[n + 1]."""
    training = training_levels(sampler)
    first, last = float(training[_noisiest(sampler)]), float(training[0])
    spread = _even_logarithms if sampler.sigma_spacing.kind == "lu" else sampler.sigma_spacing.spread
    if sampler.ends_at_zero:
        return np.append(spread(first, last, n), 0.0)
    if sampler.sigma_spacing.kind == "ays" or sampler.ends_at_trained:
        return np.append(spread(first, last, n), last)
    return _ending_with_its_last(sampler, first, last, n)


def _even_logarithms(first: float, last: float, n: int) -> F64:
    """Spread ratios evenly in the logarithms of float32 ratios, rounded as those of the trained ones are when timesteps are looked up."""
    real = np.float32
    high, low = float(np.log(real(first))), float(np.log(real(last)))
    return np.exp(high + np.linspace(0, 1, n) * (low - high))


def _noisiest(sampler: "SolverSampler") -> int:
    """Return the timestep at which a formula begins: the noisiest that lambda_min_clipped leaves; diffusers 0.42.1 heeds it not here."""
    return -1 if sampler.compat == "diffusers" else usable_timesteps(sampler) - 1


def _ending_with_its_last(sampler: "SolverSampler", first: float, last: float, n: int) -> F64:
    """Return n + 1 ratios of a formula, the last of which ends the run.

    diffusers 0.42.1 takes n, and the last of them again: its last step has no length (mended in DPM-Solver alone, by its PR 6477).
    """
    if sampler.compat == "diffusers":
        levels = sampler.sigma_spacing.spread(first, last, n)
        return np.append(levels, levels[-1])
    return sampler.sigma_spacing.spread(first, last, n + 1)


def _timesteps_of(sampler: "SolverSampler", ratios: F64) -> F64:
    """Return the fractional timesteps of ratios, f64[n]: the last trained one for its own ratio or more.

    diffusers 0.42.1 finds 997.5 where that ratio stands for infinity (rescale_betas_zero_snr), since it is below those before it.
    """
    training = training_levels(sampler)
    found = ratio_to_timestep(ratios, training)
    if sampler.compat == "diffusers":
        return found
    return np.where(ratios >= float(training[-1]) * (1 - 1e-6), len(training) - 1.0, found)


def whole(sampler: "SolverSampler", timesteps: F64) -> npt.NDArray[np.int64]:
    """Make a formula's timesteps whole, by rounding.

    diffusers 0.42.1 cuts fractions off, except those of karras and lu sigmas; in DPM-Solver multistep of those too for the cosine schedule.
    """
    rounds = sampler.sigma_spacing.kind in ("karras", "lu", "ays") and not (
        sampler.cuts_cosine and sampler.schedule.beta_schedule == "squaredcos_cap_v2"
    )
    return (np.trunc if sampler.compat == "diffusers" and not rounds else np.round)(timesteps).astype(np.int64)


# ---- a flow


def _flow_stops(sampler: "SolverSampler", request: Request) -> tuple[Array, F64]:
    """Return timesteps and levels of a flow."""
    if request.timesteps is not None:
        own = given(request.timesteps, sampler.num_train_timesteps)
        levels = own / sampler.num_train_timesteps
        if not levels[-1]:
            raise ConfigError("timesteps of a flow must be above 0, where nothing is left to do; got 0; leave it out")
        return own, np.append(levels, 0.0 if sampler.ends_at_zero else _lowest(sampler, levels, 1.0))
    levels = _flow_formula(sampler, request) if sampler.sigma_spacing.kind != "interpolated" else _flow_levels(sampler, request)
    return flow_timesteps(sampler, levels[:-1]), levels


def flow_timesteps(sampler: "SolverSampler", levels: F64) -> Array:
    """Return what the network is told: sigma * T. diffusers 0.42.1 cuts the fraction off, up to 1 / T of a level."""
    timesteps = levels * sampler.num_train_timesteps
    return timesteps.astype(np.int64) if sampler.compat == "diffusers" else timesteps


def _flow_levels(sampler: "SolverSampler", request: Request) -> F64:
    """Return the levels of a run, shifted, and the one at which it ends."""
    flow, T = sampler.flow, sampler.num_train_timesteps
    shift = flow.shift(request.mu, sampler.compat, sampler.needs_mu)
    if request.sigmas is not None:
        levels = flow.of_levels(np.array(request.sigmas), shift)
    else:
        levels = (flow.from_one if sampler.flow_from_one else flow.from_lowest)(request.n, T, shift)
    if levels[0] >= 1 or levels[-1] <= 0 or np.any(np.diff(levels) > 0):
        raise ConfigError(
            f"sigmas of a flow must lie in (0, 1] and never rise, got {levels[0]:g} to {levels[-1]:g}; sort them from noisy to clean"
        )
    return np.append(levels, 0.0 if sampler.ends_at_zero else _flow_end(sampler, levels, shift))


def _flow_end(sampler: "SolverSampler", levels: F64, shift: float) -> float:
    """Return the level at which a flow's run ends that shall not end at 0: the lowest there is.

    diffusers 0.42.1 takes the smallest ratio of the noise schedule, which a flow does not have, in DPM-Solver, and the last level again in
    the others: there its last step has no length.
    """
    if sampler.compat == "diffusers":
        return float(training_levels(sampler)[0]) if sampler.ends_at_trained else float(levels[-1])
    return _lowest(sampler, levels, shift)


def _lowest(sampler: "SolverSampler", levels: F64, shift: float) -> float:
    """Return the lowest level that there is, or the last that is visited where a caller goes lower."""
    return min(float(levels[-1]), sampler.flow.least(sampler.num_train_timesteps, shift))


def _flow_formula(sampler: "SolverSampler", request: Request) -> F64:
    """Return the levels of a formula, which spreads ratios: a ratio r of noise to signal is a share of r / (1 + r).

    diffusers 0.42.1 converts so in UniPC with karras sigmas alone; elsewhere it takes ratios above 1 for shares, and gives NaN.
    """
    if request.sigmas is not None:
        raise ConfigError("sigmas that a caller lays down take the place of a formula; pass them, or set use_karras_sigmas and the like")
    ratios = _formula_levels(sampler, request.n)
    found: F64 = ratios / (1 + ratios)
    return found
