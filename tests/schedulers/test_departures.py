"""Where diffusers 0.42.1 does what is wrong and the default here does not: both sides, so that a repair there is noticed."""

from typing import Any

import numpy as np
import pytest

from sdrt.errors import ConfigError
from sdrt.schedulers import names, sampler_from_config, sampler_from_name
from sdrt.schedulers.config import sampler_class
from sdrt.schedulers.solver import SolverSampler
from tests.schedulers.peers import SD, distance, laid_out, run_face, run_peer

CLASS_NAMES = sorted({row.class_name for row in names()})
SPACED = [name for name in CLASS_NAMES if "timestep_spacing" in sampler_class(name).keys and not sampler_class(name).inverse]
# DPM-Solver's family places n + 1 points and leaves the last out: a single step starts at the noisiest in diffusers too.
EXACT = [name for name in SPACED if not issubclass(sampler_class(name), SolverSampler)]


def config(class_name: str, **extra: Any) -> dict[str, Any]:
    pndm = {"skip_prk_steps": True} if class_name == "PNDMScheduler" else {}
    return {"_class_name": class_name, **SD, **pndm, **extra}


@pytest.mark.parametrize("class_name", SPACED)
def test_trailing_gives_n_timesteps_for_every_n(class_name: str) -> None:
    """diffusers gives n + 1 for 62 of them, the last -1."""
    sampler = sampler_from_config(config(class_name, timestep_spacing="trailing"))
    broken = [n for n in range(1, 1001) if len(np.arange(1000, 0, -1000 / n)) != n]
    assert len(broken) == 62
    for n in [*broken[::8], 1, 2, 999, 1000]:
        plan = sampler.plan(n)
        assert plan.num_inference_steps == n
        assert plan.timesteps[0] == 999
        assert plan.timesteps[-1] >= 0
    theirs = laid_out(config(class_name, timestep_spacing="trailing"), 61).timesteps
    assert theirs[-1] == -1


@pytest.mark.parametrize("class_name", EXACT)
def test_a_single_linspace_step_starts_at_the_noisiest_timestep(class_name: str) -> None:
    single = config(class_name, timestep_spacing="linspace")
    assert sampler_from_config(single).plan(1).timesteps.tolist() == [999]
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
    with pytest.raises(ConfigError, match="PNDM without skip_prk_steps takes at least 4 steps, got 3; take more, or set skip_prk_steps"):
        sampler_from_config(config("PNDMScheduler", skip_prk_steps=False)).plan(3)


def test_noise_is_not_predicted_where_there_is_nothing_else() -> None:
    """diffusers divides by alpha 0."""
    blind = sampler_from_name(
        "ddim", {**SD, "_class_name": "DDIMScheduler", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    )
    with pytest.raises(ConfigError, match="a noise prediction says nothing at a timestep of pure noise"):
        blind.plan(10)
