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
from sdrt.schedulers.face_habits import VARIANCE_EXPLODING
from sdrt.testing.strategies.schedulers import RUNS, SchedulerRun
from tests.schedulers import rounding
from tests.schedulers.peers import CorrectlyRounded, Run, is_of_diffusers, run_face, run_peer
from tests.schedulers.rounding import difference, follows

# Examples of each class; SDRT_EXAMPLES=250 draws the thousands that are run before a release.
EXAMPLES = int(os.environ.get("SDRT_EXAMPLES", "12"))

# What of a class's examples must have been compared, and how many candidates an example may have: diffusers cannot run each configuration.
LEAST_COMPARED = 0.6
CANDIDATES = 8

# What diffusers raises for configurations that it cannot run; anything else, a renamed argument say, is a fault of these tests.
REFUSALS = (ValueError, RuntimeError, IndexError, ZeroDivisionError, AssertionError, UnboundLocalError)

# How a peer computes in float64.
EXACT: dict[str, Any] = {"dtype": np.float64, "wide": True}


def of_diffusers(drawn: SchedulerRun, *, exactly: bool = False) -> Run | None:
    """Run diffusers; None where it raises, makes no call at all, or gives NaN or infinities.

    ``exactly`` keeps its rounding out of it: square roots are rounded correctly, and from its float32 ``sigmas`` on it computes in float64.
    """
    try:
        with CorrectlyRounded() if exactly or rounding.hangs_on_last_bits(drawn) else nullcontext():
            theirs = run_peer(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops, **(EXACT if exactly else {}))
    except REFUSALS:
        return None
    except TypeError:
        if not adds_to_no_number(drawn):
            raise
        return None
    return theirs if theirs.samples and all(np.isfinite(x).all() for x in theirs.samples) else None


def adds_to_no_number(drawn: SchedulerRun) -> bool:
    """Whether diffusers adds 1 to a number of steps that is None: its DPMSolverMultistepScheduler at given timesteps of flows."""
    flows = drawn.config["_class_name"] == "DPMSolverMultistepScheduler" and bool(drawn.config.get("use_flow_sigmas"))
    return flows and "timesteps" in (drawn.stops or {})


def assert_follows(drawn: SchedulerRun) -> float | None:
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
    found = difference(ours, theirs)
    if not follows(drawn, ours, theirs):
        assert_rounding_parts_them(drawn, ours, theirs, found)
    return found


def assert_rounding_parts_them(drawn: SchedulerRun, ours: Run, theirs: Run, found: float) -> None:
    """Ask the judge of this class whether float32 rounding is all that parts the two runs."""
    if drawn.config["_class_name"] in rounding.LOSES:
        rounding.of_detours(drawn, ours, theirs)
    elif ours.scheduler.sampler.name in VARIANCE_EXPLODING:
        rounding.of_ratios(drawn, ours, theirs)
    elif not (rounding.same_levels(drawn, ours, theirs) and rounding.is_amplified(drawn, found)):
        # Some weights of diffusers are differences of far larger float32 numbers (Adams weights from powers of lambda, UniPC's from
        # recurrences over the step's length), and a stochastic update of third order doubles noise: both are compared in float64.
        assert hasattr(theirs.scheduler, "sigmas"), found
        exact = of_diffusers(drawn, exactly=True)
        assert exact is not None
        wide = run_face(drawn.config, drawn.n, step=drawn.step, stops=drawn.stops, compat="diffusers", dtype=np.float64)
        # so much that in 71 steps the float32 sigmas of both, rounded apart in their last bits, come to 6e-5 there too
        bound = 10 * rounding.CLOSE if drawn.config.get("algorithm_type") == "sde-dpmsolver++" else rounding.CLOSE
        assert rounding.same_levels(drawn, wide, exact)
        assert difference(wide, exact) < bound, (found, difference(wide, exact))


def test_every_class_is_drawn() -> None:
    assert set(RUNS) == {name for name in class_names() if is_of_diffusers(name)}


@pytest.mark.parametrize("class_name", RUNS)
def test_a_run_follows_diffusers(class_name: str) -> None:
    compared: list[bool] = []

    @settings(max_examples=EXAMPLES)
    @given(data=st.data())
    def follow(data: st.DataObject) -> None:
        candidates = (data.draw(RUNS[class_name]) for _ in range(CANDIDATES))
        compared.append(any(assert_follows(drawn) is not None for drawn in candidates))

    follow()
    assert sum(compared) >= LEAST_COMPARED * len(compared), f"{sum(compared)} of {len(compared)} examples were compared"


def test_a_peer_that_breaks_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Run:
        raise TypeError("an argument was renamed")

    monkeypatch.setattr("tests.schedulers.test_compat.run_peer", broken)
    with pytest.raises(TypeError, match="an argument was renamed"):
        of_diffusers(SchedulerRun({"_class_name": "DDIMScheduler"}, 5))
