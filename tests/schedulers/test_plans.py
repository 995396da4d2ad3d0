"""Plans and states of every named sampler: counts, ranges, purity, resuming."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdrt.rng
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.schedulers import Plan, Sampler, State, names, sampler_from_config, sampler_from_name
from tests.schedulers.configs import CLASSES, runs
from tests.schedulers.oracles import perfect_output
from tests.schedulers.peers import MODEL, network

SHAPE = (2, 4, 4, 4)

every_name = pytest.mark.parametrize("name", [row.name for row in names()])
every_class = pytest.mark.parametrize("name", CLASSES)


def begin(sampler: Sampler, plan: Plan, at: int = 0) -> State:
    noise = sdrt.rng.stream("torch", 4).normal(SHAPE)
    return sampler.start(plan, noise * np.float32(plan.init_scale), at)


def step(sampler: Sampler, plan: Plan, state: State) -> State:
    """Move on by one call; the noise of call i is always the same."""
    i = state.position
    noise = sdrt.rng.stream("torch", i).normal(SHAPE) if plan.draws[i] else None
    return sampler.step(plan, state, network(state.x * plan.input_scale[i], plan.timesteps[i]), noise)


def finish(sampler: Sampler, plan: Plan, state: State) -> State:
    while state.position < plan.num_calls:
        state = step(sampler, plan, state)
    return state


@every_class
@settings(max_examples=60)
@given(data=st.data(), n=st.integers(1, 999))
def test_a_plan_has_its_calls_in_order_and_in_range(name: str, data: st.DataObject, n: int) -> None:
    config, _, eta = data.draw(runs(name))
    sampler = sampler_from_config(config)
    if name == "pndm" and not config["skip_prk_steps"]:
        n = max(n, 4)
    plan = (sampler.with_options(eta=eta) if eta else sampler).plan(n)
    repeats = 0 if name != "pndm" else (min(n - 1, 1) if config["skip_prk_steps"] else 9)
    assert plan.num_inference_steps == n
    assert plan.num_calls == n + repeats == len(plan.timesteps) == len(plan.coefficients) == len(plan.draws) == len(plan.input_scale)
    assert len(plan.alphas) == len(plan.sigmas) == plan.num_calls + 1
    assert plan.timesteps[0] <= 999
    assert plan.timesteps[-1] >= 0
    rounded_karras = name == "dpmsolver multistep" and config["use_karras_sigmas"]
    falls = np.diff(plan.timesteps[list(plan.starts)])
    assert (falls <= 0).all() if rounded_karras or config.get("use_karras_sigmas") else (falls < 0).all()
    assert (np.diff(plan.alphas) >= 0).all()
    np.testing.assert_allclose(plan.alphas**2 + plan.sigmas**2, 1, atol=1e-6)
    assert plan.draws == (name == "euler a" or eta > 0,) * plan.num_calls


@every_name
@pytest.mark.parametrize("n", [1, 2, 3, 999])
def test_every_sampler_runs_in_any_number_of_steps(name: str, n: int) -> None:
    sampler = sampler_from_name(name, {**MODEL, "prediction_type": "v_prediction"})
    plan = sampler.plan(min(n, sampler.max_inference_steps))
    state = begin(sampler, plan)
    with pytest.raises(ConfigError, match="no x0 is predicted before the first step"):
        _ = state.x0
    state = finish(sampler, plan, state)
    assert np.isfinite(state.x).all()
    assert np.isfinite(state.x0).all()
    assert state.x.shape == state.x0.shape == SHAPE
    assert state.x.dtype == state.x0.dtype == np.float32
    with pytest.raises(ConfigError, match=f"this run is complete after {plan.num_calls} calls"):
        sampler.step(plan, state, state.x)


@every_name
@pytest.mark.parametrize("n", [0, -3, 1001])
def test_other_numbers_of_steps_are_refused(name: str, n: int) -> None:
    with pytest.raises(ConfigError, match=rf"num_inference_steps must be in \[1, 1000\], got {n}"):
        sampler_from_name(name, MODEL).plan(n)


@every_name
def test_a_step_is_pure(name: str) -> None:
    """The same inputs give the same outputs, and nothing that went in has changed, at every call."""
    sampler = sampler_from_name(name, MODEL)
    plan = sampler.plan(6)
    state = begin(sampler, plan)
    while state.position < plan.num_calls:
        before = copy.deepcopy(state)
        first, second = step(sampler, plan, state), step(sampler, plan, state)
        assert state == before
        assert first == second
        assert first != state
        assert not np.shares_memory(first.x, state.x)
        state = first


@every_name
def test_a_stored_state_goes_on_where_it_was(name: str) -> None:
    sampler = sampler_from_name(name, MODEL)
    plan = sampler.plan(7)
    expected = finish(sampler, plan, begin(sampler, plan))
    state = begin(sampler, plan)
    while state.position < plan.num_calls:
        sampler, plan, state = pickle.loads(pickle.dumps((sampler, plan, step(sampler, plan, state))))  # noqa: S301
    assert state == expected


@every_name
def test_samplers_are_values(name: str) -> None:
    first, second = sampler_from_name(name, MODEL), sampler_from_name(name, MODEL)
    assert first == second
    assert hash(first) == hash(second)
    assert sampler_from_config(first.config) == first
    assert sampler_from_config(first.config, "float64") != first


@every_name
def test_both_numerics_describe_the_same_run(name: str) -> None:
    """float64 tables differ from float32 ones by their rounding, which v-prediction does not amplify."""
    results = []
    for numerics in ("float32", "float64"):
        sampler = sampler_from_name(name, {**MODEL, "prediction_type": "v_prediction"}, numerics)
        plan = sampler.plan(20)
        state = sampler.start(plan, begin(sampler, plan).x.astype(np.float64))
        results.append(finish(sampler, plan, state).x)
    assert results[0].dtype == np.float64
    difference = np.abs(results[0] - results[1]).max() / np.abs(results[1]).max()
    assert 0 < difference < 1e-4


@every_name
@pytest.mark.parametrize("strength", [0.2, 0.5, 0.8, 1.0])
def test_a_run_can_start_at_any_step(name: str, strength: float) -> None:
    """Image to image: a perfect network brings a noised picture back, from wherever it starts."""
    sampler = sampler_from_name(name, MODEL)
    plan = sampler.plan(10)
    at = plan.start_at(strength)
    assert plan.starts.index(at) == 10 - int(10 * strength)
    picture, noise = (sdrt.rng.stream("numpy", k).normal(SHAPE).astype(np.float64) for k in range(2))
    picture = np.clip(picture, -1, 1)  # as models of pixels do
    state = sampler.start(plan, sampler.add_noise(plan, picture, noise, at), at)
    while state.position < plan.num_calls:
        i = state.position
        output = perfect_output(sampler, plan, i, state.x, picture)
        state = sampler.step(plan, state, output, np.zeros_like(output) if plan.draws[i] else None)
        np.testing.assert_allclose(state.x0, picture, atol=1e-6)
    if sampler.inverse:  # all of it leads to the noise that a perfect network told; weights in float32 grow to a hundred on the way
        np.testing.assert_allclose(state.x, sampler.add_noise(plan, picture, noise, plan.num_calls), atol=1e-4)
    else:
        np.testing.assert_allclose(state.x, plan.alphas[-1] * picture, atol=0.2 if plan.sigmas[-1] else 1e-6)


def test_a_start_within_a_step_is_refused() -> None:
    sampler = sampler_from_name("plms", MODEL)
    plan = sampler.plan(4)
    assert plan.starts == (0, 2, 3, 4)
    with pytest.raises(ConfigError, match="a run must start at the first call of a step, one of 0, 2, 3, 4, got 1"):
        begin(sampler, plan, 1)


@pytest.mark.parametrize("strength", [0.0, 0.05, 1.01, -1.0, float("nan")])
def test_a_strength_without_steps_is_refused(strength: float) -> None:
    with pytest.raises(ConfigError, match=r"strength must (leave at least one step of|be a finite number above 0 and at most 1, got)"):
        sampler_from_name("ddim", MODEL).plan(10).start_at(strength)


def test_tables_cannot_be_written() -> None:
    plan = sampler_from_name("euler", MODEL).plan(5)
    for table in (plan.timesteps, plan.alphas, plan.sigmas):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1


def test_noise_is_given_exactly_where_the_plan_draws() -> None:
    x = np.ones(SHAPE, np.float32)
    for name, noise, message in (("euler", x, ("None", "an array")), ("euler a", None, ("an array", "None"))):
        sampler = sampler_from_name(name, MODEL)
        plan = sampler.plan(3)
        with pytest.raises(ConfigError, match=f"noise must be {message[0]} in call 0 of this plan, got {message[1]}; follow plan.draws"):
            sampler.step(plan, sampler.start(plan, x), x, noise)


def test_arrays_that_do_not_fit_are_refused() -> None:
    sampler = sampler_from_name("euler", MODEL)
    plan = sampler.plan(3)
    x = np.ones(SHAPE, np.float32)
    with pytest.raises(ArrayContractError, match=r"model_output: expected the sample's shape, \[2, 4, 4, 4\], got \[4, 4, 4\]"):
        sampler.step(plan, sampler.start(plan, x), x[0])
    with pytest.raises(ArrayContractError, match=r"latents: expected a numpy array of float16, float32 or float64 .* got int64\[3\]"):
        sampler.start(plan, np.arange(3))  # type: ignore[arg-type]
    with pytest.raises(ArrayContractError, match=r"latents: .* got list"):
        sampler.start(plan, [1.0])  # type: ignore[arg-type]
