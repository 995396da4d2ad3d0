"""The diffusers-style face: its habits, its cursor, add_noise."""

import inspect
import warnings
from itertools import pairwise
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import sdrt.rng
from sdrt.errors import ConfigError
from sdrt.schedulers import DiffusersScheduler, class_names, from_config
from sdrt.schedulers.catalogue import sampler_class
from tests.schedulers.peers import (
    SD,
    SHAPE,
    CorrectlyRounded,
    drive,
    first_noise,
    is_of_diffusers,
    laid_out,
    network,
    noised,
    peer,
    seen,
)

every_class = pytest.mark.parametrize("class_name", class_names())
OF_DIFFUSERS = [name for name in class_names() if is_of_diffusers(name)]


OWN: dict[str, dict[str, Any]] = {
    "PNDMScheduler": {"skip_prk_steps": True},
    "DDIMScheduler": {"clip_sample": False},
    "DPMSolverSDEScheduler": {"noise_sampler_seed": 5},
}


def trained_timesteps(class_name: str) -> bool:
    """Whether the class knows a schedule of trained timesteps: flow matching and EDM know noise levels alone."""
    return from_config(config(class_name)).sampler.alpha_bar() is not None


def config(class_name: str, **extra: Any) -> dict[str, Any]:
    own = {"skip_prk_steps": True, "clip_sample": False, **SD, **OWN.get(class_name, {})}
    choices = sampler_class(class_name).choices
    fitting = {key: value for key, value in own.items() if key in sampler_class(class_name).keys and value in choices.get(key, (value,))}
    return {"_class_name": class_name, **fitting, **extra}


def face(class_name: str, n: int = 10, **extra: Any) -> DiffusersScheduler:
    scheduler = from_config(config(class_name, **extra))
    scheduler.set_timesteps(n)
    return scheduler


@every_class
def test_a_second_run_is_the_same_as_the_first(class_name: str) -> None:
    """diffusers' sigma-based classes run out of their tables unless set_timesteps is called again."""
    scheduler = face(class_name)
    x = first_noise() * np.float32(scheduler.init_noise_sigma)
    first = drive(scheduler, x)
    np.testing.assert_array_equal(drive(scheduler, x), first)
    scheduler.set_timesteps(10)
    np.testing.assert_array_equal(drive(scheduler, x), first)


@every_class
def test_the_sample_passed_in_counts(class_name: str) -> None:
    """A caller may change the sample between steps, as in-painting does."""
    scheduler = face(class_name)
    stream = sdrt.rng.stream("torch", 1)
    x = first_noise()
    t0, t1 = scheduler.timesteps[:2]
    for t in (t0, t1):
        scheduler.step(network(x, t), t, x, generator=stream)
    again = face(class_name)
    stream = sdrt.rng.stream("torch", 1)
    again.step(network(x, t0), t0, x, generator=stream)
    # PLMS repeats its first step from the sample it remembers, and so does the second call of a step everywhere.
    changed = again.step(network(x, t1), t1, x + 1, generator=stream).prev_sample
    assert changed.shape == SHAPE
    if scheduler.order == 1 and class_name != "PNDMScheduler":
        scheduler = face(class_name)
        stream = sdrt.rng.stream("torch", 1)
        scheduler.step(network(x, t0), t0, x, generator=stream)
        assert not np.array_equal(changed, scheduler.step(network(x, t1), t1, x, generator=stream).prev_sample)


@pytest.mark.parametrize("class_name", OF_DIFFUSERS)
def test_x0_is_computed_when_read_and_is_diffusers(class_name: str) -> None:
    ours, theirs = face(class_name), laid_out(config(class_name), 10)
    x, t = first_noise(), ours.timesteps[0]
    output = network(x, t)
    mine = ours.step(output, t, x, generator=sdrt.rng.stream("torch", 1))
    seen(theirs, torch.from_numpy(x), theirs.timesteps[0])
    other = theirs.step(torch.from_numpy(output), theirs.timesteps[0], torch.from_numpy(x))
    assert mine.pred_original_sample is mine.pred_original_sample
    if hasattr(other, "pred_original_sample"):
        np.testing.assert_allclose(mine.pred_original_sample, other.pred_original_sample.numpy(), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("class_name", [name for name in OF_DIFFUSERS if hasattr(getattr(diffusers, name), "add_noise")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_add_noise_is_diffusers(class_name: str, dtype: type[Any]) -> None:
    ours, theirs = face(class_name), laid_out(config(class_name), 10)
    picture, noise = (sdrt.rng.stream("numpy", k).normal((3, 2, 4, 4)).astype(dtype) for k in range(2))
    at = np.array(ours.sampler.plan(10).starts)[[1, 4, 9]]
    timesteps = ours.timesteps[at]
    mixed = ours.add_noise(picture, noise, timesteps)
    expected = noised(theirs, picture, noise, theirs.timesteps[at])
    assert mixed.dtype == dtype
    np.testing.assert_allclose(mixed, expected, rtol=3e-6, atol=3e-6)
    np.testing.assert_allclose(ours.add_noise(picture, noise, timesteps[1])[1], mixed[1], rtol=1e-6)


@pytest.mark.parametrize("class_name", ["DDIMScheduler", "PNDMScheduler"])
@pytest.mark.parametrize("planned", [False, True])
def test_add_noise_at_any_trained_timestep_is_diffusers(class_name: str, planned: bool) -> None:
    """These classes of diffusers read the training table, whatever the plan and also before there is one."""
    ours, theirs = from_config(config(class_name)), laid_out(config(class_name), 10)
    if planned:
        ours.set_timesteps(10)
    picture, noise = (sdrt.rng.stream("numpy", k).normal((4, 2, 4, 4)) for k in range(2))
    timesteps = np.array([0, 7, 500, 999])
    expected = theirs.add_noise(*map(torch.from_numpy, (picture, noise, timesteps))).numpy()
    np.testing.assert_allclose(ours.add_noise(picture, noise, timesteps), expected, rtol=3e-6, atol=3e-6)


@every_class
def test_noise_is_added_at_no_other_timestep(class_name: str) -> None:
    """Neither between two trained timesteps nor beyond the last."""
    trained = trained_timesteps(class_name)
    message = r"of the plan or a whole one in \[0, 1000\), got" if trained else "of the plan, got"
    for timestep in (0.5, 1000 if trained else 2000, -1 if trained else -2000):
        with pytest.raises(ConfigError, match=f"noise must be added at a timestep {message}"):
            face(class_name).add_noise(np.zeros((1, 4, 8, 8)), np.zeros((1, 4, 8, 8)), timestep)


# Not PNDM: in the middle of its list diffusers still repeats a first step, from one timestep too high.
@pytest.mark.parametrize("class_name", sorted({*OF_DIFFUSERS} - {"PNDMScheduler"}))
@pytest.mark.parametrize("step", [3, 7])
def test_an_image_to_image_run_equals_diffusers(class_name: str, step: int) -> None:
    """From a timestep in the middle, as pipelines slice them.

    LMS takes wrong weights there in diffusers, and unCLIP's last step ends 5e-4 off.
    """
    compat: Any = "diffusers" if class_name in ("LMSDiscreteScheduler", "UnCLIPScheduler") else None
    ours = from_config(config(class_name), compat=compat)
    ours.set_timesteps(10)
    with CorrectlyRounded():  # see below
        theirs = laid_out(config(class_name), 10)
    at = ours.sampler.plan(10).starts[step]
    theirs.set_begin_index(at) if hasattr(theirs, "set_begin_index") else None
    generator, stream = torch.Generator().manual_seed(5), sdrt.rng.stream("torch", 5)
    picture, noise = (sdrt.rng.stream("numpy", k).normal(SHAPE) for k in range(2))
    x = ours.add_noise(picture, noise, ours.timesteps[at])
    y = torch.from_numpy(x)
    if hasattr(theirs, "add_noise") or hasattr(theirs, "scale_noise"):
        y = torch.from_numpy(noised(theirs, picture, noise, theirs.timesteps[at : at + 1]))
    takes = inspect.signature(theirs.step).parameters
    drawing: dict[str, Any] = {"generator": generator} if "generator" in takes else {}
    for t, (u, after) in zip(ours.timesteps[at:], pairwise([*theirs.timesteps[at:], None]), strict=True):
        told = {"prev_timestep": after} if "prev_timestep" in takes else {}  # unCLIP's pipelines tell where the step ends
        x = ours.step(network(ours.scale_model_input(x, t), t), t, x, generator=stream, **told).prev_sample
        # a Brownian path is read at times that hang on the last bit of an exponential
        with CorrectlyRounded(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # DEIS calls numpy on tensors in a way that numpy 2 deprecates
            y = theirs.step(network(seen(theirs, y, u), u), u, y, **drawing, **told).prev_sample
    np.testing.assert_allclose(x, y.numpy(), rtol=2e-5, atol=2e-5)


def test_plms_starts_in_the_middle_with_a_plain_step() -> None:
    """At a timestep that stands twice in the list, the run begins with the second."""
    scheduler = face("PNDMScheduler")
    t = scheduler.timesteps[1]
    assert scheduler.timesteps[2] == t
    x = first_noise()
    plan = scheduler.sampler.plan(10)
    expected = scheduler.sampler.step(plan, scheduler.sampler.start(plan, x, 2), network(x, t)).x
    np.testing.assert_array_equal(scheduler.step(network(x, t), t, x).prev_sample, expected)


def test_a_timestep_that_is_not_in_the_plan_is_refused() -> None:
    scheduler = face("EulerDiscreteScheduler")
    with pytest.raises(ConfigError, match=r"timestep 500 is not in this plan; pass one of scheduler.timesteps: 999, 888, .*, 0"):
        scheduler.step(first_noise(), 500, first_noise())


def test_noise_without_a_generator_is_refused() -> None:
    scheduler = face("EulerAncestralDiscreteScheduler")
    with pytest.raises(ConfigError, match=r"draws noise in this step, got None; pass sdrt.rng.stream\('torch', seed\)"):
        scheduler.step(first_noise(), 999, first_noise())


@every_class
def test_before_set_timesteps_every_trained_timestep_is_there(class_name: str) -> None:
    """As in diffusers, whose classes are built with all of them; a step works here for every class."""
    ours = from_config(config(class_name))
    theirs = peer(config(class_name)) if is_of_diffusers(class_name) else None
    starts = list(ours._plan.starts)
    if trained_timesteps(class_name):
        assert len(np.unique(ours.timesteps[starts])) == len(ours) == 1000
    else:
        with pytest.raises(ConfigError, match=f"{class_name} has no alphas_cumprod; its noise levels are scheduler.sigmas"):
            _ = ours.alphas_cumprod
    if theirs is not None:
        assert len(ours) == theirs.config.num_train_timesteps
        if theirs.timesteps is not None:  # PNDM has none yet
            told = theirs.timesteps.numpy()
            at = starts if len(told) == len(ours.timesteps) else slice(None)
            np.testing.assert_allclose(np.unique(ours.timesteps[starts]), np.unique(told[at]), rtol=1e-5, atol=1e-2)
        if trained_timesteps(class_name) and hasattr(theirs, "alphas_cumprod"):
            np.testing.assert_allclose(ours.alphas_cumprod, theirs.alphas_cumprod.numpy(), rtol=1e-6)
    assert ours.num_inference_steps is None
    x, t = first_noise(), ours.timesteps[ours._plan.starts[len(ours) // 2]]
    assert np.isfinite(ours.step(x, t, x, generator=sdrt.rng.stream("torch", 1)).prev_sample).all()


@every_class
def test_order_and_config(class_name: str) -> None:
    calls = face(class_name).sampler.calls_per_step
    assert from_config(config(class_name)).order == face(class_name).order == calls
    if is_of_diffusers(class_name):
        assert getattr(peer(config(class_name)), "order", 1) == calls  # unCLIP's class does not say
    assert face(class_name).config["_class_name"] == class_name


def test_float16_goes_in_and_comes_out() -> None:
    scheduler = face("EulerDiscreteScheduler")
    x = (first_noise() * scheduler.init_noise_sigma).astype(np.float16)
    assert scheduler.scale_model_input(x, 999).dtype == np.float16
    assert scheduler.step(x, 999, x).prev_sample.dtype == np.float16


def test_a_scheduler_says_what_it_is() -> None:
    scheduler = from_config({"_class_name": "HeunDiscreteScheduler", "beta_schedule": "scaled_linear"})
    assert repr(scheduler) == f"DiffusersScheduler({scheduler.sampler!r})"
    assert repr(scheduler).startswith("DiffusersScheduler(Heun(")
