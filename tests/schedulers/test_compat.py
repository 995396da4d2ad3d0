"""Whole runs under compat="diffusers" against diffusers, whatever the configuration; see tests/schedulers/drawn."""

import os
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

# Of the largest value of the run: float32 rounding on both sides, with a margin of about ten over what whole runs show (2e-6).
CLOSE = 2e-5
# What a run may make of that by amplifying it; see rounding_is_amplified.
AMPLIFIED = 1e-2


def largest(run: Run) -> float:
    return max(float(np.abs(x.astype(np.float64)).max()) for x in run.samples)


def difference(ours: Run, theirs: Run) -> float:
    """Return the largest difference of the last samples over the largest value of the run."""
    return float(np.abs(ours.samples[-1].astype(np.float64) - theirs.samples[-1]).max() / (largest(theirs) or 1))


def of_diffusers(drawn: Drawn) -> Run | None:
    """Run diffusers; None where it raises, makes no call at all, or gives NaN or infinities."""
    try:
        theirs = run_peer(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops)
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
    if hasattr(theirs.scheduler, "sigmas"):
        np.testing.assert_allclose(ours.scheduler.sigmas, np.asarray(theirs.scheduler.sigmas), rtol=2e-5, atol=1e-7)
    found = difference(ours, theirs)
    assert found < CLOSE or rounding_is_amplified(drawn, found)
    return found


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
