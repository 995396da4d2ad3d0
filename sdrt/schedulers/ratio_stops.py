"""The stops of the samplers that diffusers took from k-diffusion (Euler's family): chosen by ratio, at fractional timesteps."""

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.schedulers.noise_schedule import real_type
from sdrt.schedulers.request import Request
from sdrt.schedulers.scheduled import ScheduledSampler
from sdrt.schedulers.sigmas import FinalSigma, SigmaSpacing, interpolated, ratio_to_timestep, training_ratios, with_final_ratio

__all__ = ["first_scale", "ratio_stops"]


def ratio_stops(sampler: ScheduledSampler, request: Request, spacing: SigmaSpacing, final: FinalSigma) -> tuple[F64, Float]:
    """Choose the stops of a run: at the timesteps' own ratios, or spread by a formula between the ends of those.

    Parameters
    ----------
    request : Request
        Its ``sigmas``, where given, are the ratios of all stops, the end of the run among them.
    final : {"zero", "sigma_min"}
        The ratio at which the run ends: none, or the smallest trained one.

    Returns
    -------
    timesteps : f64[n], fractional, with float32 values in float32 numerics
    ratios : real[n + 1], descending
    """
    real = real_type(sampler.numerics)
    training = training_ratios(sampler.alpha_bar(), real)
    if request.sigmas is not None:
        own = np.array(request.sigmas, real)
        return _timesteps_of(own[:-1].astype(np.float64), training), own
    timesteps = sampler._timesteps(request).astype(real).astype(np.float64)
    ratios = interpolated(training, timesteps)
    if spacing.kind != "interpolated":
        ratios = spacing.spread(ratios[0], ratios[-1], len(ratios))
        timesteps = _timesteps_of(ratios, training)
    return timesteps, with_final_ratio(ratios, training, final)


def _timesteps_of(ratios: F64, training: Float) -> F64:
    """Return the fractional timesteps of ratios, rounded to the table's type."""
    return ratio_to_timestep(ratios, training).astype(training.dtype).astype(np.float64)


def first_scale(spacing: str, sigmas: Float) -> float:
    """Return the scale of the initial noise, as diffusers 0.42.1 has it (``init_noise_sigma``).

    ``leading`` starts at unit variance; the others at sigma, as if the image were empty: less than 1 by 0.2 % for SD 1.x.
    """
    return 1.0 if spacing == "leading" else float(sigmas[0])
