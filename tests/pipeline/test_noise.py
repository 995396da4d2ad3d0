"""Whose noise a picture is made of: per image, from one stream, from a second one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt import rng
from sdrt.errors import ConfigError
from sdrt.pipeline.noise import open_noise
from sdrt.schedulers import sampler_from_name
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend

PROMPT = "a red circle"
SHAPE = (4, 8, 8)


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> sdrt.Pipeline:
    folder: Path = save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1")
    return sdrt.load(folder, FakeBackend())


def draw(pipe: sdrt.Pipeline, **options: Any) -> sdrt.Result:
    every: dict[str, Any] = {"seed": 93, "num_inference_steps": 4, "scheduler": "euler a"} | options
    return pipe.generate(PROMPT, **every)


def plan() -> Any:
    return sampler_from_name("euler a", {"beta_schedule": "scaled_linear"}).plan(2)


@pytest.mark.parametrize("name", rng.names())
def test_the_noise_of_an_image_is_that_of_the_image_alone(name: str) -> None:
    """Byte for byte, latents and every step's, whatever else is in the batch."""
    batch, steps = open_noise(name, None, 93, None, 3), plan()
    drawn = [batch.latents(SHAPE), *(batch.step(steps, i, None, SHAPE) for i in range(2))]
    for k in range(3):
        alone = open_noise(name, None, 93 + k, None, 1)
        for together, single in zip(drawn, [alone.latents(SHAPE), *(alone.step(steps, i, None, SHAPE) for i in range(2))], strict=True):
            assert together is not None
            assert single is not None
            assert together[k].tobytes() == single[0].tobytes()


def test_one_stream_for_all_draws_the_batch_at_once() -> None:
    """As a single generator in diffusers does: the first image's noise is its own, the others' follow."""
    shared, one = open_noise(rng.stream("torch", 93), None, 93, None, 3), rng.stream("torch", 93)
    assert shared.latents(SHAPE).tobytes() == one.normal((3, *SHAPE)).tobytes()
    fresh = shared.step(plan(), 0, None, SHAPE)
    assert fresh is not None
    assert fresh.tobytes() == one.normal((3, *SHAPE)).tobytes()


def test_a_sampler_may_have_a_stream_of_its_own(pipe: sdrt.Pipeline) -> None:
    plain, second = draw(pipe), draw(pipe, sampler_rng="nv")
    assert np.abs(plain.latents - second.latents).max() > 0.01
    assert (second.settings.rng, second.settings.sampler_rng) == ("torch", "nv")
    noise = open_noise("torch", "nv", 93, None, 2)
    noise.latents(SHAPE)
    fresh = noise.step(plan(), 0, None, SHAPE)
    assert fresh is not None
    assert fresh[1].tobytes() == rng.stream("nv", 94).normal(SHAPE).tobytes()


def test_a_second_seed_moves_the_samplers_noise_alone(pipe: sdrt.Pipeline) -> None:
    """AUTOMATIC1111's eta noise seed delta."""
    first, other = draw(pipe), draw(pipe, sampler_seed=31430)
    assert np.abs(first.latents - other.latents).max() > 0.01
    still, moved = (draw(pipe, scheduler="euler", sampler_seed=seed).latents for seed in (None, 31430))
    np.testing.assert_array_equal(still, moved)


def test_the_same_stream_again_would_repeat_the_latents_and_so_goes_on(pipe: sdrt.Pipeline) -> None:
    np.testing.assert_array_equal(draw(pipe).latents, draw(pipe, sampler_rng="torch").latents)
    np.testing.assert_array_equal(draw(pipe).latents, draw(pipe, sampler_rng="torch", sampler_seed=93).latents)


def test_latents_made_elsewhere_are_given(pipe: sdrt.Pipeline) -> None:
    noise = rng.stream("torch", 93).normal((1, *SHAPE))
    given = draw(pipe, rng=rng.from_arrays(noise), scheduler="euler")
    np.testing.assert_array_equal(given.latents, draw(pipe, scheduler="euler").latents)
    assert given.settings.rng == "given"
    with pytest.raises(ConfigError, match="noise needs one array for each draw, got 1 and a further draw"):
        draw(pipe, rng=rng.from_arrays(noise))


def test_a_stream_goes_on_from_call_to_call_and_the_settings_say_from_where(pipe: sdrt.Pipeline) -> None:
    stream = rng.stream("torch", 5)
    first, second = (pipe.generate(PROMPT, num_inference_steps=2, rng=stream) for _ in range(2))
    assert first.seeds == second.seeds == (5,)
    assert np.abs(first.latents - second.latents).max() > 0.01
    again = rng.from_state(second.settings.shared_streams["rng"])
    np.testing.assert_array_equal(pipe.generate(PROMPT, num_inference_steps=2, rng=again).latents, second.latents)


def test_a_seed_beside_a_stream_that_has_one_is_refused(pipe: sdrt.Pipeline) -> None:
    with pytest.raises(
        ConfigError, match="sampler_rng must be a name beside sampler_seed, got a stream object and sampler_seed 4; leave one out"
    ):
        draw(pipe, sampler_rng=rng.stream("nv", 3), sampler_seed=4)
    with pytest.raises(ConfigError, match="sampler_seed must come with a named stream, got rng as a 'nv' stream object; name one"):
        draw(pipe, rng=rng.stream("nv", 3), sampler_seed=4)


def test_compat_reaches_the_scheduler_and_the_prompt(pipe: sdrt.Pipeline) -> None:
    """DDIM with linspace steps to other places in diffusers; and brackets are text there."""
    linspace = {**pipe.model.scheduler_config, "_class_name": "DDIMScheduler", "timestep_spacing": "linspace"}
    right, theirs = (draw(pipe, scheduler=linspace, compat=compat) for compat in (None, "diffusers"))
    assert np.abs(right.latents - theirs.latents).max() > 0.01
    assert (right.settings.compat, right.settings.prompt_syntax, right.settings.long_prompts) == (None, "weighted", "chunk")
    assert (theirs.settings.compat, theirs.settings.prompt_syntax, theirs.settings.long_prompts) == ("diffusers", "plain", "truncate")
    assert draw(pipe, compat="diffusers", prompt_syntax="weighted").settings.prompt_syntax == "weighted"
    face = sdrt.schedulers.from_config(linspace)
    np.testing.assert_array_equal(draw(pipe, scheduler=face, compat="diffusers").latents, theirs.latents)
