"""The stops of the samplers that diffusers took from k-diffusion (Euler's family): chosen by ratio, at fractional timesteps."""

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.grids.ratio import interpolated, ratio_to_timestep, training_ratios, with_final_ratio
from sdrt.schedulers.grids.sigmas import FinalSigma, SigmaSpacing
from sdrt.schedulers.scheduled import ScheduledSampler

__all__ = ["first_scale", "ratio_stops", "timesteps_of"]


def ratio_stops(
    sampler: ScheduledSampler, request: Request, spacing: SigmaSpacing, final: FinalSigma, *, fine: bool = False
) -> tuple[F64, Float]:
    """Choose the stops of a run: at the timesteps' own ratios, or spread by a formula between the ends of those.

    Parameters
    ----------
    request : Request
        Its ``sigmas``, where given, are the ratios of all stops, the end of the run among them; its ``timesteps`` take the place of the
        spacing and of the formula.
    final : {"zero", "sigma_min"}
        The ratio at which the run ends: none, or the smallest trained one.
    fine : bool
        Whether ratios are read at the timesteps as computed, before they are rounded to the numerics' type.

    Returns
    -------
    timesteps : f64[n], fractional, with float32 values in float32 numerics
    ratios : real[n + 1], descending
    """
    real = real_type(sampler.numerics)
    training = training_ratios(sampler.alpha_bar(), real)
    if request.sigmas is not None:
        own = np.array(request.sigmas, real)
        return timesteps_of(own[:-1].astype(np.float64), training), own
    exact = sampler._timesteps(request)
    timesteps = exact.astype(real).astype(np.float64)
    ratios = interpolated(training, exact if fine else timesteps)
    if spacing.kind != "interpolated" and request.timesteps is None:
        ratios = spacing.spread(ratios[0], ratios[-1], request.n)
        timesteps = timesteps_of(ratios, training)
    return timesteps, with_final_ratio(ratios, training, final)


def timesteps_of(ratios: F64, training: Float) -> F64:
    """Return the fractional timesteps of ratios, rounded to the training table's type."""
    return ratio_to_timestep(ratios, training).astype(training.dtype).astype(np.float64)


def first_scale(spacing: str, sigma: float) -> float:
    """Return the scale of the initial noise, as diffusers 0.42.1 has it (``init_noise_sigma``).

    ``leading`` starts at unit variance; the others at sigma, as if the image were empty: less than 1 by 0.2 % for SD 1.x.
    """
    return 1.0 if spacing == "leading" else sigma
