"""Whole runs under compat="diffusers" against diffusers, whatever the configuration; see tests/schedulers/drawn."""

import os
from contextlib import nullcontext
from typing import Any

import diffusers
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.errors import SdrtError
from sdrt.schedulers import class_names
from tests.schedulers.drawn import DRAWN, Drawn
from tests.schedulers.peers import CorrectlyRounded, Run, first_noise, run_face, run_peer

# Examples of each class; SDRT_EXAMPLES=250 draws the thousands that are run before a release.
EXAMPLES = int(os.environ.get("SDRT_EXAMPLES", "12"))

# Of the largest value of the run: float32 rounding on both sides, with a margin of about ten over what whole runs show (2e-6).
CLOSE = 2e-5
# What a run may make of that by amplifying it; see rounding_is_amplified.
AMPLIFIED = 1e-2

# Where diffusers itself loses more to float32 in short runs, as the same run in float64 shows: how much it may, of the largest value.
LOSES = {
    # It takes (x - (x - sigma * output)) / sigma for the output: at sigma 0.00025 that loses up to 2e-4 of x.
    "FlowMatchHeunDiscreteScheduler": lambda run: 4 * np.finfo(np.float32).eps / run.scheduler.sigmas.numpy()[:-1].min(),
    # They add up values of the first sample's size, 240 where sigma_max is 80, to one of size 1.
    "EDMEulerScheduler": lambda run: CLOSE * first_size(run) / largest(run),
    "EDMDPMSolverMultistepScheduler": lambda run: CLOSE * first_size(run) / largest(run) + idle_noise(run) / largest(run),
    "CMStochasticIterativeScheduler": lambda run: CLOSE * first_size(run) / largest(run),
}


def largest(run: Run) -> float:
    return max(float(np.abs(x.astype(np.float64)).max()) for x in run.samples)


def first_size(run: Run) -> float:
    return float(np.abs(first_noise()).max() * float(run.scheduler.init_noise_sigma))


def idle_noise(run: Run) -> float:
    """Return how much noise an EDM run's last step may add though it has no length.

    Its two ends are computed in different ways, and differ by some last bits: of the square root of that, fresh noise is added.
    """
    idle = run.scheduler.config.algorithm_type.startswith("sde") and run.scheduler.config.final_sigmas_type == "sigma_min"
    return 4 * float(run.scheduler.config.sigma_min * np.sqrt(2 * 8 * np.finfo(np.float32).eps)) if idle else 0.0


def difference(ours: Run, theirs: Run) -> float:
    """Return the largest difference of the last samples over the largest value of the run."""
    return float(np.abs(ours.samples[-1].astype(np.float64) - theirs.samples[-1]).max() / (largest(theirs) or 1))


def of_diffusers(drawn: Drawn, *, exactly: bool = False) -> Run | None:
    """Run diffusers; None where it raises, makes no call at all, or gives NaN or infinities.

    ``exactly`` keeps its own rounding out of it: square roots are rounded correctly, and what it computes from its float32 ``sigmas`` at
    every step it computes in float64. Some of its weights are differences of far larger float32 numbers (Adams weights from powers of
    lambda, UniPC's recurrences divided by the step's length), so that runs of many steps of it differ from themselves by up to their value.
    """
    try:
        with CorrectlyRounded() if exactly else nullcontext():
            theirs = run_peer(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops, wide=exactly)
    except Exception:  # noqa: BLE001  # whatever breaks there
        return None
    return theirs if theirs.samples and all(np.isfinite(x).all() for x in theirs.samples) else None


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
    np.testing.assert_allclose(ours.timesteps, theirs.timesteps, rtol=1e-5, atol=1e-2 if ours.timesteps.dtype == np.float32 else 0)
    found = difference(ours, theirs)
    if follows(ours, theirs):
        return found
    if drawn.config["_class_name"] in LOSES:
        assert_rounding_of_diffusers(drawn, ours, theirs)
        return None
    if same_levels(ours, theirs) and rounding_is_amplified(drawn, found):
        return None
    assert hasattr(theirs.scheduler, "sigmas"), found
    exact = of_diffusers(drawn, exactly=True)
    assert exact is not None
    assert follows(ours, exact), (found, difference(ours, exact))
    return None


def same_levels(ours: Run, theirs: Run) -> bool:
    """Whether both visit the same levels; diffusers' inverse class keeps levels that it does not visit."""
    if not hasattr(theirs.scheduler, "sigmas"):
        return True
    sigmas = np.asarray(theirs.scheduler.sigmas)[: len(ours.scheduler.sigmas)]
    # Inverted levels of flows are 1 - sigma in float32: they inherit the rounding of values near 1.
    absolute = 5e-7 if theirs.scheduler.config.get("invert_sigmas") else 1e-7
    return np.allclose(ours.scheduler.sigmas, sigmas, rtol=2e-5, atol=absolute)


def follows(ours: Run, theirs: Run) -> bool:
    """Whether both visit the same levels and end at the same sample."""
    return same_levels(ours, theirs) and difference(ours, theirs) < CLOSE


def assert_rounding_of_diffusers(drawn: Drawn, ours: Run, theirs: Run) -> None:
    """The same run in float64 is the judge: ours is as close to it as ever, and diffusers within what its detour can lose."""
    exact = run_face(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops, compat="diffusers", dtype=np.float64)
    assert same_levels(ours, theirs)
    assert difference(ours, exact) < CLOSE
    assert difference(theirs, exact) < LOSES[drawn.config["_class_name"]](theirs)


def rounding_is_amplified(drawn: Drawn, found: float) -> bool:
    """Whether a run magnifies float32 rounding, and nothing else parts the two sides.

    Some do: a threshold below 1 divides x0 by it in every step, and near the clean end a predicted x0 says what the noise is only in its
    last digits. Then both sides agree in float64, with all square roots correctly rounded.
    """
    with CorrectlyRounded():
        theirs = run_peer(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops, dtype=np.float64)
    ours = run_face(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops, compat="diffusers", dtype=np.float64)
    return found < AMPLIFIED and difference(ours, theirs) < CLOSE / 100


def test_every_class_is_drawn() -> None:
    assert set(DRAWN) == {name for name in class_names() if hasattr(diffusers, name)}


@pytest.mark.parametrize("class_name", DRAWN)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_run_follows_diffusers(class_name: str, data: st.DataObject) -> None:
    assert_follows(data.draw(DRAWN[class_name]))
