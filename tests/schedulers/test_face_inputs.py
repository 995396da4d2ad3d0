"""What the methods of the diffusers-style face, and of samplers, are called with: accepted as diffusers does, or refused in words."""

from typing import Any

import numpy as np
import pytest
import torch

import sdrt.rng
from sdrt.errors import ArrayContractError, ConfigError, SdrtError
from sdrt.schedulers import DiffusersScheduler, Euler, from_config, make, sampler_from_config
from sdrt.schedulers.face_habits import SHARES_BEGIN_INDEX
from tests.schedulers.peers import SD, SHAPE, first_noise, known, laid_out, network, noised

X = np.ones(SHAPE, np.float32)
HELD_BY = np.full(SHAPE, np.nan, np.float32)
WRONG: list[Any] = [None, [], "5", {}, object(), b"5", [[1]], float("nan"), True, X > 0, np.array([]), 1j]


def face(name: str = "euler", n: int = 10, **settings: Any) -> DiffusersScheduler:
    scheduler = make(name, **settings)
    scheduler.set_timesteps(n)
    return scheduler


def config(class_name: str, **extra: Any) -> dict[str, Any]:
    return {**known(class_name, {**SD, "skip_prk_steps": True}), **extra}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: repr(value)[:20])
def test_every_method_refuses_what_it_cannot_take(wrong: Any) -> None:
    scheduler, t = face(), 999.0
    plan = scheduler.sampler.plan(10)
    state = scheduler.sampler.start(plan, X)
    calls = [
        lambda: DiffusersScheduler(wrong),
        lambda: make(wrong),
        lambda: from_config(wrong),
        lambda: scheduler.set_timesteps(wrong),
        lambda: scheduler.set_timesteps(timesteps=wrong),
        lambda: scheduler.set_timesteps(sigmas=wrong),
        lambda: scheduler.set_timesteps(5, s_churn=wrong),
        lambda: scheduler.step(wrong, t, X),
        lambda: scheduler.step(X, wrong, X),
        lambda: scheduler.step(X, t, wrong),
        lambda: scheduler.step(X, t, X, prev_timestep=wrong),
        lambda: face("euler a").step(X, t, X, generator=wrong),
        lambda: face("euler a").step(X, t, X, variance_noise=wrong),
        lambda: scheduler.scale_model_input(wrong, t),
        lambda: scheduler.scale_model_input(X, wrong),
        lambda: scheduler.add_noise(wrong, X, t),
        lambda: scheduler.add_noise(X, wrong, t),
        lambda: scheduler.add_noise(X, X, wrong),
        lambda: scheduler.get_velocity(X, wrong, t),
        lambda: scheduler.sampler.plan(wrong),
        lambda: scheduler.sampler.image_plan(10, wrong),
        lambda: scheduler.sampler.image_plan(wrong, 0.5),
        lambda: scheduler.sampler.start(wrong, X),
        lambda: scheduler.sampler.start(plan, wrong),
        lambda: scheduler.sampler.start(plan, X, wrong),
        lambda: scheduler.sampler.step(wrong, state, X),
        lambda: scheduler.sampler.step(plan, wrong, X),
        lambda: scheduler.sampler.step(plan, state, wrong),
        lambda: scheduler.sampler.add_noise(wrong, X, X, 0),
        lambda: scheduler.sampler.add_noise(plan, X, X, wrong),
        lambda: plan.start_at(wrong),
    ]
    # None is a default of some
    defaulted = {3, 4, 5, 6, 10, 12, 14} if wrong is None else set()
    for i, call in enumerate(calls):
        if i not in defaulted or i == 3:
            with pytest.raises(SdrtError) as refused:
                call()
            assert "\n" not in str(refused.value), i


@pytest.mark.parametrize("array", [HELD_BY, np.full(SHAPE, np.inf, np.float32)], ids=["nan", "inf"])
def test_what_is_not_finite_does_not_pass(array: np.ndarray) -> None:
    scheduler, stochastic = face(), face("euler a")
    for call in (
        lambda: scheduler.step(array, 999, X),
        lambda: scheduler.step(X, 999, array),
        lambda: stochastic.step(X, 999, X, variance_noise=array),
        lambda: scheduler.add_noise(array, X, 999),
        lambda: scheduler.add_noise(X, array, 999),
    ):
        with pytest.raises(ArrayContractError, match=r"scheduler: .* holds 256 values of 256 that are NaN or infinite"):
            call()


@pytest.mark.parametrize("form", [np.array, torch.tensor, list, tuple], ids=["array", "tensor", "list", "tuple"])
def test_a_timestep_may_stand_in_an_array_or_a_list(form: Any) -> None:
    scheduler = face()
    t = float(scheduler.timesteps[0])
    expected = scheduler.step(X, t, X).prev_sample
    scheduler.set_timesteps(10)
    np.testing.assert_array_equal(scheduler.step(X, form([t]), X).prev_sample, expected)
    np.testing.assert_array_equal(scheduler.scale_model_input(X, form([t])), scheduler.scale_model_input(X, t))
    two = np.concatenate([X, X])
    np.testing.assert_array_equal(scheduler.add_noise(two, two, form([t, 888.0]))[:1], scheduler.add_noise(X, X, t))
    with pytest.raises(ConfigError, match="timesteps must hold one timestep, or one for each of 1 samples, got 2"):
        scheduler.add_noise(X, X, form([t, 888.0]))


def test_other_forms_that_diffusers_takes_are_taken() -> None:
    by_list, by_tensor, whole = (make("euler") for _ in range(3))
    by_list.set_timesteps(timesteps=[900, 500, 100])
    by_tensor.set_timesteps(timesteps=torch.tensor([900, 500, 100]))
    np.testing.assert_array_equal(by_list.timesteps, by_tensor.timesteps)
    whole.set_timesteps(np.int64(3))  # type: ignore[arg-type]
    whole.set_timesteps(3.0)  # type: ignore[arg-type]
    assert whole.num_inference_steps == 3
    stepped = by_list.step(X, torch.tensor(900.0), X).prev_sample  # type: ignore[arg-type]
    np.testing.assert_array_equal(by_tensor.step(X, np.float32(900), X).prev_sample, stepped)  # type: ignore[arg-type]
    # one noise for all pictures
    assert by_list.add_noise(np.concatenate([X, X]), X, 900).shape == (2, *SHAPE[1:])


def test_a_generator_of_torch_is_refused_by_its_repair() -> None:
    with pytest.raises(ConfigError, match=r"generator must be a noise stream of sdrt.rng, got .*; pass sdrt.rng.stream\('torch', seed\)"):
        face("euler a").step(X, 999, X, generator=torch.Generator())  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "inside"), [("heun", 1), ("dpm2", 3), ("dpm++ sde", 5)])
@pytest.mark.parametrize("compat", [None, "diffusers"])
def test_a_run_does_not_begin_inside_a_step(name: str, inside: int, compat: Any) -> None:
    scheduler = face(name, compat=compat)
    with pytest.raises(ConfigError, match=f"begin_index must be one at which a step begins, .*, got {inside}; pass one of those"):
        scheduler.set_begin_index(inside)
    scheduler.set_begin_index(inside + 1)
    assert scheduler.begin_index == inside + 1
    for wrong in ("1", 1.5, -1, 999, [0]):
        with pytest.raises(ConfigError, match="begin_index must be"):
            scheduler.set_begin_index(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["dpm2", "dpm2 a", "dpm++ sde", "dpm2 karras"])
def test_noise_is_added_in_the_middle_of_a_step_too(name: str) -> None:
    """The level there is its own; diffusers lists that of the step's end, and takes it."""
    scheduler = face(name)
    plan = scheduler.sampler.plan(10)
    t = scheduler.timesteps[3]
    np.testing.assert_allclose(scheduler.add_noise(0 * X, X, t), plan.sigmas[3] / plan.alphas[3], rtol=1e-6)
    own = {**scheduler.config}
    theirs, under = laid_out(own, 10), from_config(own, compat="diffusers")
    under.set_timesteps(10)
    for i in (1, 2, 3, 4, 9):
        expected = noised(theirs, X, X, theirs.timesteps[i : i + 1])
        np.testing.assert_allclose(under.add_noise(X, X, under.timesteps[i]), expected, rtol=2e-5)


@pytest.mark.parametrize("class_name", sorted(SHARES_BEGIN_INDEX))
def test_after_a_begin_index_noise_is_added_for_the_place_of_the_run_under_compat(class_name: str) -> None:
    """Whatever the timestep; diffusers' flow classes call it scale_noise."""
    extra: dict[str, Any] = {"noise_sampler_seed": 5} if class_name == "DPMSolverSDEScheduler" else {}
    own = config(class_name, **extra)
    ours, theirs = from_config(own, compat="diffusers"), laid_out(own, 8)
    ours.set_timesteps(8)
    picture, noise = (sdrt.rng.stream("numpy", k).normal(SHAPE) for k in range(2))
    begin, other = ours.sampler.plan(8).starts[3], ours.sampler.plan(8).starts[5]
    plain = ours.add_noise(picture, noise, ours.timesteps[other])
    ours.set_begin_index(begin)
    theirs.set_begin_index(begin)
    at = theirs.timesteps[other : other + 1]
    mixed = ours.add_noise(picture, noise, ours.timesteps[other])
    np.testing.assert_allclose(mixed, noised(theirs, picture, noise, at), rtol=3e-6, atol=3e-6)
    assert np.abs(mixed - plain).max() > 1e-3
    x, t = first_noise(), ours.timesteps[begin]
    ours.step(network(x, t), t, x, generator=sdrt.rng.stream("torch", 1))
    theirs.scale_model_input(torch.from_numpy(x), theirs.timesteps[begin]) if hasattr(theirs, "scale_model_input") else None
    theirs.step(torch.from_numpy(network(x, t)), theirs.timesteps[begin], torch.from_numpy(x))
    np.testing.assert_allclose(ours.add_noise(picture, noise, ours.timesteps[0]), noised(theirs, picture, noise, at), rtol=3e-6, atol=3e-6)
    right = from_config(own)
    right.set_timesteps(8)
    right.set_begin_index(begin)
    np.testing.assert_allclose(right.add_noise(picture, noise, right.timesteps[other]), plain, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("final", ["zero", "sigma_min"])
@pytest.mark.parametrize("n", [1, 7])
def test_log_linear_sigmas_have_the_length_of_diffusers(n: int, final: str) -> None:
    """It lists a noise level more than its runs reach."""
    own = config("EulerDiscreteScheduler", interpolation_type="log_linear", final_sigmas_type=final)
    scheduler = from_config(own, compat="diffusers")
    scheduler.set_timesteps(n)
    np.testing.assert_allclose(scheduler.sigmas, laid_out(own, n).sigmas.numpy(), rtol=1e-6)
    assert len(from_config(own).sigmas) == 1001


def test_a_sampler_says_where_it_may_start() -> None:
    sampler = sampler_from_config(config("HeunDiscreteScheduler"))
    plan = sampler.plan(4)
    with pytest.raises(ConfigError, match="a run must start at the first call of a step, one of 0, 2, 4, 6, got 1"):
        sampler.start(plan, X, 1)
    with pytest.raises(ConfigError, match="at must be a whole number from 0 to 7, got 8; pass a call of the plan"):
        sampler.add_noise(plan, X, X, 8)
    assert Euler().start(Euler().plan(3), X, np.int64(1)).position == 1  # type: ignore[arg-type]
