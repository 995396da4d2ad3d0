"""Samplers for flows, EDM's formulation and consistency models: their own settings, and what they refuse."""

from typing import Any

import numpy as np
import pytest
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.schedulers import FlowEuler, FlowHeun, from_config, sampler_from_config, sampler_from_name
from sdrt.schedulers.grids.flow import FlowGrid
from tests.schedulers.peers import distance, run_face, run_peer

FLUX: dict[str, Any] = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "max_image_seq_len": 4096,
    "max_shift": 1.15,
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
}


@settings(max_examples=40)
@given(patches=st.integers(1, 20000), base=st.sampled_from([0.5, 0.1]), highest=st.sampled_from([1.15, 0.9]))
def test_the_exponent_of_the_dynamic_shift_is_what_diffusers_pipelines_pass(patches: int, base: float, highest: float) -> None:
    own = FlowGrid(base_shift=base, max_shift=highest)
    assert own.mu(patches) == pytest.approx(calculate_shift(patches, base_shift=base, max_shift=highest), rel=1e-12)


def test_flux_as_its_pipeline_calls_it() -> None:
    """1024x1024: 4096 patches, so mu 1.15; levels from 1 to 1 / n, shifted by exp(mu)."""
    scheduler = from_config(FLUX)
    assert isinstance(scheduler.sampler, FlowEuler)
    n = 4
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / n, n), mu=scheduler.sampler.grid.mu(4096))
    levels = np.linspace(1.0, 1 / n, n)
    expected = np.exp(1.15) / (np.exp(1.15) + 1 / levels - 1)
    np.testing.assert_allclose(scheduler.sigmas, [*expected, 0], rtol=1e-6)
    np.testing.assert_allclose(scheduler.timesteps, expected * 1000, rtol=1e-6)
    assert scheduler.init_noise_sigma == 1


def test_timesteps_beside_sigmas_are_what_the_network_is_told() -> None:
    plan = sampler_from_config({**FLUX, "use_dynamic_shifting": False, "shift": 1.0}).plan(sigmas=[0.9, 0.3], timesteps=[850.0, 310.0])
    np.testing.assert_array_equal(plan.timesteps, [850, 310])
    np.testing.assert_allclose(plan.sigmas, [0.9, 0.3, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("config", "stops", "message"),
    [
        (
            FLUX,
            {"num_inference_steps": 4},
            r"mu must be set where .* is on, got None; pass mu=sampler.grid.mu\(image_seq_len\)",
        ),
        (
            {**FLUX, "time_shift_type": "linear"},
            {"num_inference_steps": 4, "mu": -0.5},
            "mu must be above 0 where time_shift_type is linear, got -0.5",
        ),
        ({}, {"sigmas": [1.0, 0.5, 0.0]}, r"sigmas must lie in \(0, 1\] and never rise, got 1 to 0; .* without the 0 at which a run ends"),
        ({}, {"sigmas": [0.5, 1.0]}, r"sigmas must lie in \(0, 1\] and never rise, got 0.5 to 1; sort them"),
        ({}, {"sigmas": [1.5, 1.0]}, r"sigmas must lie in \(0, 1\] and never rise, got 1.5 to 1"),
        ({}, {"timesteps": [1001.0]}, r"noise levels of timesteps must lie in \(0, 1\] and never rise, got 1.001 to 1.001"),
        ({"_class_name": "EDMEulerScheduler"}, {"sigmas": [5.0, 0.0]}, "sigmas must be above 0 and never rise, got 5 to 0; sort them"),
        ({"_class_name": "EDMEulerScheduler"}, {"sigmas": [0.5, 5.0]}, "sigmas must be above 0 and never rise, got 0.5 to 5; sort them"),
        (
            {"_class_name": "CMStochasticIterativeScheduler"},
            {"timesteps": [30, 30, 2]},
            r"timesteps must be whole and differ from each other, got \[30.0, 30.0, 2.0\]; leave out those that repeat",
        ),
        (
            {"_class_name": "CMStochasticIterativeScheduler"},
            {"num_inference_steps": 41},
            r"num_inference_steps must be in \[1, 40\], got 41",
        ),
    ],
)
def test_stops_that_lead_nowhere_are_refused(config: dict[str, Any], stops: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sampler_from_config({"_class_name": "FlowMatchEulerDiscreteScheduler", **config}).plan(**stops)


@pytest.mark.parametrize(
    ("class_name", "config", "message"),
    [
        ("FlowMatchEulerDiscreteScheduler", {"shift": 0.0}, "shift of .* must be a finite number above 0, got 0.0"),
        (
            "FlowMatchEulerDiscreteScheduler",
            {"shift_terminal": 1.5},
            "shift_terminal of .* must be a finite number from 0 to 1, or null, got 1.5",
        ),
        (
            "FlowMatchEulerDiscreteScheduler",
            {"num_train_timesteps": 1},
            "num_train_timesteps of .* must be a whole number of at least 2, got 1",
        ),
        ("FlowMatchEulerDiscreteScheduler", {"time_shift_type": "cubic"}, "time_shift_type of .* must be 'exponential' or 'linear', got"),
        (
            "FlowMatchEulerDiscreteScheduler",
            {"use_beta_sigmas": True, "use_karras_sigmas": True},
            "one way to spread sigmas must be set at most, got use_karras_sigmas, use_beta_sigmas",
        ),
        (
            "FlowMatchLCMScheduler",
            {"scale_factors": [0.5, 1.0]},
            r"scale_factors of FlowMatchLCMScheduler must be None .* got \[0.5, 1.0\]",
        ),
        ("EDMEulerScheduler", {"sigma_schedule": "linear"}, "sigma_schedule of .* must be 'karras' or 'exponential', got 'linear'"),
        ("EDMEulerScheduler", {"prediction_type": "sample"}, "prediction_type of .* must be 'epsilon' or 'v_prediction', got 'sample'"),
        ("EDMEulerScheduler", {"sigma_min": 90.0}, "sigma_min must be below sigma_max, got 90.0 and 80.0"),
        ("EDMEulerScheduler", {"sigma_data": 0.0}, "sigma_data of .* must be a finite number above 0, got 0.0"),
        ("EDMDPMSolverMultistepScheduler", {"solver_order": 4}, "solver_order of .* must be a whole number from 1 to 3, got 4"),
        ("EDMDPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver"}, "'sde-dpmsolver\\+\\+', got 'dpmsolver'"),
        ("CMStochasticIterativeScheduler", {"s_noise": -1.0}, "s_noise of .* must be a finite number of at least 0, got -1.0"),
        (
            "CMStochasticIterativeScheduler",
            {"num_train_timesteps": 1},
            "num_train_timesteps of .* must be a whole number of at least 2, got 1",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(class_name: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sampler_from_config({"_class_name": class_name, **config})


@pytest.mark.parametrize("option", ["s_churn", "s_tmin", "s_tmax", "s_noise"])
def test_churn_is_not_negative(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option} must be .*number of at least 0, got -0.1"):
        sampler_from_config({"_class_name": "EDMEulerScheduler"}).with_options(**{option: -0.1})


def test_without_both_of_its_ends_the_exponent_is_unknown() -> None:
    with pytest.raises(ConfigError, match=r"base_shift and max_shift must be set .* got None; pass mu itself to plan"):
        FlowGrid(max_shift=None).mu(4096)


def test_a_flow_keeps_its_prediction_whatever_the_models_configuration_says() -> None:
    for name, kind in (("flow euler", FlowEuler), ("Flow Heun", FlowHeun)):
        sampler = sampler_from_name(name, {"_class_name": "DDIMScheduler", "prediction_type": "v_prediction"})
        assert isinstance(sampler, kind)
        assert sampler.prediction_type == "flow_prediction"


def test_a_flow_has_no_velocity_of_diffusion() -> None:
    scheduler = from_config({"_class_name": "FlowMatchEulerDiscreteScheduler"})
    x = np.zeros((1, 4, 8, 8), np.float32)
    with pytest.raises(ConfigError, match="has no get_velocity, which is for velocities over a trained schedule"):
        scheduler.get_velocity(x, x, 500)


def test_before_set_timesteps_noise_is_added_at_every_trained_level() -> None:
    scheduler = from_config({"_class_name": "FlowMatchEulerDiscreteScheduler"})
    picture, noise = np.ones((1, 4, 8, 8), np.float32), np.zeros((1, 4, 8, 8), np.float32)
    np.testing.assert_allclose(scheduler.scale_noise(picture, 250, noise), 0.75, rtol=1e-6)


@pytest.mark.parametrize(
    ("n", "config", "orders"),
    [
        (8, {}, [1, 2, 3, 3, 3, 3, 2, 1]),
        (8, {"lower_order_final": False}, [1, 2, 3, 3, 3, 3, 3, 1]),
        (15, {}, [1, 2, *[3] * 12, 1]),
        (8, {"solver_order": 2}, [1, 2, 2, 2, 2, 2, 2, 1]),
        (2, {}, [1, 1]),
    ],
)
def test_the_orders_of_an_edm_solvers_steps_are_those_of_diffusers(n: int, config: dict[str, Any], orders: list[int]) -> None:
    """They rise with the history, and fall at the end, in short runs and where a run ends without noise."""
    solver = {"_class_name": "EDMDPMSolverMultistepScheduler", "solver_order": 3, **config}
    plan = sampler_from_config(solver, compat="diffusers").plan(n)
    assert [len(call.updates) for call in plan.coefficients] == orders
    assert distance(run_face(solver, n, compat="diffusers"), run_peer(solver, n)) < 1e-4  # a wrong order moves it by 2e-2
