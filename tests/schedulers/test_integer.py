"""Samplers that look alpha_bar up at whole timesteps, as they are by default: beside diffusers where it is right, and their options."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdrt.rng
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.schedulers import DDIM, DDPM, LCM, TCD, NoiseSchedule, from_config, sampler_from_config, sampler_from_name
from sdrt.schedulers.grids.distilled import DistilledGrid
from sdrt.schedulers.grids.timestep_table import TimestepGrid
from sdrt.schedulers.grids.timesteps import Spacing, TimestepSpacing
from sdrt.schedulers.steps.posterior import PosteriorVariance
from sdrt.testing.strategies.schedulers.integer import RUNS
from tests.schedulers.configs import divisors, trailing_is_sound
from tests.schedulers.peers import SD, answer, distance, first_noise, network, peer, run_face, run_peer

# Rounding alone, as in test_parity: float32 runs of up to 50 steps, and of fewer than 10, which divide small differences by small alphas.
CLOSE, CLOSE_FEW = 2e-5, 1e-3


def assert_close(config: dict[str, Any], n: int, **options: Any) -> None:
    assert distance(run_face(config, n, **options), run_peer(config, n, **options)) < (CLOSE if n >= 10 else CLOSE_FEW)


@settings(max_examples=25)
@given(data=st.data(), n=st.integers(1, 50).filter(trailing_is_sound))
def test_ddpm_is_diffusers(data: st.DataObject, n: int) -> None:
    """But for the variances that it adds to the last sample above timestep 0, and for learned, which reads the output otherwise."""
    variance = data.draw(st.sampled_from(["fixed_small", "fixed_small_log", "fixed_large", "learned_range"]))
    config = {
        "_class_name": "DDPMScheduler",
        **SD,
        "variance_type": variance,
        "timestep_spacing": data.draw(st.sampled_from(["leading", "trailing"])) if "small" in variance else "leading",
        "prediction_type": data.draw(st.sampled_from(["epsilon", "v_prediction", "sample"])),
        "clip_sample": data.draw(st.booleans()),
    }
    assert_close(config, n)


@settings(max_examples=15)
@given(n=divisors, prediction=st.sampled_from(["epsilon", "v_prediction"]), spacing=st.sampled_from(["leading", "trailing"]))
def test_inversion_is_diffusers_where_its_steps_join(n: int, prediction: str, spacing: str) -> None:
    config = {"_class_name": "DDIMInverseScheduler", **SD, "clip_sample": False, "timestep_spacing": spacing, "prediction_type": prediction}
    assert_close(config, n)


@settings(max_examples=25)
@given(data=st.data(), n=st.integers(1, 30))
def test_lcm_and_tcd_are_diffusers(data: st.DataObject, n: int) -> None:
    class_name = data.draw(st.sampled_from(["LCMScheduler", "TCDScheduler"]))
    step = {"eta": data.draw(st.sampled_from([0.0, 0.3, 1.0]))} if class_name == "TCDScheduler" else {}
    stops = {"num_inference_steps": n, "strength": data.draw(st.sampled_from([0.6, 1.0]))}
    assert_close({"_class_name": class_name}, n, step=step, stops=stops)


@pytest.mark.parametrize("class_name", RUNS)
@settings(max_examples=15)
@given(data=st.data())
def test_config_says_all_that_was_read(class_name: str, data: st.DataObject) -> None:
    config = data.draw(RUNS[class_name]).config
    sampler = sampler_from_config(config, compat="diffusers")
    assert sampler_from_config(sampler.config, compat="diffusers") == sampler
    for key, value in config.items():
        if key != "clip_sample_range" or config["clip_sample"]:  # there is no range where nothing is clipped
            assert sampler.config[key] == value, key


@pytest.mark.parametrize("class_name", ["DDIMParallelScheduler", "DDPMParallelScheduler"])
def test_parallel_classes_step_as_their_namesakes(class_name: str) -> None:
    assert_close({"_class_name": class_name, **SD, "clip_sample": False}, 20)
    assert sampler_from_config({"_class_name": class_name}).name == class_name.replace("Parallel", "")


@pytest.mark.parametrize("schedule", ["sigmoid", "laplace", "exp"])
def test_further_beta_schedules_are_diffusers(schedule: Any) -> None:
    """Within two units in the last place of float32, where its exponential function rounds otherwise."""
    class_name = "HeunDiscreteScheduler" if schedule == "exp" else "DDPMScheduler"
    theirs = peer({"_class_name": class_name, "beta_schedule": schedule, "num_train_timesteps": 600})
    ours = NoiseSchedule(beta_schedule=schedule, num_train_timesteps=600)
    np.testing.assert_allclose(ours.betas(), theirs.betas.numpy(), rtol=2.5e-7)
    # The signal that is left is a product of 600 such factors.
    np.testing.assert_allclose(ours.alpha_bar(), theirs.alphas_cumprod.numpy(), rtol=2e-5)
    np.testing.assert_allclose(ours.betas("float64"), theirs.betas.numpy(), rtol=1e-5)


def test_beta_schedules_are_distinct() -> None:
    names: Any = ("linear", "sigmoid", "laplace", "exp", "squaredcos_cap_v2")
    tables = [NoiseSchedule(beta_schedule=name).alpha_bar() for name in names]
    assert all(np.abs(a - b).max() > 0.01 for i, a in enumerate(tables) for b in tables[:i])


@pytest.mark.parametrize(("kind", "doubled"), [("fixed_small", False), ("learned", True), ("learned_range", True)])
def test_a_learned_variance_stands_in_further_channels(kind: Any, doubled: bool) -> None:
    ddpm = DDPM(variance=PosteriorVariance(kind=kind))
    plan, x = ddpm.plan(5), first_noise()
    state = ddpm.start(plan, x)
    output = np.concatenate([network(x, 0), x], 1) if doubled else network(x, 0)
    moved = ddpm.step(plan, state, output, x)
    assert moved.x.shape == moved.x0.shape == x.shape
    with pytest.raises(ArrayContractError, match=r"model_output: expected the sample's shape"):
        ddpm.step(plan, state, output[:, :3], x)
    if doubled:
        flat = ddpm.start(plan, np.ones(3))
        with pytest.raises(ArrayContractError, match="the sample must have a channel axis for the variance, got the shape"):
            ddpm.step(plan, flat, np.ones(6), np.ones(3))


def test_a_learned_range_lies_between_the_fixed_variances() -> None:
    x = first_noise()
    spreads = {}
    kinds: Any = (("fixed_small", None), ("fixed_large", None), ("learned_range", -1.0), ("learned_range", 1.0))
    for kind, said in kinds:
        ddpm = DDPM(variance=PosteriorVariance(kind=kind))
        plan = ddpm.plan(5)
        output = network(x, 0)
        whole = output if said is None else np.concatenate([output, np.full_like(x, said)], 1)
        rest, noisy = (ddpm.step(plan, ddpm.start(plan, x), whole, fresh).x for fresh in (np.zeros_like(x), np.ones_like(x)))
        spreads[kind, said] = noisy - rest
    np.testing.assert_allclose(spreads["learned_range", -1.0], spreads["fixed_small", None], rtol=1e-5)
    np.testing.assert_allclose(spreads["learned_range", 1.0], spreads["fixed_large", None], rtol=1e-5)
    assert (spreads["fixed_large", None] > 1.01 * spreads["fixed_small", None]).all()


def test_the_last_step_of_ddpm_draws_nothing() -> None:
    spacings: tuple[Spacing, ...] = ("leading", "trailing")
    for spacing in spacings:
        assert DDPM(grid=TimestepGrid(spacing=TimestepSpacing(kind=spacing))).plan(4).draws == (True, True, True, False)
    assert LCM().plan(4).draws == TCD().plan(4).draws == (True, True, True, False)
    assert TCD().with_options(eta=0.0).plan(4).draws == (False,) * 4


def test_strength_spreads_lcm_over_the_clean_end() -> None:
    """Its image-to-image runs are no slices of a longer one."""
    lcm = LCM()
    assert lcm.plan(4).timesteps.tolist() == [999, 759, 499, 259]
    assert lcm.with_options(strength=0.5).plan(4).timesteps.tolist() == [499, 379, 259, 139]
    assert lcm.with_options(original_inference_steps=20).plan(2).timesteps.tolist() == [999, 499]
    assert lcm.with_options(strength=0.5).plan(timesteps=[900, 600, 300, 100]).timesteps.tolist() == [300, 100]
    with pytest.raises(ConfigError, match=r"num_inference_steps must be in \[1, 25\], got 26: the timesteps of the distillation"):
        lcm.with_options(strength=0.5).plan(26)
    with pytest.raises(ConfigError, match=r"strength must be a finite number above 0 and at most 1, got 0"):
        lcm.with_options(strength=0.0)
    with pytest.raises(ConfigError, match=r"strength 0.4 leaves none of 2 timesteps; take 0.5 or more"):
        lcm.with_options(strength=0.4).plan(timesteps=[900, 600])


@pytest.mark.parametrize("name", ["LCMScheduler", "TCDScheduler"])
@pytest.mark.parametrize("strength", [0.3, 0.5, 1.0])
def test_a_distilled_run_from_a_picture_visits_what_diffusers_does(name: str, strength: float) -> None:
    """Its pipelines pass strength to ``set_timesteps``, and make every step of what comes back."""
    config = {"_class_name": name, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    theirs = peer(config)
    theirs.set_timesteps(4, strength=strength)
    plan, at = sampler_from_config(config).image_plan(4, strength)
    assert plan.timesteps.tolist() == theirs.timesteps.tolist()
    assert at == 0


def test_tcd_with_original_steps_passed_is_spread_over_every_timestep() -> None:
    tcd = TCD(grid=DistilledGrid(original_inference_steps=20))
    assert tcd.plan(3).timesteps.tolist() == [999, 699, 349]
    every = tcd.with_options(original_inference_steps=20)
    assert every.plan(3).timesteps.tolist() == every.with_compat("diffusers").plan(3).timesteps.tolist() == [999, 666, 333]
    assert tcd.with_options(**every.step_option_values()) == every
    assert tcd.with_options(original_inference_steps=20).max_inference_steps == 20
    with pytest.raises(ConfigError, match=r"eta must be a finite number from 0 to 1, got 1.5"):
        tcd.with_options(eta=1.5)


def test_inversion_takes_rising_timesteps() -> None:
    inverse = sampler_from_name("ddim inverse", SD)
    plan = inverse.plan(timesteps=[10, 400, 999])
    assert plan.timesteps.tolist() == [10, 400, 999]
    for wrong in ([400, 10], [10, 10], [10, 1000]):
        with pytest.raises(ConfigError, match=r"timesteps must lie in \[0, 999\] and rise, .*; sort them from clean to noisy"):
            inverse.plan(timesteps=wrong)
    with pytest.raises(ConfigError, match="set_alpha_to_one must be false for a network that predicts x0, got true; no noise follows"):
        sampler_from_config({"_class_name": "DDIMInverseScheduler", "prediction_type": "sample"}).plan(5)


def test_what_set_alpha_to_one_was_called_is_read() -> None:
    former = sampler_from_config({"_class_name": "DDIMInverseScheduler", "set_alpha_to_zero": False})
    assert former.config["set_alpha_to_one"] is False
    assert sampler_from_config(former.config) == former


def test_noise_is_added_to_a_picture_at_the_timestep_that_is_said() -> None:
    """Also by an inverse sampler, whose call at a timestep begins below it."""
    inverse = from_config({"_class_name": "DDIMInverseScheduler", **SD})
    inverse.set_timesteps(10)
    ddim = from_config({"_class_name": "DDIMScheduler", **SD})
    picture, noise = first_noise(), sdrt.rng.stream("numpy", 2).normal((1, 4, 8, 8))
    np.testing.assert_array_equal(inverse.add_noise(picture, noise, 500), ddim.add_noise(picture, noise, 500))


def test_ipndm_takes_its_own_sigmas() -> None:
    own = sampler_from_config({"_class_name": "IPNDMScheduler", "trained_betas": [0.9, 0.5, 0.0]})
    assert sampler_from_config(own.config) == own
    np.testing.assert_allclose(own.plan(2).sigmas, [0.9, 0.5, 0.0], rtol=1e-7)
    with pytest.raises(ConfigError, match="num_inference_steps must be 2, as trained_betas lay down, got 3; or leave those out"):
        own.plan(3)
    with pytest.raises(
        ConfigError, match="a run of IPNDMScheduler must be laid out by num_inference_steps, got timesteps; pass one of those"
    ):
        own.plan(timesteps=[0.5])


CLIPPED: dict[str, Any] = {"clip_sample": True, "clip_sample_range": 0.5}
THRESHOLD: dict[str, Any] = {"thresholding": True, "sample_max_value": 2.0}


@pytest.mark.parametrize(
    ("name", "bound"),
    [(name, bound) for name in ("ddim", "ddpm", "lcm", "tcd") for bound in (CLIPPED, THRESHOLD)]
    + [(name, CLIPPED) for name in ("unclip", "ddim inverse")],
)
def test_a_bound_holds_in_every_step(name: str, bound: dict[str, Any]) -> None:
    """x0 lies within it, and the result follows."""
    limit = bound.get("clip_sample_range", 1.0)
    results = []
    for extra in (bound, {"clip_sample": False}):
        sampler = sampler_from_name(name, {**SD, **extra})
        plan = sampler.plan(4)
        state = sampler.start(plan, first_noise() * 3)
        while state.position < plan.num_calls:
            i = state.position
            state = sampler.step(plan, state, network(state.x, plan.timesteps[i]), first_noise() if plan.draws[i] else None)
            assert extra is not bound or np.abs(state.x0).max() <= limit
        results.append(state.x)
    assert np.abs(results[0] - results[1]).max() > 1e-2


def test_answers_with_a_variance_are_seen_by_the_runs() -> None:
    """Another variance ends elsewhere: parity of learned variances is not parity of two constants."""
    config = {"_class_name": "DDPMScheduler", **SD, "variance_type": "learned_range"}
    assert answer(config, first_noise(), 0).shape == (1, 8, 8, 8)
    learned, fixed = (run_face({**config, "variance_type": kind}, 10) for kind in ("learned_range", "fixed_small"))
    assert distance(learned, fixed) > 1e-2


def test_ddim_is_told_apart_from_its_trailing_name() -> None:
    assert sampler_from_name("ddim trailing", SD) == DDIM(
        grid=TimestepGrid(schedule=NoiseSchedule(**SD), spacing=TimestepSpacing(kind="trailing"))
    )
