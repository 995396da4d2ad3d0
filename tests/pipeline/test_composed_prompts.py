"""Prompts of several parts: diffusers' loop around a U-Net that combines them, and what a call makes of AND."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sdrt
from sdrt.errors import ConfigError
from tests.factories import save_pipeline_folder
from tests.peers import NEGATIVE, open_peer
from tests.pictures import psnr

# a random network sees little in a word: many of them
RED, BLUE, GREEN = (
    "a red star, many bright words",
    "a blue square, a photo of the night sky with a moon",
    "green leaves on a tree, many of them",
)
QUICK: dict[str, Any] = {"num_inference_steps": 3, "guidance_scale": 5.0}
SIZE: dict[str, Any] = {"height": 64, "width": 48}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("composed") / "sd1")


@pytest.fixture(scope="module")
def nano() -> sdrt.Pipeline:
    return sdrt.load("nano")


def composing_peer(folder: Path, parts: Sequence[tuple[str, float]]) -> Any:
    """diffusers' pipeline, whose U-Net predicts for every part, and passes on negative + sum of w (part - negative) as the prompt's."""
    peer = open_peer("StableDiffusionPipeline", folder, safety_checker=None)
    states = [peer.encode_prompt(text, "cpu", 1, False)[0] for text, _ in parts]
    predict = peer.unet.forward

    def composed(sample: Any, timestep: Any, encoder_hidden_states: Any, **more: Any) -> Any:
        def one(text: Any) -> Any:
            return predict(sample[:1], timestep, encoder_hidden_states=text, **more)[0]

        negative = one(encoder_hidden_states[:1])
        return (torch.cat([negative, negative + sum(w * (one(text) - negative) for text, (_, w) in zip(states, parts, strict=True))]),)

    peer.unet.forward = composed
    return peer


def drawn(pipe: sdrt.Pipeline, prompt: str, negative: str = "", **options: Any) -> Any:
    [image] = pipe.generate(prompt, negative, seed=93, **options).images
    return np.asarray(image)


# the networks are asked for more rows, and for nothing else: torch draws it before a release
@pytest.mark.parametrize("backend", ["numpy", pytest.param("torch", marks=pytest.mark.slow)])
def test_parts_guide_as_diffusers_with_combined_predictions(folder: Path, backend: str) -> None:
    with sdrt.load(folder, backend=backend) as pipe:
        got = drawn(pipe, f"{RED} AND {BLUE} :0.7 AND {GREEN}:-0.4", NEGATIVE, **QUICK, **SIZE)
        for other in (RED, f"{RED} AND {BLUE}", f"{RED} AND {BLUE} :0.7"):
            assert psnr(got, drawn(pipe, other, NEGATIVE, **QUICK, **SIZE)) < 40, "a part is not seen"
    peer = composing_peer(folder, [(RED, 1.0), (BLUE, 0.7), (GREEN, -0.4)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        [image] = peer(RED, negative_prompt=NEGATIVE, generator=torch.Generator().manual_seed(93), **QUICK, **SIZE).images
    assert psnr(got, np.asarray(image)) >= 60


def test_equal_parts_are_more_guidance(nano: sdrt.Pipeline) -> None:
    twice = drawn(nano, "a red circle AND a red circle", **(QUICK | {"guidance_scale": 2.5}))
    assert psnr(twice, drawn(nano, "a red circle", **QUICK)) >= 60


def test_images_of_one_batch_have_any_number_of_parts(nano: sdrt.Pipeline) -> None:
    prompts = ["a red circle AND a blue square :0.5", "a yellow star", "a red circle AND a star AND [green|blue]"]
    together = nano.generate(prompts, "white", seed=93, **QUICK).images
    for k, prompt in enumerate(prompts):
        [alone] = nano.generate(prompt, "white", seed=93 + k, **QUICK).images
        # a batch rounds otherwise
        assert psnr(together[k], alone) >= 60


def test_parts_change_and_have_weights_of_words(nano: sdrt.Pipeline) -> None:
    got = drawn(nano, "[a red circle:a star:2] AND a (blue:1.4) square :0.6", **QUICK)
    for other in ("a red circle AND a (blue:1.4) square :0.6", "[a red circle:a star:2] AND a blue square :0.6"):
        assert psnr(got, drawn(nano, other, **QUICK)) < 60


@pytest.mark.slow
def test_long_parts_are_attended_to_as_if_alone(nano: sdrt.Pipeline) -> None:
    long = "red " * 80 + "circle"
    got = drawn(nano, f"{long} AND {long}", **(QUICK | {"guidance_scale": 2.5}))
    assert psnr(got, drawn(nano, long, **QUICK)) >= 60


def test_and_is_text_in_negative_prompts_and_other_syntaxes(nano: sdrt.Pipeline) -> None:
    for options in ({"prompt_syntax": "weighted"}, {"compat": "diffusers"}):
        assert nano._resolve("a cat AND a dog", "", {"seed": 1, **options}).rows == ("negative", "prompt")  # type: ignore[typeddict-item]
    settings = nano.resolve("a cat", "a dog AND a bird")
    assert settings.prompt_syntax == "weighted"
    assert "prompt composition" in settings.remarks
    composed = nano.resolve("a cat AND a dog", "a dog AND a bird", seed=1)
    assert (composed.prompt_syntax, list(composed.remarks)) == ("full", ["prompt composition"])
    assert nano.resolve("a cat AND a dog", seed=1).remarks == {}


def test_a_weight_behind_a_whole_prompt_is_text(nano: sdrt.Pipeline) -> None:
    assert psnr(drawn(nano, "a red circle :3", **QUICK), drawn(nano, r"a red circle \:3", **QUICK)) == float("inf")


def test_a_record_draws_the_parts_again(nano: sdrt.Pipeline) -> None:
    first = nano.generate("a red circle AND a blue square :0.5", seed=93, **QUICK)
    again = nano.generate(**sdrt.Settings.from_dict(first.settings.to_dict()).options())
    assert again.settings == first.settings
    np.testing.assert_array_equal(again.latents, first.latents)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a AND b :" + "9" * 400, "the weight of a prompt's part must be within the range of floats"),
        ("a AND " * 200, "the parts of a prompt must be at most 128, got 201"),
    ],
)
def test_bad_parts_are_refused_in_one_line(nano: sdrt.Pipeline, prompt: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        nano.resolve(prompt)
    assert "\n" not in str(caught.value)


def test_a_model_without_a_negative_prompt_refuses_parts(tmp_path: Path) -> None:
    with sdrt.load(save_pipeline_folder(tmp_path / "lcm", "lcm")) as pipe, pytest.raises(ConfigError, match="AND must stand in prompts"):
        pipe.resolve("a cat AND a dog")


def test_sdxl_s_second_prompt_has_the_same_parts_or_one_for_all(tmp_path: Path) -> None:
    with sdrt.load(save_pipeline_folder(tmp_path / "sdxl", "sdxl")) as pipe:
        options: dict[str, Any] = {**QUICK, **SIZE, "guidance_scale": 15.0}
        got = drawn(pipe, f"{RED} AND {BLUE}", prompt_2=f"{GREEN} AND {RED}", **options)
        assert psnr(got, drawn(pipe, f"{RED} AND {BLUE}", prompt_2=GREEN, **options)) < 60
        one = drawn(pipe, f"{RED} AND {BLUE}", prompt_2=GREEN, **options)
        assert psnr(one, drawn(pipe, f"{RED} AND {BLUE}", prompt_2=f"{GREEN} AND {GREEN}", **options)) == float("inf")
        with pytest.raises(ConfigError, match="must have one part, or 2 as the prompt has, got 3"):
            pipe.resolve(f"{RED} AND {BLUE}", prompt_2="a AND b AND c")
