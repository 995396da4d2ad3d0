"""Whole runs under compat="diffusers" against diffusers, whatever the configuration; see tests/schedulers/drawn."""

import os
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.errors import SdrtError
from sdrt.schedulers import class_names
from tests.schedulers.drawn import DRAWN, Drawn
from tests.schedulers.peers import CorrectlyRounded, Run, first_noise, is_of_diffusers, run_face, run_peer

# Examples of each class; SDRT_EXAMPLES=250 draws the thousands that are run before a release.
EXAMPLES = int(os.environ.get("SDRT_EXAMPLES", "12"))

# What these classes compute hangs on the last bit of a square root, a logarithm or an exponential: DPM2 a subtracts nearly equal squares to
# find its midpoints, DPM++ SDE reads a Brownian path at times that differ by 1e-6.
LAST_BIT = {"KDPM2AncestralDiscreteScheduler", "DPMSolverSDEScheduler"}

# Of the largest value of the run: float32 rounding on both sides, with a margin of about ten over what whole runs show (2e-6).
CLOSE = 2e-5


def largest(run: Run) -> float:
    return max(float(np.abs(x.astype(np.float64)).max()) for x in run.samples)


def difference(ours: Run, theirs: Run) -> float:
    """Return the largest difference of the last samples over the largest value of the run."""
    return float(np.abs(ours.samples[-1].astype(np.float64) - theirs.samples[-1]).max() / largest(theirs))


def hangs_on_last_bits(drawn: Drawn) -> bool:
    """Whether diffusers is to be run with torch's square roots, logarithms and exponentials correctly rounded, since it amplifies them.

    A sigma of a schedule rescaled to zero terminal SNR goes through two roots and a difference from 1: its smallest moves by 1e-3.
    """
    rescaled = drawn.config.get("rescale_betas_zero_snr", False)
    return drawn.config["_class_name"] in LAST_BIT or (rescaled and drawn.config["_class_name"].startswith("Euler"))


def of_diffusers(drawn: Drawn) -> Run | None:
    """Run diffusers; None where it raises, or gives NaN or infinities."""
    try:
        with CorrectlyRounded() if hangs_on_last_bits(drawn) else nullcontext():
            theirs = run_peer(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops)
    except Exception:  # noqa: BLE001  # whatever breaks there
        return None
    return theirs if all(np.isfinite(x).all() for x in theirs.samples) else None


def assert_follows(drawn: Drawn) -> float | None:
    """Compare; where diffusers fails, ours is finite or one clear error. Return the difference, or None."""
    theirs = of_diffusers(drawn)
    options: dict[str, Any] = {"step": drawn.step, "stops": drawn.stops, "compat": "diffusers"}
    if theirs is None:
        try:
            ours = run_face(drawn.config, drawn.n, **options)
        except SdrtError:
            return None
        assert np.isfinite(ours.samples[-1]).all()
        return None
    ours = run_face(drawn.config, drawn.n, **options)
    assert ours.timesteps.dtype == theirs.timesteps.dtype
    np.testing.assert_allclose(ours.timesteps, theirs.timesteps, rtol=1e-5, atol=0 if ours.timesteps.dtype == np.int64 else 1e-2)
    if hasattr(theirs.scheduler, "sigmas"):
        np.testing.assert_allclose(ours.scheduler.sigmas, reached(drawn, np.asarray(theirs.scheduler.sigmas)), rtol=2e-5, atol=1e-7)
    found = difference(ours, theirs)
    if found >= CLOSE:
        assert_rounding_is_theirs(drawn, ours, theirs)
    return found


def reached(drawn: Drawn, sigmas: np.ndarray) -> np.ndarray:
    """Leave out the ratio that diffusers' log_linear interpolation lists after the end of its run."""
    extra = drawn.config.get("interpolation_type") == "log_linear" and "sigmas" not in drawn.stops
    formula = any(drawn.config.get(flag) for flag in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"))
    continuous = drawn.config.get("timestep_type") == "continuous" and drawn.config["prediction_type"] == "v_prediction"
    return sigmas[:-1] if extra and not formula and not continuous else sigmas


def assert_rounding_is_theirs(drawn: Drawn, ours: Run, theirs: Run) -> None:
    """Show that a difference is the float32 rounding of diffusers alone, with a float64 run of ours as the judge: we are close to it.

    Classes that work on x / alpha begin a run of few steps, or of zero terminal SNR, with values of up to 80000, and subtract them to get
    the small ones at its end; a slope is (x - (x - sigma * output)) / sigma, which gives the rounding of x over sigma, and high orders of
    LMS amplify that. Where diffusers can be run in float64 too, it is as close to the judge; elsewhere within ten times that. Both bounds
    count in the largest value of the run, its beginning included.
    """
    assert ours.scheduler.sampler.exploding
    truth = run_face(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops, compat="diffusers", dtype=np.float64)
    assert difference(ours, truth) < CLOSE
    bound = 10 * CLOSE
    if drawn.config["_class_name"] in IN_ANY_DTYPE:
        theirs, bound = run_peer(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops, dtype=np.float64), CLOSE
    first = float(np.abs(first_noise()).max()) * float(ours.scheduler.init_noise_sigma)
    assert difference(theirs, truth) < bound * max(1, first / largest(truth))


# Classes of x / alpha that compute in the dtype of the sample, and draw nothing, which torch does otherwise in float64.
IN_ANY_DTYPE = {"HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "LMSDiscreteScheduler"}


def test_every_class_is_drawn() -> None:
    assert set(DRAWN) == {name for name in class_names() if is_of_diffusers(name)}


@pytest.mark.parametrize("class_name", DRAWN)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_run_follows_diffusers(class_name: str, data: st.DataObject) -> None:
    assert_follows(data.draw(DRAWN[class_name]))
