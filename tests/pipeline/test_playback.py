"""A record, after a way through JSON, draws the same pictures: ``pipe.generate(**settings.options())``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdrt
from sdrt import rng, schedulers
from sdrt.errors import ConfigError
from tests.fake_backend import FakeBackend

PROMPT = "a (red:1.4) circle on a blue background"
FORWARD = [row.name for row in schedulers.names() if "inverse" not in row.name]
OF_OTHER_MODELS = {name for name in FORWARD if name.split()[0] in ("flow", "edm", "cm", "iplms")}


def assert_plays_back(pipe: sdrt.Pipeline, result: sdrt.Result, **passed: Any) -> None:
    """The record's options draw the same bytes, twice, and give the same record."""
    record = sdrt.Settings.from_dict(json.loads(json.dumps(result.settings.to_dict(), allow_nan=False)))
    for _ in range(2):
        again = pipe.generate(**record.options(**passed))
        assert again.latents.tobytes() == result.latents.tobytes()
        assert [image.tobytes() for image in again.images] == [image.tobytes() for image in result.images]
        assert again.settings.to_dict() == result.settings.to_dict()
        assert again.seeds == result.seeds


@pytest.mark.parametrize("name", [name for name in FORWARD if name not in OF_OTHER_MODELS])
def test_every_scheduler_comes_back(pipe: sdrt.Pipeline, name: str) -> None:
    result = pipe.generate(PROMPT, seed=93, num_inference_steps=4, scheduler=name)
    own = pipe.model.scheduler_config
    assert result.settings.scheduler == schedulers.name_of(schedulers.sampler_from_name(name, own), own)
    assert_plays_back(pipe, result)


@pytest.mark.parametrize("name", sorted(OF_OTHER_MODELS))
def test_a_configuration_for_another_kind_of_model_comes_back(pipe: sdrt.Pipeline, name: str) -> None:
    with pytest.raises(ConfigError, match="scheduler must fit this model, which was trained for"):
        pipe.generate(PROMPT, scheduler=name)
    config = schedulers.sampler_from_name(name, {}).config
    assert_plays_back(pipe, pipe.generate(PROMPT, seed=93, num_inference_steps=4, scheduler=config))


def test_restarts_come_back(pipe: sdrt.Pipeline) -> None:
    intervals = [[0.1, 2.0, 3, 2]]
    config = {**pipe.model.scheduler_config, "_class_name": "RestartScheduler", "restart_intervals": intervals}
    assert_plays_back(pipe, pipe.generate(PROMPT, seed=93, num_inference_steps=12, scheduler=config))


options = st.fixed_dictionaries(
    {"seed": st.integers(0, 2**31), "num_inference_steps": st.integers(2, 5)},
    optional={
        "num_images": st.integers(1, 3),
        "guidance_scale": st.floats(0, 20),
        "guidance_rescale": st.floats(0, 1),
        "guidance_batching": st.sampled_from(["batched", "sequential"]),
        "height": st.sampled_from([32, 64]),
        "width": st.sampled_from([48, 64]),
        "scheduler": st.sampled_from(["euler a", "ddim", "dpm++ 2m sde karras", "tcd", "dpm++ sde", "lcm", "heun beta"]),
        "rng": st.sampled_from(rng.names()),
        "sampler_rng": st.sampled_from(rng.names()),
        "sampler_seed": st.integers(0, 2**31),
        "prompt_syntax": st.sampled_from(["full", "weighted", "plain"]),
        "long_prompts": st.sampled_from(["chunk", "truncate"]),
        "emphasis": st.sampled_from(["original", "no_norm"]),
        "compat": st.just("diffusers"),
    },
)


@given(options=options)
def test_all_options_come_back_together(pipe: sdrt.Pipeline, options: dict[str, Any]) -> None:
    assert_plays_back(pipe, pipe.generate(PROMPT, "a blurry circle", **options))


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("euler", {"s_churn": 2.0, "s_noise": 1.01}),
        ("ddim", {"eta": 0.5, "use_clipped_model_output": True}),
        ("lms", {"order": 2}),
        ("euler a", {"eta": 0.3, "s_noise": 0.9}),
        ("dpm++ sde", {"s_noise": 0.9}),
        ("restart", {"s_noise": 0.9}),
        ("lcm", {"strength": 0.8}),
    ],
)
def test_what_was_set_on_a_scheduler_beyond_its_configuration_comes_back(pipe: sdrt.Pipeline, name: str, own: dict[str, Any]) -> None:
    plain = schedulers.sampler_from_name(name, pipe.model.scheduler_config)
    sampler = plain.with_options(**own)
    # from 20 steps on restarts go back
    call: dict[str, Any] = {"seed": 93, "num_inference_steps": 20 if name == "restart" else 4}
    result = pipe.generate(PROMPT, scheduler=sampler, **call)
    assert result.settings.scheduler_options.keys() == own.keys() - {"eta"}
    assert np.abs(result.latents - pipe.generate(PROMPT, scheduler=plain, **call).latents).max() > 1e-3
    assert_plays_back(pipe, result)


def test_a_scheduler_of_diffusers_habits_and_a_configuration_come_back(pipe: sdrt.Pipeline) -> None:
    config = {**pipe.model.scheduler_config, "_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -5.1}
    for scheduler in (config, schedulers.from_config(config)):
        result = pipe.generate(PROMPT, seed=93, num_inference_steps=4, scheduler=scheduler)
        assert result.settings.scheduler == "dpm++ 2m"
        assert_plays_back(pipe, result)


def test_a_scheduler_of_other_numerics_comes_back(pipe: sdrt.Pipeline, folder: Path) -> None:
    exact = schedulers.sampler_from_name("euler a", pipe.model.scheduler_config, "float64")
    result = pipe.generate(PROMPT, seed=93, num_inference_steps=4, scheduler=exact)
    assert result.settings.scheduler_options == {"numerics": "float64"}
    assert_plays_back(pipe, result)
    double = sdrt.load(folder, FakeBackend(), "float64")
    assert_plays_back(double, double.generate(PROMPT, seed=93, num_inference_steps=4))


@pytest.mark.parametrize("name", rng.names())
def test_a_stream_that_all_images_share_comes_back(pipe: sdrt.Pipeline, name: str) -> None:
    call: dict[str, Any] = {"num_images": 2, "num_inference_steps": 3, "scheduler": "euler a"}
    one, two = rng.stream(name, 5), rng.stream("torch", 6)
    one.normal(33)
    two.normal(7)
    assert_plays_back(pipe, pipe.generate(PROMPT, rng=one, **call))
    assert_plays_back(pipe, pipe.generate(PROMPT, rng=one, sampler_rng=two, **call))
    assert_plays_back(pipe, pipe.generate(PROMPT, rng=two, sampler_rng=two, **call))
    assert_plays_back(pipe, pipe.generate(PROMPT, seed=3, sampler_rng=two, **call))


def test_arrays_of_noise_come_back_when_they_are_passed_again(pipe: sdrt.Pipeline) -> None:
    pieces = [np.random.default_rng(k).standard_normal((1, 4, 8, 8)).astype(np.float32) for k in range(2)]
    stream = rng.from_arrays(pieces)
    stream.normal((1, 4, 8, 8))
    result = pipe.generate(PROMPT, num_inference_steps=3, rng=stream)
    with pytest.raises(ConfigError, match="rng must be passed again"):
        result.settings.options()
    assert_plays_back(pipe, result, rng=rng.from_arrays(pieces))


def test_the_record_of_one_image_of_a_batch_draws_it_alone(pipe: sdrt.Pipeline, tmp_path: Path) -> None:
    call: dict[str, Any] = {"num_images": 3, "num_inference_steps": 3, "scheduler": "euler a", "sampler_rng": "nv", "sampler_seed": 5}
    result = pipe.generate(PROMPT, seed=93, **call)
    for k, file in enumerate(result.save(tmp_path)):
        alone = pipe.generate(**sdrt.Settings.from_png(file).options())
        np.testing.assert_allclose(alone.latents[0], result.latents[k], rtol=1e-5, atol=1e-5)


def test_in_painting_latents_comes_back(pipe: sdrt.Pipeline) -> None:
    """A record of it names no option of pictures, which such a call refuses."""
    latents = np.random.default_rng(0).standard_normal((1, 4, 8, 8)).astype(np.float32)
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    inputs: dict[str, Any] = {"image_latents": latents, "mask_image": mask}
    result = pipe.generate(PROMPT, seed=93, num_inference_steps=2, mask_blur=2, masked_content="noise", strength=0.6, **inputs)
    assert_plays_back(pipe, result, **inputs)
