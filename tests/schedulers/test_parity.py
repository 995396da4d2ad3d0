"""Whole runs against diffusers, over drawn configurations."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.schedulers.configs import CLASSES, runs
from tests.schedulers.peers import SD, CorrectlyRounded, distance, first_noise, run_face, run_peer

every_class = pytest.mark.parametrize("name", CLASSES)

# A float32 run of 50 steps: rounding alone, with a margin of about ten over the worst seen (2e-6).
CLOSE = 2e-5
# One to nine steps: each divides small differences of large values by alphas down to 0.01, in diffusers more than in ours.
CLOSE_FEW = 1e-3


@every_class
@settings(max_examples=40)
@given(data=st.data())
def test_runs_stay_close_to_diffusers(name: str, data: st.DataObject) -> None:
    config, n, eta = data.draw(runs(name))
    theirs = run_peer(config, n, step=own_step(config, eta))
    assume(np.isfinite(theirs.samples[-1]).all())  # its third order divides 0 by 0 where Karras sigmas end at sigma_min
    ours = run_face(config, n, step=own_step(config, eta))
    assert ours.timesteps.dtype == theirs.timesteps.dtype
    # Karras timesteps are fractional, and follow the last bits of the square roots.
    np.testing.assert_allclose(ours.timesteps, theirs.timesteps, rtol=0, atol=1e-2 if config.get("use_karras_sigmas") else 0)
    bound = CLOSE if n >= 10 else CLOSE_FEW
    if distance(ours, theirs) >= bound:
        # some solvers amplify the last bits of MKL's square roots (DPM-Solver's third order over x0: 3e-5); without those, nothing is left
        with CorrectlyRounded():
            theirs = run_peer(config, n, step=own_step(config, eta))
    assert distance(ours, theirs) < bound


@every_class
@settings(max_examples=40)
@given(data=st.data())
def test_tables_are_those_of_diffusers_to_the_bit(name: str, data: st.DataObject) -> None:
    config, n, _ = data.draw(runs(name))
    with CorrectlyRounded():
        theirs = run_peer(config, n)
    ours = run_face(config, n)
    np.testing.assert_array_equal(ours.timesteps, theirs.timesteps)
    np.testing.assert_allclose(ours.scheduler.init_noise_sigma, float(theirs.scheduler.init_noise_sigma), rtol=2e-7)
    if hasattr(theirs.scheduler, "sigmas"):
        np.testing.assert_array_equal(ours.scheduler.sigmas, theirs.scheduler.sigmas.numpy())


@pytest.mark.parametrize("name", ["pndm", "dpmsolver multistep"])
@settings(max_examples=60)
@given(data=st.data())
def test_multistep_runs_are_equal_to_the_bit(name: str, data: st.DataObject) -> None:
    config, n, _ = data.draw(runs(name))
    with CorrectlyRounded():
        theirs = run_peer(config, n)
    assume(np.isfinite(theirs.samples[-1]).all())
    for ours, sample in zip(run_face(config, n).samples, theirs.samples, strict=True):
        np.testing.assert_array_equal(ours, sample)


@pytest.mark.parametrize("n", [10, 25])
@pytest.mark.parametrize("karras", [False, True])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_usual_dpm_solver_runs_are_equal_to_the_bit(order: int, karras: bool, n: int) -> None:
    config = {"_class_name": "DPMSolverMultistepScheduler", **SD, "solver_order": order, "use_karras_sigmas": karras}
    with CorrectlyRounded():
        theirs = run_peer(config, n)
    np.testing.assert_array_equal(run_face(config, n).samples[-1], theirs.samples[-1])


@pytest.mark.parametrize("n", [10, 25, 50])
@pytest.mark.parametrize("skip", [True, False])
def test_the_usual_pndm_runs_are_equal_to_the_bit(skip: bool, n: int) -> None:
    config = {"_class_name": "PNDMScheduler", **SD, "steps_offset": 1, "skip_prk_steps": skip}
    with CorrectlyRounded():
        theirs = run_peer(config, n)
    np.testing.assert_array_equal(run_face(config, n).samples[-1], theirs.samples[-1])


@settings(max_examples=20)
@given(n=st.integers(2, 40), lambda_min=st.sampled_from([-5.1, -3.0]), order=st.integers(1, 3))
@example(n=20, lambda_min=-5.1, order=2)
def test_the_cosine_schedule_with_its_clipped_lambda(n: int, lambda_min: float, order: int) -> None:
    config = {
        "_class_name": "DPMSolverMultistepScheduler",
        "beta_schedule": "squaredcos_cap_v2",
        "lambda_min_clipped": lambda_min,
        "solver_order": order,
    }
    with CorrectlyRounded():
        theirs = run_peer(config, n)
    ours = run_face(config, n)
    np.testing.assert_array_equal(ours.timesteps, theirs.timesteps)
    np.testing.assert_array_equal(ours.samples[-1], theirs.samples[-1])


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - {"euler a"}))  # torch draws other normals in float64
@settings(max_examples=10)
@given(data=st.data())
def test_float64_samples_stay_float64(name: str, data: st.DataObject) -> None:
    """diffusers' sigma-based classes round x to float32 on the way; tables are float32 in both."""
    config, n, _ = data.draw(runs(name))
    theirs = run_peer(config, n, dtype=np.float64)
    assume(np.isfinite(theirs.samples[-1]).all())
    ours = run_face(config, n, dtype=np.float64)
    assert {x.dtype for x in ours.samples} == {np.dtype(np.float64)}
    assert distance(ours, theirs) < (CLOSE if n >= 10 else CLOSE_FEW)


@every_class
@settings(max_examples=10)
@given(data=st.data())
def test_float16_samples_are_computed_in_float32(name: str, data: st.DataObject) -> None:
    """Each call from float16 and back differs from the same call in float32 by the rounding of its result alone."""
    config, n, eta = data.draw(runs(name))
    config["prediction_type"] = "v_prediction"  # of this network's outputs, the others make values beyond float16
    ours = run_face(config, n, step=own_step(config, eta), dtype=np.float16)
    assert {x.dtype for x in ours.samples} == {np.dtype(np.float16)}
    assert np.isfinite(ours.samples[-1]).all()
    wide = run_face(config, n, step=own_step(config, eta))
    assert distance(ours, wide) < 0.05


def own_step(config: dict[str, Any], eta: float) -> dict[str, Any]:
    """Options of step: eta, where the class has one."""
    return {"eta": eta} if config["_class_name"] == "DDIMScheduler" else {}


def _zero_snr(class_name: str, prediction: str) -> dict[str, Any]:
    extra = {"clip_sample": False} if class_name == "DDIMScheduler" else {}
    return {
        "_class_name": class_name,
        **SD,
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "prediction_type": prediction,
        **extra,
    }


@pytest.mark.parametrize("n", [2, 10, 25])
@pytest.mark.parametrize("class_name", ["DDIMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_zero_terminal_snr(class_name: str, n: int) -> None:
    config = _zero_snr(class_name, "v_prediction")
    with CorrectlyRounded():
        theirs = run_peer(config, n)
    ours, truth = run_face(config, n), run_face(config, n, dtype=np.float64)
    # diffusers' Euler takes the difference of values of about 4096 there, in float32: its own error is up to 2e-3 of the result.
    assert distance(ours, theirs) < (5e-3 if class_name == "EulerDiscreteScheduler" else CLOSE)
    assert distance(ours, truth) < 2e-6


def test_the_network_is_seen_by_the_runs() -> None:
    """A run whose network says nothing ends elsewhere: parity is not parity of two constants."""
    config = {"_class_name": "EulerDiscreteScheduler", **SD}
    ours = run_face(config, 10)
    assert np.abs(ours.samples[-1] - first_noise() * ours.scheduler.init_noise_sigma).max() > 1
