"""DPM-Solver's family where diffusers 0.42.1 does what is wrong: both sides."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import sdrt.rng
from sdrt.errors import ConfigError
from sdrt.schedulers import Sampler, from_config, sampler_from_config
from tests.schedulers.oracles import WITH_END, variance_error, variance_order
from tests.schedulers.oracles import sampler as exact_sampler
from tests.schedulers.peers import SD, Run, laid_out, run_face, run_peer

DPM, INVERSE, SINGLE = "DPMSolverMultistepScheduler", "DPMSolverMultistepInverseScheduler", "DPMSolverSinglestepScheduler"
DEIS, UNIPC, SA = "DEISMultistepScheduler", "UniPCMultistepScheduler", "SASolverScheduler"
FORMULAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


def config(class_name: str, **extra: Any) -> dict[str, Any]:
    return {"_class_name": class_name, **SD, **extra}


def levels(run: Run) -> np.ndarray:
    return np.asarray(run.scheduler.sigmas)


def nan(run: Run) -> bool:
    return bool(np.isnan(run.samples[-1]).all())


def keeps_one_picture(sampler: Sampler, n: int) -> bool:
    """Whether a perfect network leads a run along one picture and one noise to the end: no stop is missed, and none joined wrongly."""
    plan = sampler.plan(n)
    picture, noise = np.array([0.3, -1.2]), np.array([1.1, 0.4])
    state = sampler.start(plan, sampler.add_noise(plan, picture, noise, 0))
    while state.position < plan.num_calls:
        state = sampler.step(plan, state, noise - picture if sampler.prediction_type == "flow_prediction" else noise)
    return np.allclose(state.x, sampler.add_noise(plan, picture, noise, plan.num_calls), rtol=1e-5, atol=1e-6)


# ---- timesteps and levels


@pytest.mark.parametrize("class_name", [DPM, SINGLE, DEIS, UNIPC, SA, INVERSE])
@pytest.mark.parametrize("formula", ["use_exponential_sigmas", "use_beta_sigmas"])
def test_timesteps_of_formulas_are_rounded(class_name: str, formula: str) -> None:
    """diffusers cuts their fractions off: up to a timestep below the level that the network sees. At equal levels, that is."""
    cut = sampler_from_config(config(class_name, **{formula: True}), compat="diffusers").plan(20)
    ours = sampler_from_config(config(class_name, **{formula: True})).plan(20)
    assert cut.timesteps.tolist() == laid_out(config(class_name, **{formula: True}), 20).timesteps.tolist()
    table = sampler_from_config(config(class_name)).alpha_bar()
    assert table is not None
    for plan, worst in ((ours, 0.5), (cut, 1.0)):
        nearest = np.interp(np.log(plan.sigmas[:-1] / plan.alphas[:-1]), 0.5 * np.log((1 - table) / table), np.arange(1000))
        off = np.abs(nearest - plan.timesteps).max()
        assert worst - 0.4 < off <= worst + 1e-3


@pytest.mark.parametrize("class_name", [DPM, SA])
@pytest.mark.parametrize("n", [10, 20, 61])
def test_trailing_makes_n_calls_where_lambda_is_clipped(class_name: str, n: int) -> None:
    """diffusers goes down from the last usable timestep by n-ths of all of them."""
    clipped = config(class_name, lambda_min_clipped=-1.0, timestep_spacing="trailing")
    assert sampler_from_config(clipped).plan(n).num_calls == n
    theirs = laid_out(clipped, n).timesteps
    assert len(theirs) < n
    assert sampler_from_config(clipped, compat="diffusers").plan(n).timesteps.tolist() == theirs.tolist()


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas_begin_where_lambda_is_clipped(formula: str) -> None:
    """diffusers begins at the noisiest ratio: of the cosine schedule 20291, at lambda -9.9."""
    clipped = {"_class_name": DPM, "beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1, formula: True}
    assert laid_out(clipped, 10).sigmas[0] > 2e4
    assert 140 < levels(run_face(clipped, 10))[0] < np.exp(5.1)


@pytest.mark.parametrize("class_name", [DEIS, SA, UNIPC, INVERSE])
@pytest.mark.parametrize("formula", FORMULAS)
def test_every_step_of_a_formula_has_a_length(class_name: str, formula: str) -> None:
    """diffusers repeats the last ratio, so that its last call changes nothing; here n steps lead from end to end."""
    idle = config(class_name, **{formula: True}, **({"final_sigmas_type": "sigma_min"} if class_name == UNIPC else {}))
    ours, theirs = run_face(idle, 12), run_peer(idle, 12)
    assert levels(theirs)[-1] == levels(theirs)[-2]
    assert len(ours.timesteps) == 12
    assert (np.abs(np.diff(levels(ours))) > 0).all()
    np.testing.assert_allclose(levels(ours)[[0, -1]], levels(theirs)[[0, -1]], rtol=1e-5)


@pytest.mark.parametrize("class_name", [DPM, UNIPC])
def test_the_terminal_ratio_of_zero_snr_is_at_the_last_timestep(class_name: str) -> None:
    """2**-24 stands for 0, and its ratio of 4096 lies below the 5875 of the timestep before."""
    zero = config(
        class_name,
        beta_schedule="linear",
        trained_betas=np.linspace(0.0002, 0.015, 1000).tolist(),
        rescale_betas_zero_snr=True,
        use_karras_sigmas=True,
    )
    assert sampler_from_config(zero).plan(10).timesteps[0] == 999
    assert laid_out(zero, 10).timesteps[0] == 997


def test_single_steps_leave_the_settings_as_they_are() -> None:
    """diffusers turns lower_order_final on for a run of 7, and keeps it on for one of 8."""
    single = config(SINGLE, final_sigmas_type="sigma_min")
    theirs = laid_out(single, 8)
    before = list(theirs.order_list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.set_timesteps(7)
        theirs.set_timesteps(8)
    assert (before, theirs.order_list) == ([1, 2] * 4, [1, 2, 1, 2, 1, 2, 1, 1])
    ours = from_config(single)
    settings = ours.config
    for n in (7, 8):
        ours.set_timesteps(n)
    assert ours.config == settings
    assert [len(call.updates) for call in ours.sampler.plan(8).coefficients] == before


# ---- steps that diffusers cannot make


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("class_name", [DPM, UNIPC, DEIS])
def test_stops_at_one_place_are_no_trouble(class_name: str, order: int) -> None:
    """A caller's timesteps may be equal: diffusers divides by their distance, or has no such stops."""
    run = run_face(config(class_name, solver_order=order), 6, stops={"timesteps": [900, 700, 700, 700, 300, 100]})
    assert np.isfinite(run.samples[-1]).all()


@pytest.mark.parametrize("extra", [{"solver_type": "bh1"}, {"predict_x0": False}])
def test_unipc_ends_without_noise_whatever_its_form(extra: dict[str, Any]) -> None:
    """Its B(h) is infinite there, or what it multiplies is 0."""
    unipc = config(UNIPC, **extra)
    assert nan(run_peer(unipc, 10))
    assert keeps_one_picture(sampler_from_config(unipc, "float64"), 10)


@pytest.mark.parametrize("class_name", [DPM, SINGLE, DEIS, UNIPC, SA])
@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_spreads_the_levels_of_a_flow(class_name: str, formula: str) -> None:
    """A ratio r is a share of r / (1 + r); diffusers takes ratios above 1 for shares, except UniPC's karras ones."""
    flow = config(class_name, use_flow_sigmas=True, prediction_type="flow_prediction", **{formula: True})
    if (class_name, formula) != (UNIPC, "use_karras_sigmas"):
        assert nan(run_peer(flow, 10))
    ours = run_face(flow, 10)
    assert 1 > levels(ours)[0] > 0.9
    assert np.isfinite(ours.samples[-1]).all()


@pytest.mark.parametrize("class_name", [DPM, SINGLE, DEIS, UNIPC])
def test_the_network_of_a_flow_is_told_its_level(class_name: str) -> None:
    """diffusers cuts the fraction of sigma * 1000 off."""
    flow = config(class_name, use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction")
    ours, theirs = from_config(flow), laid_out(flow, 7)
    ours.set_timesteps(7)
    np.testing.assert_allclose(ours.timesteps, theirs.sigmas[:7].numpy() * 1000, rtol=1e-6)
    np.testing.assert_array_equal(theirs.timesteps.numpy(), np.trunc(ours.timesteps))
    assert keeps_one_picture(sampler_from_config(flow, "float64"), 7)


def test_a_flow_ends_at_its_own_lowest_level() -> None:
    """diffusers ends at the smallest ratio of a noise schedule: above the levels of a run of 200 steps."""
    flow = config(DPM, use_flow_sigmas=True, final_sigmas_type="sigma_min", prediction_type="flow_prediction")
    ours, theirs = run_face(flow, 200), run_peer(flow, 200)
    assert levels(theirs)[-1] > levels(theirs)[-2]
    assert levels(ours)[-1] == pytest.approx(0.000999)


@pytest.mark.parametrize("order", [2, 3])
def test_third_order_with_fresh_noise_has_the_right_sign(order: int) -> None:
    """diffusers' third weight tends to -alpha with the step: single steps end with 15 times the variance, multistep with an order less."""
    multistep = exact_sampler(DPM, solver_order=order, algorithm_type="sde-dpmsolver++", **WITH_END)
    single = exact_sampler(SINGLE, solver_order=order, algorithm_type="sde-dpmsolver++", solver_type="heun", **WITH_END)
    theirs = [each.with_compat("diffusers") for each in (multistep, single)]
    if order == 2:
        assert [each.plan(20).coefficients for each in theirs] == [each.plan(20).coefficients for each in (multistep, single)]
        return
    assert variance_order(multistep) > 2.7 > 2.1 > variance_order(theirs[0])
    errors = []
    for each in (single, theirs[1]):
        plan = each.plan(160)
        errors.append(variance_error(each, plan, *(int(np.argmax(plan.timesteps <= t)) for t in (800, 200))))
    assert errors[0] < 0.1 < 10 < errors[1]


def test_unipc_bounds_x0_where_it_expands_the_noise_too() -> None:
    bounded = config(UNIPC, predict_x0=False, thresholding=True, final_sigmas_type="sigma_min")
    free = {**bounded, "thresholding": False}
    np.testing.assert_array_equal(run_peer(bounded, 10).samples[-1], run_peer(free, 10).samples[-1])
    assert np.abs(run_face(bounded, 10).samples[-1] - run_face(free, 10).samples[-1]).max() > 0.1
    np.testing.assert_array_equal(run_face(bounded, 10, compat="diffusers").samples[-1], run_face(free, 10, compat="diffusers").samples[-1])


# ---- the way back


def test_an_inverse_trailing_run_begins_with_the_picture() -> None:
    """diffusers takes it for one with a tenth of the noise, and ends with a step of no length."""
    trailing = config(INVERSE, timestep_spacing="trailing")
    ours, theirs = run_face(trailing, 10), run_peer(trailing, 10)
    assert ours.timesteps.tolist() == [0, *range(99, 900, 100)]
    assert theirs.timesteps.tolist() == list(range(99, 1000, 100))
    assert levels(theirs)[-1] == levels(theirs)[-2]


def test_an_inverse_flow_rises() -> None:
    """diffusers lets it fall."""
    flow = config(INVERSE, use_flow_sigmas=True, prediction_type="flow_prediction")
    ours, theirs = run_face(flow, 10), run_peer(flow, 10)
    assert (np.diff(levels(ours)) > 0).all()
    assert (np.diff(levels(theirs)) <= 0).all()
    np.testing.assert_allclose(levels(run_face(flow, 10, compat="diffusers")), levels(theirs), rtol=1e-6)


def test_an_inverse_run_takes_rising_timesteps_alone() -> None:
    """diffusers takes none from a caller; before it is asked for a run, it has them all."""
    for extra in ({}, {"lambda_min_clipped": -1.0}, {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}):
        inverse = from_config(config(INVERSE, **extra))
        assert (np.diff(inverse.timesteps) == 1).all()
        assert inverse.timesteps[-1] == 999
        with pytest.raises(ConfigError, match=r"timesteps of an inverse (run|flow) must lie in .* and never fall, got 500 to 100"):
            inverse.set_timesteps(timesteps=[500, 100])


@pytest.mark.parametrize("class_name", [DPM, SINGLE, DEIS, UNIPC, SA, INVERSE])
def test_tables_that_are_made_for_few_steps_end_where_others_do(class_name: str) -> None:
    """Align-your-steps ratios, which diffusers' configurations do not have: ten of them, and the end."""
    ends = {"final_sigmas_type": "sigma_min"} if class_name in (DPM, SINGLE, UNIPC) else {}
    shown = levels(run_face(config(class_name, use_ays_sigmas="sd", **ends), 10))
    falling = shown[::-1] if class_name == INVERSE else shown
    np.testing.assert_allclose(falling[:3], [14.615, 6.475, 3.861], rtol=1e-3)
    assert falling[-1] == pytest.approx(0.02917, rel=1e-3)


def test_inverse_runs_call_as_often_as_they_are_asked() -> None:
    """diffusers leaves out equal timesteps, and so lets its levels slip by one for each."""
    karras = config(INVERSE, use_karras_sigmas=True)
    assert len(run_face(karras, 60).timesteps) == 60
    assert len(run_peer(karras, 60).timesteps) < 60


@pytest.mark.parametrize("class_name", [INVERSE])
@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
def test_a_picture_comes_back_from_its_noise(class_name: str, spacing: str) -> None:
    """By a smooth network: there and back again, in 200 steps."""

    def told(x: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
        return x * sigma / (0.49 * alpha**2 + sigma**2)  # of data with a deviation of 0.7

    there = exact_sampler(class_name, timestep_spacing=spacing)
    back = exact_sampler(DPM, timestep_spacing=spacing, final_sigmas_type="sigma_min")
    picture = np.array([0.5, -0.2])
    x = picture
    for each in (there, back):
        plan = each.plan(200)
        state = each.start(plan, x)
        while state.position < plan.num_calls:
            state = each.step(plan, state, told(state.x, plan.alphas[state.position], plan.sigmas[state.position]))
        x = state.x
    np.testing.assert_allclose(x, picture, rtol=0.05)


@pytest.mark.parametrize("algorithm", ["sde-dpmsolver++", "sde-dpmsolver"])
def test_there_is_no_way_back_with_fresh_noise(algorithm: str) -> None:
    assert nan(run_peer(config(INVERSE, algorithm_type=algorithm), 10))
    with pytest.raises(ConfigError, match=r"algorithm_type of .* must be 'dpmsolver\+\+' or .*, got 'sde-"):
        sampler_from_config(config(INVERSE, algorithm_type=algorithm))


# ---- what is refused


@pytest.mark.parametrize("class_name", [DPM, SINGLE, DEIS, UNIPC, SA])
def test_predictions_belong_to_their_stops(class_name: str) -> None:
    """diffusers takes ratios for shares of noise, and shares for ratios."""
    for prediction, flow in (("flow_prediction", False), ("v_prediction", True)):
        foreign = config(class_name, prediction_type=prediction, use_flow_sigmas=flow)
        with pytest.raises(ConfigError, match=f"a {prediction} belongs to"):
            sampler_from_config(foreign)
        sampler_from_config(foreign, compat="diffusers")


@pytest.mark.parametrize("class_name", [DPM, SINGLE, DEIS, UNIPC])
def test_a_dynamic_shift_needs_mu(class_name: str) -> None:
    flow = config(class_name, use_flow_sigmas=True, prediction_type="flow_prediction")
    with pytest.raises(ConfigError, match=r"mu must be None unless use_dynamic_shifting is on, got 0\.5; leave it out"):
        sampler_from_config(flow).plan(10, mu=0.5)
    shifting = sampler_from_config({**flow, "use_dynamic_shifting": True})
    with pytest.raises(ConfigError, match="mu must be set where use_dynamic_shifting is on, got None"):
        shifting.plan(10)
    plain = sampler_from_config({**flow, "flow_shift": np.exp(0.5)}).plan(10)
    np.testing.assert_allclose(shifting.plan(10, mu=0.5).sigmas, plain.sigmas, rtol=1e-6)


def test_levels_of_a_caller_are_for_flows() -> None:
    with pytest.raises(ConfigError, match="use_flow_sigmas must be true for custom sigmas, got false; set it"):
        sampler_from_config(config(UNIPC)).plan(sigmas=[0.9, 0.5])
    flow = config(UNIPC, use_flow_sigmas=True, prediction_type="flow_prediction")
    with pytest.raises(ConfigError, match=r"must lie in \(0, 1\] and never rise, got 0\.5 to 0\.9; sort them"):
        sampler_from_config(flow).plan(sigmas=[0.5, 0.9])
    with pytest.raises(ConfigError, match="take the place of a formula"):
        sampler_from_config({**flow, "use_karras_sigmas": True}).plan(sigmas=[0.9, 0.5])


def test_a_flow_knows_no_trained_timesteps() -> None:
    flow = from_config(config(UNIPC, use_flow_sigmas=True, prediction_type="flow_prediction"))
    with pytest.raises(ConfigError, match="a flow has no alphas_cumprod"):
        _ = flow.alphas_cumprod
    with pytest.raises(ConfigError, match="timesteps of a flow must be above 0"):
        flow.set_timesteps(timesteps=[500, 0])
    assert flow.timesteps.tolist() == list(range(999, 0, -1))


# ---- variances


@pytest.mark.parametrize("class_name", [DPM, SINGLE, SA])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_learned_variance_is_left_aside(class_name: str, channels: int) -> None:
    """diffusers keeps three channels, whatever the sample has."""
    learned = config(class_name, variance_type="learned_range")
    ours, theirs = from_config(learned), laid_out(learned, 5)
    ours.set_timesteps(5)
    x = sdrt.rng.stream("numpy", 5).normal((2, channels, 4, 4))
    output = sdrt.rng.stream("numpy", 7).normal((2, 2 * channels, 4, 4))
    t = ours.timesteps[0]
    step = ours.step(output, t, x, generator=sdrt.rng.stream("torch", 3))
    plain = from_config({**learned, "variance_type": None})
    plain.set_timesteps(5)
    again = plain.step(output[:, :channels], t, x, generator=sdrt.rng.stream("torch", 3))
    np.testing.assert_array_equal(step.prev_sample, again.prev_sample)
    np.testing.assert_array_equal(step.pred_original_sample, again.pred_original_sample)
    arguments = (torch.from_numpy(output), theirs.timesteps[0], torch.from_numpy(x))
    if channels == 4:
        with pytest.raises(RuntimeError, match="must match"):
            theirs.step(*arguments)
    elif class_name != SA:  # whose noise has the network's channels there, so that it cannot be added
        np.testing.assert_allclose(step.prev_sample, theirs.step(*arguments).prev_sample.numpy(), rtol=1e-5, atol=1e-5)
