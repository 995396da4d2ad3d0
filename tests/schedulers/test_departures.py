"""Where diffusers 0.42.1 does what is wrong and the default here does not: both sides, so that a repair there is noticed."""

from typing import Any

import numpy as np
import pytest
import torch

from sdrt.errors import ConfigError
from sdrt.schedulers import Plan, Sampler, State, names, sampler_from_config, sampler_from_name
from sdrt.schedulers.catalogue import sampler_class
from tests.schedulers.oracles import answer, spread
from tests.schedulers.peers import SD, distance, first_noise, is_of_diffusers, laid_out, network, run_face, run_peer

CLASS_NAMES = sorted({row.class_name for row in names() if "timestep_spacing" in sampler_class(row.class_name).keys})


def config(class_name: str, **extra: Any) -> dict[str, Any]:
    pndm = {"skip_prk_steps": True} if class_name == "PNDMScheduler" else {}
    return {"_class_name": class_name, **SD, **pndm, **extra}


# Classes that place their timesteps by timestep_spacing: not every class has the key, and LCM and TCD keep to those of their distillation.
SPACED = [
    name
    for name in CLASS_NAMES
    if name not in ("LCMScheduler", "TCDScheduler") and not (sampler_class(name).inverse and name != "DDIMInverseScheduler")
]
# DPM-Solver's family places n + 1 points and leaves the last out: a single step starts at the noisiest in diffusers too.
ONE_POINT_MORE = {"DEISMultistepScheduler", "DPMSolverMultistepScheduler", "SASolverScheduler", "UniPCMultistepScheduler"}
EXACT = [name for name in SPACED if name not in ONE_POINT_MORE and not sampler_class(name).inverse]


@pytest.mark.parametrize("class_name", SPACED)
def test_trailing_gives_n_timesteps_for_every_n(class_name: str) -> None:
    """diffusers gives n + 1 for 62 of them, the last -1."""
    sampler = sampler_from_config(config(class_name, timestep_spacing="trailing"))
    broken = [n for n in range(1, 1001) if len(np.arange(1000, 0, -1000 / n)) != n]
    assert len(broken) == 62
    for n in [*broken[::8], 1, 2, 999, 1000]:
        plan = sampler.plan(n)
        assert plan.num_inference_steps == n
        assert plan.timesteps.max() == 999
        assert plan.timesteps.min() >= 0
    if is_of_diffusers(class_name):
        theirs = laid_out(config(class_name, timestep_spacing="trailing"), 61).timesteps
        assert len(theirs) > 61
        assert theirs.min() == -1


@pytest.mark.parametrize("class_name", EXACT)
def test_a_single_linspace_step_starts_at_the_noisiest_timestep(class_name: str) -> None:
    single = config(class_name, timestep_spacing="linspace")
    assert sampler_from_config(single).plan(1).timesteps.tolist() == [999]
    if is_of_diffusers(class_name):
        assert laid_out(single, 1).timesteps.tolist() == [0]


@pytest.mark.parametrize(
    ("class_name", "spacing", "n"),
    [
        ("DDIMScheduler", "linspace", 10),
        ("DDIMScheduler", "trailing", 30),
        ("PNDMScheduler", "linspace", 10),
        ("PNDMScheduler", "trailing", 30),
    ],
)
def test_a_step_ends_where_the_next_begins(class_name: str, spacing: str, n: int) -> None:
    """diffusers steps to t - T // n. A perfect network shows it: only a run whose stops join keeps to one picture and one noise."""
    joined = config(class_name, timestep_spacing=spacing)
    if class_name == "DDIMScheduler":
        joined["clip_sample"] = False
    assert distance(run_face(joined, n), run_peer(joined, n)) > 1e-3
    sampler = sampler_from_config(joined, "float64")
    plan = sampler.plan(n)
    picture, noise = np.array([0.3, -1.2]), np.array([1.1, 0.4])
    state = sampler.start(plan, sampler.add_noise(plan, picture, noise, 0))
    while state.position < plan.num_calls:
        state = sampler.step(plan, state, noise)
        np.testing.assert_allclose(state.x, sampler.add_noise(plan, picture, noise, state.position), rtol=1e-9)


def test_a_runge_kutta_midpoint_is_where_the_network_is_asked() -> None:
    """T // n = 25: diffusers moves 12 timesteps down from 975 and asks the network about 962."""
    prk = config("PNDMScheduler", skip_prk_steps=False)
    sampler = sampler_from_config(prk, "float64")
    plan = sampler.plan(40)
    assert plan.timesteps[:4].tolist() == [975, 962, 962, 950]
    assert laid_out(prk, 40).timesteps[:4].tolist() == [975, 962, 962, 950]
    picture, noise = np.array([0.3, -1.2]), np.array([1.1, 0.4])
    state = sampler.step(plan, sampler.start(plan, sampler.add_noise(plan, picture, noise, 0)), noise)
    np.testing.assert_allclose(state.x, sampler.add_noise(plan, picture, noise, 1), rtol=1e-9)
    assert 0 < distance(run_face(prk, 40), run_peer(prk, 40)) < 1e-2


@pytest.mark.parametrize("order", [2, 3])
def test_a_last_step_of_no_length_leaves_the_sample(order: int) -> None:
    """Karras ratios end at the smallest, where sigma_min ends the run again: diffusers divides 0 by 0."""
    idle = config(
        "DPMSolverMultistepScheduler", use_karras_sigmas=True, final_sigmas_type="sigma_min", solver_order=order, solver_type="heun"
    )
    theirs, ours = run_peer(idle, 20), run_face(idle, 20)
    assert np.isnan(theirs.samples[-1]).all()
    np.testing.assert_allclose(ours.samples[-1], ours.samples[-2], rtol=1e-6)


def test_full_noise_with_zero_terminal_snr_is_finite() -> None:
    """eta 1: in float32 the remainder of the variance falls below 0."""
    zero = config(
        "DDIMScheduler", rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="v_prediction", clip_sample=False
    )
    assert np.isfinite(run_face(zero, 10, step={"eta": 1.0}).samples[-1]).all()


def test_karras_timesteps_of_the_cosine_schedule_are_rounded() -> None:
    """diffusers cuts their fractions off, for this schedule alone."""
    cosine = {"_class_name": "DPMSolverMultistepScheduler", "beta_schedule": "squaredcos_cap_v2", "use_karras_sigmas": True}
    ours, theirs = sampler_from_config(cosine).plan(20).timesteps, laid_out(cosine, 20).timesteps.numpy()
    assert set((ours - theirs).tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("class_name", "spacing", "n", "message"),
    [
        ("DDIMScheduler", "leading", 1000, "leading spacing with steps_offset 1 starts at timestep 1000 for 1000 steps"),
        ("DPMSolverMultistepScheduler", "linspace", 1000, "timesteps of 1000 steps coincide; take fewer steps"),
        ("DPMSolverMultistepScheduler", "leading", 1000, "timesteps of 1000 steps coincide; take fewer steps"),
    ],
)
def test_more_steps_than_can_be_told_apart_are_refused(class_name: str, spacing: str, n: int, message: str) -> None:
    """diffusers reads past its tables, or makes steps of no length and NaN."""
    with pytest.raises(ConfigError, match=message):
        sampler_from_config(config(class_name, timestep_spacing=spacing, steps_offset=1)).plan(n)


def test_runge_kutta_needs_four_steps() -> None:
    with pytest.raises(ConfigError, match="PNDM without skip_prk_steps must be at least 4, got 3; take more, or set"):
        sampler_from_config(config("PNDMScheduler", skip_prk_steps=False)).plan(3)


def test_noise_is_not_predicted_where_there_is_nothing_else() -> None:
    """diffusers divides by alpha 0."""
    blind = sampler_from_name(
        "ddim", {**SD, "_class_name": "DDIMScheduler", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    )
    with pytest.raises(ConfigError, match="prediction_type must be v_prediction or sample at a timestep of pure noise"):
        blind.plan(10)


def test_ddpm_ends_without_noise() -> None:
    """diffusers adds noise wherever the timestep is above 0: of the whole of beta, where the variance is large."""
    large = config("DDPMScheduler", variance_type="fixed_large", timestep_spacing="trailing", clip_sample=False)
    ours, theirs = run_face(large, 10), run_peer(large, 10)
    np.testing.assert_allclose(ours.samples[-2], theirs.samples[-2], atol=1e-3 * np.abs(theirs.samples[-2]).max())
    beta = 1 - ours.scheduler.alphas_cumprod[99]
    assert np.std(ours.samples[-1] - theirs.samples[-1]) == pytest.approx(np.sqrt(beta), rel=0.15)


def test_a_large_variance_by_its_logarithm_is_the_large_variance() -> None:
    """diffusers takes the square root of the logarithm."""
    large, logarithm = (config("DDPMScheduler", variance_type=kind, clip_sample=False) for kind in ("fixed_large", "fixed_large_log"))
    assert np.isnan(run_peer(logarithm, 10).samples[-1]).all()
    np.testing.assert_array_equal(run_face(logarithm, 10).samples[-1], run_face(large, 10).samples[-1])


def test_a_learned_variance_is_a_logarithm() -> None:
    """diffusers takes the output for the variance itself, and so NaN from any negative one."""
    learned = config("DDPMScheduler", variance_type="learned", clip_sample=False)
    x = np.zeros((1, 1, 2, 2), np.float32)
    said = np.concatenate([x, np.full_like(x, -3)], 1)
    ours, theirs = sampler_from_config(learned), sampler_from_config(learned, compat="diffusers")
    plan = ours.plan(10)
    np.testing.assert_allclose(ours.step(plan, ours.start(plan, x), said, np.ones_like(x)).x, np.exp(-1.5), rtol=1e-6)
    assert not theirs.step(plan, theirs.start(plan, x), said, np.ones_like(x)).x.any()
    peer = laid_out(learned, 10)
    assert torch.isnan(peer.step(torch.from_numpy(said), peer.timesteps[0], torch.from_numpy(x)).prev_sample).all()
    positive = run_peer(learned, 10), run_face(learned, 10), run_face(learned, 10, compat="diffusers")
    assert distance(positive[2], positive[0]) < 2e-5
    assert distance(positive[1], positive[0]) > 1e-2


def test_unclip_steps_to_its_next_timestep() -> None:
    """diffusers does if its caller says so, as its pipelines do; else it goes a single timestep down, and hardly denoises."""
    unclip: dict[str, Any] = {"_class_name": "UnCLIPScheduler"}
    assert sampler_from_config(unclip).plan(10).timesteps.tolist() == laid_out(unclip, 10).timesteps.tolist()
    assert distance(run_face(unclip, 10), run_peer(unclip, 10)) > 0.1
    assert distance(run_face(unclip, 10, compat="diffusers"), run_peer(unclip, 10)) < 2e-5


def test_unclip_ends_at_x0() -> None:
    """diffusers ends at 0.9995 x0, since the rounding of its first beta differs from that of 1 - alpha_bar."""
    unclip = {"_class_name": "UnCLIPScheduler"}
    ours, theirs = (sampler.plan(10).coefficients[-1].mean.step for sampler in both(unclip))
    assert (ours.x0, ours.x) == (1, 0)
    assert 4e-4 < 1 - theirs.x0 < 6e-4


def test_ipndm_starts_from_the_velocity() -> None:
    """At pure noise diffusers takes x0 to be 0."""
    iplms = {"_class_name": "IPNDMScheduler"}
    x, velocity = (np.full((1, 1, 1, 1), value, np.float32) for value in (0.5, -0.8))
    ours, theirs = both(iplms)
    plan = ours.plan(4)
    alpha, sigma = plan.alphas[1], plan.sigmas[1]
    np.testing.assert_allclose(ours.step(plan, ours.start(plan, x), velocity).x, alpha * 0.8 + sigma * 0.5, rtol=1e-6)
    np.testing.assert_allclose(theirs.step(plan, theirs.start(plan, x), velocity).x, sigma * 0.5, rtol=1e-6)
    peer = laid_out(iplms, 4)
    found = peer.step(torch.from_numpy(velocity), peer.timesteps[0], torch.from_numpy(x)).prev_sample.numpy()
    np.testing.assert_allclose(found, sigma * 0.5, rtol=1e-6)


def test_lcm_ends_clean_where_strength_cuts_given_timesteps() -> None:
    """diffusers counts those that were cut off, and so ends with noise at the last timestep."""
    lcm = {"_class_name": "LCMScheduler"}
    stops = {"timesteps": [999, 759, 499, 259], "strength": 0.5}
    ours, theirs = run_face(lcm, 4, stops=stops), run_peer(lcm, 4, stops=stops)
    np.testing.assert_allclose(ours.samples[0], theirs.samples[0], rtol=1e-4, atol=1e-4)
    sigma = np.sqrt(1 - ours.scheduler.alphas_cumprod[259])
    left = theirs.samples[1] - np.sqrt(1 - sigma**2) * ours.samples[1]
    assert np.std(left) == pytest.approx(sigma, rel=0.15)
    assert distance(run_face(lcm, 4, stops=stops, compat="diffusers"), theirs) < 1e-4


def test_tcd_honours_its_bounds() -> None:
    """diffusers has the keys, and does not look at them."""
    free, bound = ({"_class_name": "TCDScheduler", "clip_sample": clip, "clip_sample_range": 0.5} for clip in (False, True))
    assert distance(run_peer(bound, 4), run_peer(free, 4)) == 0
    assert distance(run_face(bound, 4, compat="diffusers"), run_peer(free, 4)) < 1e-4
    assert distance(run_face(bound, 4), run_face(free, 4)) > 1e-2


def test_inversion_starts_each_step_where_the_last_one_ended() -> None:
    """diffusers takes the sample to be at t - T // n."""
    inverse = config("DDIMInverseScheduler", clip_sample=False, timestep_spacing="trailing")
    assert distance(run_face(inverse, 30), run_peer(inverse, 30)) > 1e-4
    sampler = sampler_from_config(inverse, "float64")
    plan = sampler.plan(30)
    picture, noise = np.array([0.3, -1.2]), np.array([1.1, 0.4])
    state = sampler.start(plan, sampler.add_noise(plan, picture, noise, 0))
    while state.position < plan.num_calls:
        state = sampler.step(plan, state, noise)
        np.testing.assert_allclose(state.x, sampler.add_noise(plan, picture, noise, state.position), rtol=1e-9)


@pytest.mark.parametrize("class_name", ["DDIMScheduler", "DDPMScheduler", "LCMScheduler"])
def test_a_clipped_x0_hides_a_division_by_nothing(class_name: str) -> None:
    """diffusers clips the infinities that come of predicting noise from pure noise: x0 is the sign of x - output."""
    zero = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "clip_sample": True}
    ours, theirs = both(config(class_name, **zero))
    with pytest.raises(ConfigError, match="prediction_type must be v_prediction or sample at a timestep of pure noise"):
        ours.plan(4)
    plan, x = theirs.plan(4), first_noise()
    state = theirs.step(plan, theirs.start(plan, x), x * 0.5, x * 0 if plan.draws[0] else None)
    np.testing.assert_array_equal(state.x0, np.sign(x))


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_pndm_counts_its_calls_from_wherever_it_starts(prediction: str, spacing: str, skip: bool) -> None:
    """In the middle of its list diffusers repeats a first step from one step too high, or does Runge-Kutta steps as if from the top."""
    pndm = config("PNDMScheduler", prediction_type=prediction, timestep_spacing=spacing, skip_prk_steps=skip)
    right, counted = both(pndm)
    plan = counted.plan(7)
    assert plan.start_at(0.5) == 4  # diffusers' pipelines leave out the first four of the list
    for at in plan.starts:
        peer, y, largest = laid_out(pndm, 7), torch.from_numpy(first_noise()), 0.0
        for t in peer.timesteps[at:]:
            y = peer.step(network(y, t), t, y).prev_sample
            largest = max(largest, float(y.abs().max()))
        assert np.abs(run_from(counted, plan, at) - y.numpy()).max() < 2e-5 * largest  # rounding, as in test_compat
    own = right.plan(7)
    start = own.starts[4]
    counterpart = plan.timesteps.tolist().index(own.timesteps[start])
    assert np.abs(run_from(right, own, start) - run_from(counted, plan, counterpart)).max() > 1e-4


def both(config: dict[str, Any]) -> tuple[Sampler, Sampler]:
    """Return the sampler as it is right, and as diffusers has it."""
    return sampler_from_config(config), sampler_from_config(config, compat="diffusers")


def run_from(sampler: Sampler, plan: Plan, at: int) -> np.ndarray:
    """Run from the first noise at any call of a plan."""
    state = State(x=first_noise(), position=at)
    while state.position < plan.num_calls:
        state = sampler.step(plan, state, network(state.x, plan.timesteps[state.position]))
    return state.x


def test_lms_begins_in_the_middle_with_order_1() -> None:
    """Its one slope there takes the weight of order 1, Euler's; diffusers gives it the newest weight of order 4."""
    lms = config("LMSDiscreteScheduler")
    x, at = first_noise(), 5
    euler = sampler_from_config({**lms, "_class_name": "EulerDiscreteScheduler"})
    steps = []
    for sampler in (sampler_from_config(lms), sampler_from_config(lms, compat="diffusers"), euler):
        plan = sampler.plan(10)
        steps.append(sampler.step(plan, sampler.start(plan, x, at), network(x, plan.timesteps[at])).x)
    np.testing.assert_allclose(steps[0], steps[2], rtol=1e-5, atol=1e-6)
    theirs = laid_out(lms, 10)
    theirs.set_begin_index(at)
    t, scale = theirs.timesteps[at], np.float32(sampler.plan(10).alphas[at])
    theirs.scale_model_input(torch.from_numpy(x), t)
    output = torch.from_numpy(network(x, float(t)))
    expected = theirs.step(output, t, torch.from_numpy(x / scale)).prev_sample.numpy() * np.float32(sampler.plan(10).alphas[at + 1])
    np.testing.assert_allclose(steps[1], expected, rtol=1e-5, atol=1e-5)
    assert np.abs(steps[0] - steps[1]).max() > 0.1


def test_log_linear_ratios_reach_the_final_one_and_are_told_as_they_are() -> None:
    """diffusers lists one ratio more, and stops before the last; its network hears of timesteps with other ratios."""
    logarithmic = config("EulerDiscreteScheduler", interpolation_type="log_linear")
    ours, theirs = sampler_from_config(logarithmic), laid_out(logarithmic, 10)
    plan, compat = ours.plan(10), sampler_from_config(logarithmic, compat="diffusers").plan(10)
    assert plan.sigmas[-1] == 0
    assert (len(theirs.timesteps), len(theirs.sigmas)) == (10, 12)
    np.testing.assert_allclose(compat.sigmas / compat.alphas, theirs.sigmas[:11], rtol=1e-5)
    assert compat.sigmas[-1] > 0.02
    alpha_bar = ours.alpha_bar()
    assert alpha_bar is not None
    told = [np.interp(which.timesteps, np.arange(1000), np.log((1 - alpha_bar) / alpha_bar) / 2) for which in (plan, compat)]
    np.testing.assert_allclose(told[0], np.log(plan.sigmas[:-1] / plan.alphas[:-1]), atol=1e-4)
    assert np.abs(told[1] - np.log(compat.sigmas[:-1] / compat.alphas[:-1])).max() > 1


@pytest.mark.parametrize("class_name", ["KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"])
def test_the_timesteps_of_karras_ratios_are_told_as_they_are(class_name: str) -> None:
    """diffusers rounds those of whole steps, in these two classes and no other of k-diffusion's."""
    karras = config(class_name, use_karras_sigmas=True)
    ours, theirs = sampler_from_config(karras).plan(10), laid_out(karras, 10).timesteps.numpy()
    starts = list(ours.starts)
    np.testing.assert_array_equal(theirs[starts], np.round(ours.timesteps[starts]))
    assert 0.1 < np.abs(theirs[starts] - ours.timesteps[starts]).max() <= 0.5
    np.testing.assert_array_equal(sampler_from_config(karras, compat="diffusers").plan(10).timesteps[starts], theirs[starts])


def test_an_ancestral_midpoint_is_found_without_subtracting_squares() -> None:
    """Two steps over the whole range: of down in diffusers' float32, a hundredth is rounding."""
    two = config("KDPM2AncestralDiscreteScheduler")
    plan = sampler_from_config(two).plan(2)
    _, middle, then, _ = plan.sigmas / plan.alphas
    # The middle, in the logarithm, of the first ratio and of down = then**2 / first is then itself.
    assert middle == pytest.approx(then, rel=1e-6)
    theirs = float(laid_out(two, 2).sigmas_interpol[0])
    assert 1e-4 < abs(theirs / then - 1) < 0.1
    compat = sampler_from_config(two, compat="diffusers").plan(2)
    assert abs(compat.sigmas[1] / compat.alphas[1] / then - 1) > 1e-4


def test_noise_comes_before_the_call_that_sees_it() -> None:
    """Churn in diffusers' Euler comes after: on Gaussian data the variance ends 44 % too large, where Euler's own error is -29 %."""
    found = []
    for compat in (None, "diffusers"):
        churned = sampler_from_config(config("EulerDiscreteScheduler", use_karras_sigmas=True), "float64", compat)
        churned = churned.with_options(s_churn=10.0)
        plan = churned.plan(20)
        variance = spread(plan)[0] ** 2
        for i in range(plan.num_calls - 1):
            x, fresh = np.array([1.0, 0.0]), np.array([0.0, 1.0])
            moved = churned.step(plan, State(x=x, position=i), answer("epsilon", plan, i, x), fresh if plan.draws[i] else None).x
            variance = moved[0] ** 2 * variance + moved[1] ** 2
        found.append(variance / spread(plan)[plan.num_calls - 1] ** 2 - 1)
    assert found == pytest.approx([-0.287, 0.436], abs=0.001)
