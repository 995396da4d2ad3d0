"""Settings as text, and back."""

import json
from dataclasses import replace
from typing import Any

import pytest

from sdrt.errors import ConfigError
from sdrt.records.png_metadata import parameters_text, text_chunks
from sdrt.records.settings import Settings

SETTINGS = Settings(
    prompt="a red circle: on a blue background",
    negative_prompt="",
    seed=93,
    num_images=4,
    num_inference_steps=20,
    guidance_scale=3.0,
    guidance_rescale=0.0,
    guidance_batching="batched",
    eta=0.0,
    height=128,
    width=192,
    conditions={},
    scheduler="dpm++ 2m",
    scheduler_config={"beta_start": 0.00085},
    compat=None,
    rng="torch",
    sampler_rng=None,
    sampler_seed=None,
    shared_streams={},
    prompt_syntax="weighted",
    long_prompts="chunk",
    emphasis="original",
    clip_skip=0,
    embeddings={},
    model="nano",
    backend={"unet": "numpy"},
    numerics="float32",
    version="0.1.0",
)


def test_parameters_are_in_automatic1111s_form() -> None:
    assert parameters_text(SETTINGS, 95) == (
        "a red circle: on a blue background\n"
        "Steps: 20, Sampler: dpm++ 2m, CFG scale: 3, Seed: 95, Size: 192x128, Model: nano, RNG: torch, Version: sdrt 0.1.0"
    )


def test_a_negative_prompt_has_its_own_line_and_a_comma_is_quoted() -> None:
    text = parameters_text(replace(SETTINGS, negative_prompt="blurry", model="my, model", guidance_rescale=0.7, eta=0.5), 93)
    assert text.splitlines()[1] == "Negative prompt: blurry"
    assert 'Model: "my, model"' in text
    assert "CFG rescale: 0.7, Eta: 0.5" in text


def test_the_json_of_one_picture_draws_it_alone() -> None:
    chunks = text_chunks(SETTINGS, 95)
    again = Settings.from_dict(json.loads(chunks["sdrt"]))
    assert again == replace(SETTINGS, seed=95, num_images=1)


def test_a_second_streams_seed_goes_with_the_picture() -> None:
    two = replace(SETTINGS, sampler_rng="nv", sampler_seed=31430)
    assert json.loads(text_chunks(two, 95)["sdrt"])["sampler_seed"] == 31432
    assert "RNG: torch, Sampler RNG: nv, ENSD: 31337, Version" in parameters_text(two, 95)


def test_pictures_of_one_stream_are_told_by_their_place() -> None:
    """Alone, none of them can be drawn: the whole call is what draws it."""
    shared = replace(SETTINGS, shared_streams={"rng": {"stream": "torch", "seed": 93}})
    one = json.loads(text_chunks(shared, 95)["sdrt"])
    assert (one.pop("image"), one["seed"], one["num_images"]) == (2, 93, 4)
    assert Settings.from_dict(one) == shared


@pytest.mark.parametrize(("name", "value"), [("eta", -0.1), ("guidance_scale", "7"), ("height", True), ("num_images", 1.0)])
def test_settings_are_checked_on_construction(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^a record's {name} must be a"):
        replace(SETTINGS, **{name: value})


@pytest.mark.parametrize("function", [text_chunks, parameters_text])
def test_only_settings_and_a_seed_become_text(function: Any) -> None:
    for arguments, message in (
        ((3, 1), "settings must be an object of the class Settings, got 3"),
        ((SETTINGS, "1"), "seed must be a whole"),
    ):
        with pytest.raises(ConfigError, match=rf"^{message}"):
            function(*arguments)


def test_variations_are_said_as_automatic1111_says_them() -> None:
    varied = replace(SETTINGS, subseed=7, subseed_strength=0.25, seed_resize_from=(256, 512))
    text = parameters_text(varied.alone(2), 93)
    assert "Seed: 93, " in text
    assert "RNG: torch, Variation seed: 9, Variation seed strength: 0.25, Seed resize from: 512x256, Version" in text
    third = json.loads(text_chunks(varied, 93, index=2)["sdrt"])
    assert (third["seed"], third["subseed"], third["num_images"]) == (93, 9, 1)


def test_each_picture_of_lists_has_its_own_prompt_and_seed() -> None:
    listed = replace(
        SETTINGS,
        prompts=("a", "b", "c"),
        prompt="a",
        seeds=(93, 5, 93),
        num_images=3,
        sampler_seed=100,
        conditions={"image": ["1" * 64] * 3},
    )
    record = json.loads(text_chunks(listed, 5)["sdrt"])
    assert (record["prompt"], record["prompts"], record["seed"], record["seeds"]) == ("b", [], 5, [])
    assert (record["sampler_seed"], record["conditions"]) == (12, {"image": "1" * 64})
    assert json.loads(text_chunks(listed, 93)["sdrt"])["prompt"] == "a"
    assert json.loads(text_chunks(listed, 93, index=2)["sdrt"])["prompt"] == "c"
    assert text_chunks(listed, 5)["parameters"].startswith("b\nSteps: 20")
    for seed, index, message in ((94, None, "seed must be that of an image of the call, got 94"), (93, 3, "index must be")):
        with pytest.raises(ConfigError, match=message):
            text_chunks(listed, seed, index=index)
    with pytest.raises(ConfigError, match=r"a record's prompts must be one for each of its 3 images, got \('a', 'b'\)"):
        replace(listed, prompts=("a", "b"))
