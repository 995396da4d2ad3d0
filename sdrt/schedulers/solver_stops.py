"""The stops of DPM-Solver's family (DPM-Solver, DEIS, UniPC, SA-Solver): n + 1 points of which the last is dropped, at whole timesteps."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F64, Float
from sdrt.schedulers.noise_schedule import real_type
from sdrt.schedulers.request import Request
from sdrt.schedulers.scheduled import ScheduledSampler
from sdrt.schedulers.sigmas import FinalSigma, SigmaSpacing, interpolated, ratio_to_timestep, training_ratios, with_final_ratio
from sdrt.schedulers.spacing import given, place, rounded

__all__ = ["solver_stops"]


def solver_stops(
    sampler: ScheduledSampler, request: Request, spacing: SigmaSpacing, final: FinalSigma, lambda_min_clipped: float = -math.inf
) -> tuple[npt.NDArray[np.int64], Float]:
    """Choose the stops of a run.

    Parameters
    ----------
    final : {"zero", "sigma_min"}
        The ratio at which the run ends: none, or the smallest trained one.
    lambda_min_clipped : float
        Timesteps noisier than this log(alpha / sigma) are left out.

    Returns
    -------
    timesteps : i64[n]
    ratios : real[n + 1] of noise to signal, descending
    """
    real = real_type(sampler.numerics)
    alpha_bar = sampler.alpha_bar()
    training = training_ratios(alpha_bar, real)
    if spacing.kind == "interpolated" or request.timesteps is not None:
        timesteps = _placed(sampler, request, _usable_timesteps(alpha_bar, real, lambda_min_clipped))
        ratios = interpolated(training, timesteps.astype(np.float64))
    else:
        ratios = spacing.spread(float(training[-1]), float(training[0]), request.n)
        timesteps = _whole(sampler, spacing)(ratio_to_timestep(ratios, training)).astype(np.int64)
    return timesteps, with_final_ratio(ratios, training, final)


def _placed(sampler: ScheduledSampler, request: Request, usable: int) -> npt.NDArray[np.int64]:
    """Return the timesteps that were asked for, or as many as were, in [0, usable)."""
    if request.timesteps is not None:
        return given(request.timesteps, sampler.num_train_timesteps).astype(np.int64)
    return rounded(place(sampler.timestep_spacing, usable, request.n, sampler.steps_offset, spare=1, compat=sampler.compat))


def _whole(sampler: ScheduledSampler, spacing: SigmaSpacing) -> Callable[[F64], F64]:
    """Return how fractional timesteps become whole: by rounding.

    diffusers 0.42.1 cuts fractions off, except those of karras and lu sigmas where the schedule is not the cosine one.
    """
    rounds = spacing.kind in ("karras", "lu") and sampler.schedule.beta_schedule != "squaredcos_cap_v2"
    return np.trunc if sampler.compat == "diffusers" and not rounds else np.round


def _usable_timesteps(alpha_bar: F64, real: type[Any], lambda_min_clipped: float) -> int:
    """Count the timesteps that lambda_min_clipped leaves."""
    a = alpha_bar.astype(real)
    lambdas = np.log(np.sqrt(a)) - np.log(np.sqrt(1 - a))
    return len(lambdas) - int(np.searchsorted(lambdas[::-1], lambda_min_clipped))
