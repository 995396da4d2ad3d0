"""Whose rounding parts two runs, where float32 alone does: each judge shows that nothing else does, and bounds what is lost.

A float64 run of ours is the truth for a run of ours; diffusers' own detours in float32 are bounded by what they can lose.
"""

import numpy as np

from sdrt.testing.strategies.schedulers import SchedulerRun
from tests.schedulers.peers import CorrectlyRounded, Run, first_noise, run_face, run_peer

__all__ = ["CLOSE", "LOSES", "difference", "follows", "hangs_on_last_bits", "is_amplified", "of_detours", "of_ratios", "same_levels"]

# Of the largest value of the run: float32 rounding on both sides, with a margin of about ten over what whole runs show (2e-6).
CLOSE = 2e-5

# What a run may make of that by amplifying it; see is_amplified.
_AMPLIFIED = 1e-2

# What these classes compute hangs on the last bit of a square root, a logarithm or an exponential: DPM2 a subtracts nearly equal squares to
# find its midpoints, DPM++ SDE reads a Brownian path at times that differ by 1e-6.
_LAST_BIT = {"KDPM2AncestralDiscreteScheduler", "DPMSolverSDEScheduler"}

# Classes of x / alpha that compute in the dtype of the sample, and draw nothing, which torch does otherwise in float64.
_IN_ANY_DTYPE = {"HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "LMSDiscreteScheduler"}

# Where diffusers itself loses more to float32 in short runs, as the same run in float64 shows: how much it may, of the largest value.
LOSES = {
    # It takes (x - (x - sigma * output)) / sigma for the output: at sigma 0.00025 that loses up to 2e-4 of x.
    "FlowMatchHeunDiscreteScheduler": lambda run: 4 * np.finfo(np.float32).eps / run.scheduler.sigmas.numpy()[:-1].min(),
    # They add up values of the first sample's size, 240 where sigma_max is 80, to one of size 1.
    "EDMEulerScheduler": lambda run: CLOSE * _first_size(run) / _largest(run),
    "EDMDPMSolverMultistepScheduler": lambda run: CLOSE * _first_size(run) / _largest(run) + _idle_noise(run) / _largest(run),
    "CMStochasticIterativeScheduler": lambda run: CLOSE * _first_size(run) / _largest(run),
}


def difference(ours: Run, theirs: Run) -> float:
    """Return the largest difference of the last samples over the largest value of the run."""
    return float(np.abs(ours.samples[-1].astype(np.float64) - theirs.samples[-1]).max() / (_largest(theirs) or 1))


def follows(drawn: SchedulerRun, ours: Run, theirs: Run) -> bool:
    """Whether both visit the same levels and end at the same sample."""
    return same_levels(drawn, ours, theirs) and difference(ours, theirs) < CLOSE


def same_levels(drawn: SchedulerRun, ours: Run, theirs: Run) -> bool:
    """Whether both visit the same levels."""
    if not hasattr(theirs.scheduler, "sigmas"):
        return True
    sigmas = np.asarray(theirs.scheduler.sigmas)[: len(ours.scheduler.sigmas)]  # its inverse class keeps more than it visits
    # Inverted levels of flows are 1 - sigma in float32: they inherit the rounding of values near 1.
    absolute = 5e-7 if theirs.scheduler.config.get("invert_sigmas") else 1e-7
    return np.allclose(ours.scheduler.sigmas, sigmas, rtol=2e-5, atol=absolute)


def hangs_on_last_bits(drawn: SchedulerRun) -> bool:
    """Whether diffusers is to be run with torch's square roots, logarithms and exponentials correctly rounded, since it amplifies them.

    A sigma of a schedule rescaled to zero terminal SNR goes through two roots and a difference from 1: its smallest moves by 1e-3.
    """
    rescaled = drawn.config.get("rescale_betas_zero_snr", False)
    return drawn.config["_class_name"] in _LAST_BIT or (rescaled and drawn.config["_class_name"].startswith("Euler"))


def of_detours(drawn: SchedulerRun, ours: Run, theirs: Run) -> None:
    """The classes of LOSES: ours is as close to the truth as ever, and diffusers within what its detour can lose."""
    truth = _truth(drawn)
    assert same_levels(drawn, ours, theirs)
    assert difference(ours, truth) < CLOSE
    assert difference(theirs, truth) < LOSES[drawn.config["_class_name"]](theirs)


def of_ratios(drawn: SchedulerRun, ours: Run, theirs: Run) -> None:
    """Classes that work on x / alpha.

    They begin a run of few steps, or of zero terminal SNR, with values of up to 80000, and subtract them to get the small ones at its
    end; a slope is (x - (x - sigma * output)) / sigma, which gives the rounding of x over sigma, and high orders of LMS amplify that. Where
    diffusers can be run in float64 too, it is as close to the truth; elsewhere within ten times that. Both bounds count in the largest
    value of the run, its beginning included.
    """
    assert same_levels(drawn, ours, theirs)
    truth = _truth(drawn)
    assert difference(ours, truth) < CLOSE
    bound = 10 * CLOSE
    if drawn.config["_class_name"] in _IN_ANY_DTYPE:
        theirs, bound = run_peer(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops, dtype=np.float64), CLOSE
    assert difference(theirs, truth) < bound * max(1, _first_size(theirs) / _largest(truth))


def is_amplified(drawn: SchedulerRun, found: float) -> bool:
    """Whether a run magnifies float32 rounding, and nothing else parts the two sides.

    Some do: a threshold below 1 divides x0 by it in every step, and near the clean end a predicted x0 says what the noise is only in its
    last digits. Then both sides agree in float64, with all square roots correctly rounded.
    """
    with CorrectlyRounded():
        theirs = run_peer(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops, dtype=np.float64)
    return found < _AMPLIFIED and difference(_truth(drawn), theirs) < CLOSE / 100


def _truth(drawn: SchedulerRun) -> Run:
    return run_face(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops, compat="diffusers", dtype=np.float64)


def _largest(run: Run) -> float:
    return max(float(np.abs(x.astype(np.float64)).max()) for x in run.samples)


def _first_size(run: Run) -> float:
    return float(np.abs(first_noise()).max() * float(run.scheduler.init_noise_sigma))


def _idle_noise(run: Run) -> float:
    """Return how much noise an EDM run's last step may add though it has no length.

    Its two ends are computed in different ways, and differ by some last bits: of the square root of that, fresh noise is added.
    """
    idle = run.scheduler.config.algorithm_type.startswith("sde") and run.scheduler.config.final_sigmas_type == "sigma_min"
    return 4 * float(run.scheduler.config.sigma_min * np.sqrt(2 * 8 * np.finfo(np.float32).eps)) if idle else 0.0
