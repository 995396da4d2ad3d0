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
from tests.schedulers.peers import CorrectlyRounded, Run, run_face, run_peer

# Examples of each class; SDRT_EXAMPLES=250 draws the thousands that are run before a release.
EXAMPLES = int(os.environ.get("SDRT_EXAMPLES", "12"))

# How a peer computes in float64.
EXACT: dict[str, Any] = {"dtype": np.float64, "wide": True}

# Of the largest value of the run: float32 rounding on both sides, with a margin of about ten over what whole runs show (2e-6).
CLOSE = 2e-5


def largest(run: Run) -> float:
    return max(float(np.abs(x.astype(np.float64)).max()) for x in run.samples)


def difference(ours: Run, theirs: Run) -> float:
    """Return the largest difference of the last samples over the largest value of the run."""
    return float(np.abs(ours.samples[-1].astype(np.float64) - theirs.samples[-1]).max() / largest(theirs))


def of_diffusers(drawn: Drawn, *, exactly: bool = False) -> Run | None:
    """Run diffusers; None where it raises, or gives NaN or infinities.

    ``exactly`` keeps its rounding out of it: square roots are rounded correctly, and from its float32 ``sigmas`` on it computes in float64.
    """
    try:
        with CorrectlyRounded() if exactly else nullcontext():
            theirs = run_peer(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops, **(EXACT if exactly else {}))
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
    np.testing.assert_allclose(ours.timesteps, theirs.timesteps, rtol=1e-5, atol=1e-2 if ours.timesteps.dtype == np.float32 else 0)
    if not follows(ours, theirs) and hasattr(theirs.scheduler, "sigmas"):
        assert_follows_exactly(drawn)
        return None
    assert follows(ours, theirs)
    return difference(ours, theirs)


def assert_follows_exactly(drawn: Drawn) -> None:
    """Compare both in float64, where a run magnifies what float32 rounds.

    Some weights of diffusers are differences of far larger float32 numbers (Adams weights from powers of lambda, UniPC's from recurrences
    over the step's length), a threshold below 1 divides x0 by it at every step, and a stochastic update of third order doubles noise.
    """
    theirs = of_diffusers(drawn, exactly=True)
    assert theirs is not None
    ours = run_face(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops, compat="diffusers", dtype=np.float64)
    assert follows(ours, theirs)


def follows(ours: Run, theirs: Run) -> bool:
    """Whether both visit the same levels and end at the same sample; diffusers' inverse class keeps levels that it does not visit."""
    if hasattr(theirs.scheduler, "sigmas"):
        sigmas = np.asarray(theirs.scheduler.sigmas)[: len(ours.scheduler.sigmas)]
        if not np.allclose(ours.scheduler.sigmas, sigmas, rtol=2e-5, atol=1e-7):
            return False
    return difference(ours, theirs) < CLOSE


def test_every_class_is_drawn() -> None:
    assert set(DRAWN) == {name for name in class_names() if hasattr(diffusers, name)}


@pytest.mark.parametrize("class_name", DRAWN)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_run_follows_diffusers(class_name: str, data: st.DataObject) -> None:
    assert_follows(data.draw(DRAWN[class_name]))
