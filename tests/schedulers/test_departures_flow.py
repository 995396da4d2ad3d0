"""Where diffusers 0.42.1 does what is wrong with flows, EDM or consistency models, and the default here does not: both sides."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import sdrt.rng
from sdrt.errors import ConfigError
from sdrt.schedulers import Plan, Sampler, from_config, sampler_from_config
from tests.schedulers.oracles import perfect_output
from tests.schedulers.peers import first_noise, laid_out, run_face, run_peer

FLOW = "FlowMatchEulerDiscreteScheduler"
PICTURE = np.array([0.3, -0.8])


def sampler(class_name: str, compat: Any = None, **config: Any) -> Sampler:
    return sampler_from_config({"_class_name": class_name, **config}, compat=compat)


def knowing_run(own: Sampler, plan: Plan, fresh: float = 1.0) -> np.ndarray:
    """Run with a network that knows the picture; all fresh noise is ``fresh``."""
    state = own.start(plan, own.add_noise(plan, PICTURE, np.array([1.1, 0.4]), 0))
    while state.position < plan.num_calls:
        i = state.position
        output = perfect_output(own, plan, i, state.x, PICTURE)
        state = own.step(plan, state, output, np.full(2, fresh) if plan.draws[i] else None)
    return state.x


# ---- flows


def test_the_last_step_of_a_shifted_flow_is_from_the_smallest_trained_level() -> None:
    """Stable Diffusion 3: diffusers shifts the range of training twice."""
    sd3 = {"_class_name": FLOW, "shift": 3.0}
    smallest = 3 * 0.001 / (1 + 2 * 0.001)
    for n in (2, 28):
        assert sampler_from_config(sd3).plan(n).sigmas[-2] == pytest.approx(smallest, rel=1e-6)
        twice = 3 * smallest / (1 + 2 * smallest)
        assert float(laid_out(sd3, n).sigmas[-2]) == pytest.approx(twice, rel=1e-5)
        assert sampler_from_config(sd3, compat="diffusers").plan(n).sigmas[-2] == pytest.approx(twice, rel=1e-5)
    assert smallest == pytest.approx(0.00299, abs=1e-5)
    assert twice == pytest.approx(0.00893, abs=1e-5)


def test_given_timesteps_of_a_flow_are_where_its_sample_stands() -> None:
    """diffusers calls the network there, at a sample whose level is shifted once more."""
    shifted = {"_class_name": FLOW, "shift": 3.0}
    timesteps = [900.0, 500.0, 100.0]
    plan = sampler_from_config(shifted).plan(timesteps=timesteps)
    np.testing.assert_allclose(plan.sigmas[:-1], [0.9, 0.5, 0.1], rtol=1e-6)
    theirs = laid_out(shifted, 3, {"timesteps": timesteps})
    np.testing.assert_array_equal(theirs.timesteps, plan.timesteps)
    np.testing.assert_allclose(theirs.sigmas[:-1], [2.7 / 2.8, 0.75, 0.25], rtol=1e-6)
    np.testing.assert_allclose(sampler_from_config(shifted, compat="diffusers").plan(timesteps=timesteps).sigmas, theirs.sigmas, rtol=1e-6)


def test_given_timesteps_of_an_inverted_flow_rise() -> None:
    """Its network is told the share of signal."""
    plan = sampler(FLOW, invert_sigmas=True).plan(timesteps=[100, 500, 900])
    np.testing.assert_array_equal(plan.timesteps, [100, 500, 900])
    np.testing.assert_allclose(plan.alphas, [0.1, 0.5, 0.9, 1.0], rtol=1e-6)


def test_a_flow_of_one_step_cannot_be_stretched() -> None:
    """diffusers divides 0 by 0."""
    stretched = {"_class_name": FLOW, "shift_terminal": 0.1}
    assert sampler_from_config(stretched).plan(1).sigmas.tolist() == [1.0, 0.0]
    assert sampler_from_config(stretched).plan(5).sigmas[-2] == pytest.approx(0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(laid_out(stretched, 1).sigmas[0])


def test_an_exponent_that_means_nothing_is_refused() -> None:
    """diffusers takes it and leaves it aside."""
    with pytest.raises(ConfigError, match=r"mu must be None unless use_dynamic_shifting is on, got 0\.7; leave it out"):
        sampler(FLOW).plan(4, mu=0.7)
    theirs = laid_out({"_class_name": FLOW}, 4, {"num_inference_steps": 4, "mu": 0.7})
    np.testing.assert_allclose(sampler(FLOW, "diffusers").plan(4, mu=0.7).sigmas, theirs.sigmas, rtol=1e-6)


@pytest.mark.parametrize(("class_name", "config"), [(FLOW, {"stochastic_sampling": True}), ("FlowMatchLCMScheduler", {})])
def test_a_redrawn_inverted_flow_ends_with_a_picture(class_name: str, config: dict[str, Any]) -> None:
    """diffusers ends it with nothing but noise."""
    inverted = {"_class_name": class_name, "invert_sigmas": True, **config}
    own = sampler_from_config(inverted)
    np.testing.assert_allclose(knowing_run(own, own.plan(4)), PICTURE, rtol=1e-6)
    theirs, ours = run_peer(inverted, 4), run_face(inverted, 4, compat="diffusers")
    noise = torch.Generator().manual_seed(93)
    for _ in range(4):
        last = torch.randn(first_noise().shape, generator=noise)
    np.testing.assert_allclose(theirs.samples[-1], last, atol=1e-6)
    np.testing.assert_allclose(ours.samples[-1], last, atol=1e-6)


def test_noise_on_an_inverted_flow_is_as_strong_as_its_timestep_says() -> None:
    """diffusers mixes the wrong way round: almost no noise at the beginning of a run."""
    inverted = {"_class_name": FLOW, "invert_sigmas": True}
    ours, theirs = from_config(inverted), laid_out(inverted, 4)
    ours.set_timesteps(4)
    picture, noise = (sdrt.rng.stream("numpy", k).normal((1, 2, 4, 4)) for k in range(2))
    for at in range(4):
        mixed = ours.scale_noise(picture, ours.timesteps[at], noise)
        share = ours.timesteps[at] / 1000
        np.testing.assert_allclose(mixed, share * picture + (1 - share) * noise, rtol=1e-5, atol=1e-6)
        other = theirs.scale_noise(torch.from_numpy(picture), theirs.timesteps[at : at + 1], torch.from_numpy(noise)).numpy()
        np.testing.assert_allclose(other, share * noise + (1 - share) * picture, rtol=1e-5, atol=1e-6)


# ---- churn


@pytest.mark.parametrize("class_name", ["EDMEulerScheduler", "FlowMatchHeunDiscreteScheduler"])
def test_churn_leaves_no_noise_in_the_picture(class_name: str) -> None:
    """diffusers adds a step's noise after the network was called, the last step's too."""
    own, like_diffusers = (sampler(class_name, compat).with_options(s_churn=8.0) for compat in (None, "diffusers"))
    plan = own.plan(10)
    assert any(plan.draws)
    assert not plan.draws[-1]
    np.testing.assert_allclose(knowing_run(own, plan), PICTURE, rtol=1e-6)
    late = like_diffusers.plan(10)
    assert late.draws[-1]
    assert np.abs(knowing_run(like_diffusers, late) - PICTURE).max() > 2e-4


def test_churn_keeps_signal_and_noise_of_a_flow_at_1() -> None:
    """diffusers adds noise and takes no signal away, also to pure noise; and draws again for the second call, where it cancels out."""
    own, like_diffusers = (sampler("FlowMatchHeunDiscreteScheduler", compat).with_options(s_churn=4.0) for compat in (None, "diffusers"))
    plan = own.plan(8)
    assert plan.sigmas[0] == 1.0
    for i in plan.starts:
        state = own.start(plan, own.add_noise(plan, PICTURE, np.array([1.1, 0.4]), i), i)
        while state.position < plan.num_calls and state.position not in plan.starts[plan.starts.index(i) + 1 :]:
            output = perfect_output(own, plan, state.position, state.x, PICTURE)
            state = own.step(plan, state, output, np.zeros(2) if plan.draws[state.position] else None)
        # What is left of the picture is alpha, whatever became of the noise.
        noise_alone = own.start(plan, own.add_noise(plan, np.zeros(2), np.array([1.1, 0.4]), i), i)
        while noise_alone.position < state.position:
            output = perfect_output(own, plan, noise_alone.position, noise_alone.x, np.zeros(2))
            noise_alone = own.step(plan, noise_alone, output, np.zeros(2) if plan.draws[noise_alone.position] else None)
        np.testing.assert_allclose(state.x - noise_alone.x, plan.alphas[state.position] * PICTURE, atol=1e-6)
    assert plan.draws[:5] == (False, True, False, True, False)
    assert like_diffusers.plan(8).draws == (True,) * 15


def test_churn_moves_the_stops_and_is_said_with_them() -> None:
    face = from_config({"_class_name": "EDMEulerScheduler"})
    face.set_timesteps(10)
    x = first_noise()
    with pytest.raises(ConfigError, match="s_churn of EDMEulerScheduler must go to set_timesteps"):
        face.step(x, face.timesteps[0], x, s_churn=2.0)
    plain = face.sigmas
    face.set_timesteps(10, s_churn=2.0)
    np.testing.assert_allclose(face.sigmas[:-1], plain[:-1] * 1.2, rtol=1e-6)
    assert face.init_noise_sigma == pytest.approx(np.sqrt(96**2 + 1))


# ---- EDM


def test_given_sigmas_of_edm_are_noise_levels() -> None:
    """diffusers takes them for positions on its own spread."""
    own = sampler("EDMEulerScheduler").plan(sigmas=[80.0, 5.0, 0.5])
    np.testing.assert_allclose(own.sigmas, [80, 5, 0.5, 0], rtol=1e-6)
    theirs = laid_out({"_class_name": "EDMEulerScheduler"}, 3, {"sigmas": torch.tensor([0.0, 0.5, 1.0])})
    np.testing.assert_allclose(theirs.sigmas, laid_out({"_class_name": "EDMEulerScheduler"}, 3).sigmas, rtol=1e-6)
    np.testing.assert_allclose(sampler("EDMEulerScheduler", "diffusers").plan(sigmas=[0.0, 0.5, 1.0]).sigmas, theirs.sigmas, rtol=1e-6)
    garbage = laid_out({"_class_name": "EDMEulerScheduler"}, 3, {"sigmas": torch.tensor([80.0, 5.0, 0.5])})
    assert garbage.sigmas.min() < 0
    with pytest.raises(ConfigError, match=r"diffusers takes sigmas for positions in \[0, 1\], got 80; leave compat out for noise levels"):
        sampler("EDMEulerScheduler", "diffusers").plan(sigmas=[80.0, 5.0, 0.5])


@pytest.mark.parametrize("class_name", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
def test_a_single_exponential_step_starts_at_the_highest_level(class_name: str) -> None:
    """diffusers starts it at the lowest, with a sample of the highest."""
    assert sampler(class_name, sigma_schedule="exponential").plan(1).sigmas[0] == 80
    theirs = laid_out({"_class_name": class_name, "sigma_schedule": "exponential"}, 1)
    assert float(theirs.sigmas[0]) == pytest.approx(0.002)
    assert sampler(class_name, "diffusers", sigma_schedule="exponential").plan(1).sigmas[0] == pytest.approx(0.002)


def test_a_run_of_edm_ends_at_the_lowest_trained_level_wherever_its_last_call_is() -> None:
    """Where it is to end at sigma_min, diffusers' Euler repeats the last level, and makes no step."""
    for compat, end in ((None, 0.002), ("diffusers", 80.0)):
        plan = sampler("EDMEulerScheduler", compat, final_sigmas_type="sigma_min").plan(1)
        np.testing.assert_allclose(plan.sigmas, [80, end], rtol=1e-6)
    theirs = laid_out({"_class_name": "EDMEulerScheduler", "final_sigmas_type": "sigma_min"}, 1)
    assert theirs.sigmas.tolist() == [80.0, 80.0]


def test_the_stochastic_edm_solver_has_an_order_3() -> None:
    third = {"_class_name": "EDMDPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++", "solver_order": 3}
    with pytest.raises(UnboundLocalError):
        run_peer(third, 20)
    own = sampler_from_config(third)
    np.testing.assert_allclose(knowing_run(own, own.plan(20), 0.0), PICTURE, rtol=1e-6)
    assert np.isfinite(run_face(third, 20).samples[-1]).all()


def test_a_last_edm_step_of_no_length_leaves_the_sample() -> None:
    """diffusers divides 0 by 0, where its two ways to compute sigma_min agree."""
    idle = {
        "_class_name": "EDMDPMSolverMultistepScheduler",
        "sigma_schedule": "exponential",
        "final_sigmas_type": "sigma_min",
        "solver_type": "heun",
        "sigma_min": 1.0,
    }
    assert np.isnan(run_peer(idle, 20).samples[-1]).all()
    ours = run_face(idle, 20)
    np.testing.assert_allclose(ours.samples[-1], ours.samples[-2], rtol=1e-6)


# ---- consistency models


def test_the_first_noise_of_a_consistency_model_is_that_of_its_first_level() -> None:
    """diffusers takes the highest level's, wherever the given timesteps begin."""
    given = {"timesteps": [30, 20]}
    plan = sampler("CMStochasticIterativeScheduler").plan(**given)  # type: ignore[arg-type]
    assert plan.init_scale == plan.sigmas[0]
    assert plan.sigmas[0] < 4
    assert laid_out({"_class_name": "CMStochasticIterativeScheduler"}, 2, given).init_noise_sigma == 80
    assert sampler("CMStochasticIterativeScheduler", "diffusers").plan(**given).init_scale == 80  # type: ignore[arg-type]
