"""What sets k-diffusion's samplers apart: churn, continuous timesteps, Brownian noise, and the endings of names."""

import math
from typing import Any

import numpy as np
import pytest

import sdrt.rng
from sdrt.errors import ConfigError
from sdrt.schedulers import from_config, make, names, sampler_from_config, sampler_from_name
from sdrt.schedulers.catalogue import sampler_class
from tests.schedulers.peers import (
    SD,
    SHAPE,
    CorrectlyRounded,
    distance,
    drive,
    first_noise,
    is_of_diffusers,
    laid_out,
    network,
    run_face,
    run_peer,
)

MODEL: dict[str, Any] = {"_class_name": "PNDMScheduler", **SD}


def euler(**config: Any) -> dict[str, Any]:
    return {"_class_name": "EulerDiscreteScheduler", **SD, **config}


# ---- churn


def test_churn_raises_the_level_at_which_the_network_is_called() -> None:
    """By the share that the paper's algorithm 2 says, within its two bounds alone, and the timestep goes along."""
    plain, churned = (sampler_from_config(euler()).with_options(s_churn=churn, s_tmin=1.0, s_tmax=10.0).plan(20) for churn in (0.0, 4.0))
    ratios = plain.sigmas / plain.alphas
    within = (ratios >= 1) & (ratios <= 10)
    assert 0 < within.sum() < 20
    np.testing.assert_allclose(churned.sigmas / churned.alphas, np.where(within, ratios * 1.2, ratios), rtol=1e-6)
    assert (churned.timesteps[within[:-1]] > plain.timesteps[within[:-1]]).all()
    np.testing.assert_array_equal(churned.timesteps[~within[:-1]], plain.timesteps[~within[:-1]])
    # A step ends with the noise of the next one.
    assert churned.draws == (*within[1:-1].tolist(), False)


def test_churn_is_bounded_by_the_papers_gamma() -> None:
    ratios = [plan.sigmas / plan.alphas for plan in (sampler_from_config(euler()).with_options(s_churn=c).plan(5) for c in (0.0, 1e9))]
    np.testing.assert_allclose(ratios[1][:-1] / ratios[0][:-1], math.sqrt(2), rtol=1e-6)


def test_a_perfect_network_keeps_its_picture_under_churn() -> None:
    sampler = sampler_from_config(euler(), "float64").with_options(s_churn=20.0, s_noise=1.1)
    plan = sampler.plan(12)
    picture, noise = np.array([0.4, -1.0]), np.array([1.3, 0.2])
    state = sampler.start(plan, sampler.add_noise(plan, picture, noise, 0))
    while state.position < plan.num_calls:
        i = state.position
        eps = (state.x - plan.alphas[i] * picture) / plan.sigmas[i]
        state = sampler.step(plan, state, eps, np.array([0.7, -2.0]) if plan.draws[i] else None)
        np.testing.assert_allclose(state.x0, picture, rtol=1e-9)
    np.testing.assert_allclose(state.x, picture, rtol=1e-9)


def test_churn_is_said_before_the_network_is_called() -> None:
    """In a step it comes too late, as its levels have been told already; under compat it comes late as in diffusers."""
    x = first_noise()
    face = from_config(euler())
    face.set_timesteps(10)
    with pytest.raises(ConfigError, match="s_churn of EulerDiscreteScheduler must go to set_timesteps"):
        face.step(x, face.timesteps[0], x, s_churn=5.0, generator=sdrt.rng.stream("torch", 0))
    face.set_timesteps(10, s_churn=5.0)
    assert np.isfinite(drive(face, x)).all()
    late = from_config(euler(), compat="diffusers")
    late.set_timesteps(10)
    assert np.isfinite(late.step(x, late.timesteps[0], x, s_churn=5.0, generator=sdrt.rng.stream("torch", 0)).prev_sample).all()


@pytest.mark.parametrize(
    ("class_name", "options", "message"),
    [
        ("EulerDiscreteScheduler", {"s_churn": -1.0}, "s_churn must be a finite number of at least 0, got -1.0; pass"),
        ("EulerDiscreteScheduler", {"s_noise": float("nan")}, "s_noise must be a finite number of at least 0, got nan"),
        ("EulerAncestralDiscreteScheduler", {"eta": -0.5}, "eta must be a finite number of at least 0, got -0.5"),
        ("LMSDiscreteScheduler", {"order": 0}, "order must be a whole number from 1 to 20, got 0"),
        ("RestartScheduler", {"s_noise": -1.0}, "s_noise must be a finite number of at least 0, got -1.0"),
    ],
)
def test_options_without_a_meaning_are_refused(class_name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sampler_from_config({"_class_name": class_name, **SD}).with_options(**options)


# ---- what the network is told


def test_continuous_timesteps_are_told_to_networks_of_velocities() -> None:
    """A quarter of the ratio's logarithm, as Stable Video Diffusion's networks were trained with."""
    svd = euler(prediction_type="v_prediction", timestep_type="continuous", use_karras_sigmas=True, sigma_min=0.002, sigma_max=700.0)
    plan = sampler_from_config(svd).plan(25)
    np.testing.assert_allclose(plan.timesteps, 0.25 * np.log(plan.sigmas[:-1] / plan.alphas[:-1]), rtol=1e-5)
    assert distance(run_face(svd, 25), run_peer(svd, 25)) < 2e-4  # diffusers subtracts values of 2800 there, in float32
    discrete = euler(timestep_type="continuous")
    np.testing.assert_array_equal(sampler_from_config(discrete).plan(5).timesteps, sampler_from_config(euler()).plan(5).timesteps)


# ---- the range of a formula

# AUTOMATIC1111 1.10.1's ten steps for Stable Diffusion's schedule, run in torch; whatever timesteps a spacing would visit.
A1111 = {
    "karras": [14.61464, 9.102934, 5.478399, 3.168609, 1.749423, 0.9140766, 0.4469209, 0.2013998, 0.08191108, 0.02916754, 0.0],
    "exponential": [14.61464, 7.324882, 3.671242, 1.840032, 0.9222268, 0.4622216, 0.2316662, 0.1161114, 0.05819523, 0.02916754, 0.0],
    "beta": [14.61464, 13.92779, 12.49098, 10.59761, 8.442437, 6.201372, 4.046201, 2.152829, 0.716024, 0.02916753, 0.0],
}

BY_FLAG: tuple[str, ...] = (
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
)
BY_FLAG += ("DPMSolverSDEScheduler", "DPMPP2SAncestralScheduler", "RestartScheduler", "ResMultistepScheduler", "EulerCFGPPScheduler")


@pytest.mark.parametrize("kind", A1111)
@pytest.mark.parametrize("spacing", [{}, {"timestep_spacing": "leading", "steps_offset": 1}, {"timestep_spacing": "trailing"}], ids=str)
@pytest.mark.parametrize("class_name", [*BY_FLAG, "EulerAncestralDiscreteScheduler"])
def test_a_formula_spreads_over_the_whole_trained_range(class_name: str, spacing: dict[str, Any], kind: str) -> None:
    """SDXL says leading, and its turbo trailing: there the ends of the spaced timesteps are 11.0 and 0.041, or 14.6 and 0.053."""
    flag = {"sigma_spacing": kind} if class_name == "EulerAncestralDiscreteScheduler" else {f"use_{kind}_sigmas": True}
    plan = sampler_from_config({"_class_name": class_name, **SD, **spacing, **flag}).plan(10)
    ratios = (plan.sigmas / plan.alphas)[[*plan.starts, -1]]
    np.testing.assert_allclose(ratios, A1111[kind], rtol=2e-6)


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("class_name", [name for name in BY_FLAG if is_of_diffusers(name)])
def test_diffusers_spreads_between_the_spaced_timesteps(class_name: str, spacing: str) -> None:
    config = {"_class_name": class_name, **SD, "timestep_spacing": spacing, "use_karras_sigmas": True}
    plan = sampler_from_config(config, compat="diffusers").plan(20)
    theirs = laid_out(config, 20).sigmas.numpy()
    ratios = (plan.sigmas / plan.alphas)[[*plan.starts, -1]]
    assert (ratios[0], ratios[-2]) == pytest.approx((theirs[0], theirs[theirs > 0].min()), rel=1e-5)
    own = sampler_from_config(config).plan(20)
    assert max(abs(math.log(a / b)) for a, b in zip(own.sigmas / own.alphas, plan.sigmas / plan.alphas, strict=True) if a) > 0.2


# ---- Brownian noise


def sde(**config: Any) -> dict[str, Any]:
    return {"_class_name": "DPMSolverSDEScheduler", **SD, **config}


def test_a_fixed_seed_needs_no_generator_and_is_diffusers() -> None:
    config = sde(noise_sampler_seed=17, use_karras_sigmas=True)
    with CorrectlyRounded():
        theirs = run_peer(config, 12)
    face = from_config(config)
    face.set_timesteps(12)
    x = first_noise() * np.float32(face.init_noise_sigma)
    for t, sample in zip(face.timesteps, theirs.samples, strict=True):
        x = face.step(network(face.scale_model_input(x, t), t), t, x).prev_sample
        np.testing.assert_allclose(x, sample, atol=2e-5 * np.abs(sample).max() + 1e-5)


def test_without_a_fixed_seed_the_generators_seed_is_taken_and_nothing_drawn() -> None:
    fixed, free = run_face(sde(noise_sampler_seed=93), 6), run_face(sde(), 6)
    np.testing.assert_array_equal(fixed.samples[-1], free.samples[-1])  # run_face's stream has this seed
    face = from_config(sde())
    face.set_timesteps(6)
    stream = sdrt.rng.stream("torch", 93)
    face.step(first_noise(), face.timesteps[0], first_noise(), generator=stream)
    assert stream.state == sdrt.rng.stream("torch", 93).state
    with pytest.raises(
        ConfigError, match="generator must be set for DPMSolverSDEScheduler, which draws noise in this step, got None; pass"
    ):
        face.step(first_noise(), face.timesteps[0], first_noise())


def test_the_path_is_the_same_whatever_the_steps() -> None:
    """With more steps a run follows the same noise to nearly the same sample; another seed leads elsewhere."""
    runs = {n: run_face(sde(noise_sampler_seed=3, use_karras_sigmas=True), n).samples[-1] for n in (100, 200)}
    other = run_face(sde(noise_sampler_seed=4, use_karras_sigmas=True), 200).samples[-1]
    assert np.abs(runs[100] - runs[200]).mean() < 0.2 * np.abs(other - runs[200]).mean()


def test_several_seeds_are_one_for_each_sample() -> None:
    x = sdrt.rng.stream("numpy", 0).normal((2, *SHAPE[1:]))
    both = from_config(sde(noise_sampler_seed=[5, 6]))
    assert both.config["noise_sampler_seed"] == [5, 6]
    both.set_timesteps(4)
    together = drive(both, x)
    for k, seed in enumerate((5, 6)):
        alone = from_config(sde(noise_sampler_seed=[seed]))
        alone.set_timesteps(4)
        np.testing.assert_array_equal(drive(alone, x[k : k + 1]), together[k : k + 1])


# ---- endings of names


@pytest.mark.parametrize(
    ("name", "class_name", "says"),
    [
        ("Heun Karras", "HeunDiscreteScheduler", {"use_karras_sigmas": True}),
        ("LMS exponential", "LMSDiscreteScheduler", {"use_exponential_sigmas": True}),
        ("dpm_2_ancestral_beta", "KDPM2AncestralDiscreteScheduler", {"use_beta_sigmas": True}),
        ("DPM++ 2M AYS", "DPMSolverMultistepScheduler", {"use_ays_sigmas": "sd"}),
        ("Euler Align Your Steps", "EulerDiscreteScheduler", {"use_ays_sigmas": "sd"}),
        ("euler ays sdxl", "EulerDiscreteScheduler", {"use_ays_sigmas": "sdxl"}),
        ("restart sgm_uniform", "RestartScheduler", {"timestep_spacing": "trailing"}),
        ("ddim ddim_uniform", "DDIMScheduler", {"timestep_spacing": "leading"}),
        ("DPM++ 2M Lu", "DPMSolverMultistepScheduler", {"use_lu_lambdas": True}),
        ("dpmpp_sde karras sgm_uniform", "DPMSolverSDEScheduler", {"use_karras_sigmas": True, "timestep_spacing": "trailing"}),
        ("HeunDiscreteScheduler karras", "HeunDiscreteScheduler", {"use_karras_sigmas": True}),
        ("Euler a Karras", "EulerAncestralDiscreteScheduler", {"sigma_spacing": "karras"}),
        ("euler_ancestral ays sdxl", "EulerAncestralDiscreteScheduler", {"sigma_spacing": "ays sdxl"}),
    ],
)
def test_an_ending_says_how_the_noise_levels_are_chosen(name: str, class_name: str, says: dict[str, Any]) -> None:
    own = {"solver_order": 2, "algorithm_type": "dpmsolver++"} if class_name == "DPMSolverMultistepScheduler" else {}
    sampler = sampler_from_name(name, MODEL)
    assert sampler == sampler_from_config({**MODEL, "_class_name": class_name, **own, **says})
    assert sampler_from_config(sampler.config) == sampler


@pytest.mark.parametrize("row", [row for row in names() if row.says.get("use_karras_sigmas")], ids=lambda row: row.name)
def test_a_listed_karras_name_is_its_base_with_the_ending(row: Any) -> None:
    base = next(base for base in names() if base.name == row.name.removesuffix(" karras"))
    assert sampler_from_name(row.name, MODEL) == sampler_from_config(
        {**MODEL, **base.says, "use_karras_sigmas": True, "_class_name": base.class_name}
    )
    assert base.class_name == row.class_name


def test_an_ending_overrules_the_models_configuration() -> None:
    """A configuration of Karras sigmas and an exponential name would otherwise ask for both."""
    karras = {**MODEL, "_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True}
    config = sampler_from_name("euler exponential", karras).config
    assert (config["use_karras_sigmas"], config["use_exponential_sigmas"]) == (False, True)
    # A class without such flags ignores another class's, as diffusers' does, and follows its own name.
    assert sampler_from_name("euler a", karras).config == sampler_from_name("euler a", MODEL).config


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ddim karras", "DDIMScheduler does not choose its noise levels by 'karras'; leave that ending out of the name"),
        ("euler lu", "EulerDiscreteScheduler does not choose its noise levels by 'lu'"),
        ("cm sgm uniform", "CMStochasticIterativeScheduler does not choose its noise levels by 'sgm uniform'"),
        (
            "eulr karras",
            r"a sampler's name must be one of .*, with or without an ending \(karras, exponential.*\), got 'eulr karras'; choose",
        ),
        ("karras", "got 'karras'; choose"),
    ],
)
def test_an_ending_is_refused_where_it_means_nothing(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sampler_from_name(name, MODEL)


@pytest.mark.parametrize("ending", ["karras", "exponential", "beta", "ays", "sgm uniform"])
def test_every_class_that_has_the_key_takes_the_ending(ending: str) -> None:
    flag = {"sgm uniform": "timestep_spacing"}.get(ending, f"use_{ending}_sigmas")
    taken = [row for row in names() if flag in sampler_class(row.class_name).keys and not row.says.get("use_karras_sigmas")]
    assert len(taken) > 10
    for row in taken:
        if row.says.get(flag) is None:
            assert make(f"{row.name} {ending}").config[flag] == {"ays": "sd", "sgm uniform": "trailing"}.get(ending, True)
