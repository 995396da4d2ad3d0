"""Prompts of regions: diffusers' loop around a U-Net that mixes predictions by masks, pictures that a judge reads, and bad input."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import sdrt
from sdrt.cli import main
from sdrt.errors import ConfigError, SdrtError
from sdrt.exact.mathematics import PLATFORM
from sdrt.pipeline.conditions.regions import RegionChoice, region_shares
from tests.factories import save_pipeline_folder
from tests.peers import NEGATIVE, open_peer
from tests.pictures import psnr
from training.judge import judge
from training.scenes import Item, Scene

# a random network sees little in a word: many of them
RED, BLUE, GREEN = "a red star, many bright words", "a blue square, a photo of the night sky", "green leaves on a tree, many of them"
QUICK: dict[str, Any] = {"num_inference_steps": 3, "guidance_scale": 10.0}
SIZE: dict[str, Any] = {"height": 64, "width": 48}

LEFT = np.zeros((64, 48), np.uint8)
LEFT[:, :24] = 255
# bytes whose mean over 8 x 8 pixels is itself
GREY = np.repeat(np.repeat(np.array([[0, 51, 102, 153, 204, 255]] * 8, np.uint8), 8, axis=0), 8, axis=1)


@pytest.fixture(scope="module")
def nano() -> sdrt.Pipeline:
    return sdrt.load("nano", threads=1)


def drawn(pipe: sdrt.Pipeline, prompt: str = RED, negative: str = NEGATIVE, **options: Any) -> Any:
    [image] = pipe.generate(prompt, negative, seed=93, **options).images
    return np.asarray(image)


def regions(*each: tuple[Any, ...]) -> dict[str, Any]:
    return {"regions": [sdrt.PromptRegion(prompt=prompt, mask=mask, weight=(*more, 1.0)[0]) for prompt, mask, *more in each]}


# the networks are asked for more rows, and for nothing else: torch draws it before a release
@pytest.mark.parametrize("backend", ["numpy", pytest.param("torch", marks=pytest.mark.slow)])
def test_regions_draw_what_diffusers_draws_from_mixed_predictions(tmp_path: Path, backend: str) -> None:
    folder = save_pipeline_folder(tmp_path / "sd1")
    with sdrt.load(folder, backend=backend) as pipe:
        got = drawn(pipe, **regions((BLUE, LEFT), (GREEN, GREY, 2.0)), **QUICK, **SIZE)
        for other in ({}, regions((BLUE, LEFT)), regions((GREEN, GREY, 2.0)), regions((BLUE, LEFT), (GREEN, GREY, 0.2))):
            assert psnr(got, drawn(pipe, **other, **QUICK, **SIZE)) < 45, "a region is not seen"
    peer = open_peer("StableDiffusionPipeline", folder, safety_checker=None)
    states = [peer.encode_prompt(text, "cpu", 1, False)[0] for text in (RED, BLUE, GREEN)]
    left, grey = (torch.from_numpy(mask[::8, ::8].astype(np.float32) / 255) for mask in (LEFT, GREY))
    counts = [(1 - left - grey).clamp(min=0), left, 2 * grey]
    predict = peer.unet.forward

    def mixed(sample: Any, timestep: Any, encoder_hidden_states: Any, **more: Any) -> Any:
        negative, *each = (
            predict(sample[:1], timestep, encoder_hidden_states=text, **more)[0] for text in (encoder_hidden_states[:1], *states)
        )
        return (torch.cat([negative, sum(m * one for m, one in zip(counts, each, strict=True)) / sum(counts)]),)

    peer.unet.forward = mixed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        [image] = peer(RED, negative_prompt=NEGATIVE, generator=torch.Generator().manual_seed(93), **QUICK, **SIZE).images
    assert psnr(got, np.asarray(image)) >= 60


@pytest.mark.parametrize("seed", [93, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(94, 101))])
def test_nano_draws_each_region_s_prompt_in_its_place(nano: sdrt.Pipeline, seed: int) -> None:
    left = np.zeros((128, 128), np.uint8)
    left[:, :64] = 255
    red, blue = "a small red circle on the left on a white background", "a small blue square on the right on a white background"
    [image] = nano.generate("a white background", seed=seed, **regions((red, left), (blue, 255 - left))).images
    verdict = judge(np.asarray(image), Scene((Item("circle", "red"), Item("square", "blue")), "white", layout="beside"))
    assert verdict == type(verdict)(shape=True, colour=True, background=True, position=True, size=True)


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255), st.floats(0.01, 50)), min_size=1, max_size=4))
def test_shares_are_one_together_and_follow_masks_and_weights(each: list[tuple[int, int, float]]) -> None:
    choices = [
        RegionChoice(prompt="a", mask=np.repeat(np.array([[one, other]], np.uint8), 8, axis=1).repeat(8, axis=0), weight=weight)
        for one, other, weight in each
    ]
    shares = region_shares(choices, 8, 16, 8, PLATFORM)
    assert shares is not None
    assert shares.shape == (1 + len(each), 1, 1, 1, 2)
    masks = np.array([[one / 255, other / 255] for one, other, _ in each])
    counts = np.array([np.maximum(1 - masks.sum(axis=0), 0), *(masks * np.array([[weight] for _, _, weight in each]))])
    np.testing.assert_allclose(shares.reshape(-1, 2), counts / counts.sum(axis=0), atol=1e-5)


def test_a_region_of_the_whole_picture_is_its_prompt(nano: sdrt.Pipeline) -> None:
    white = np.full((20, 30), 255, np.uint8)
    result = nano.generate("a yellow star", "white", seed=93, **regions(("a red circle", white)), **QUICK)
    assert psnr(result.images[0], nano.generate("a red circle", "white", seed=93, **QUICK).images[0]) >= 60
    assert result.settings.remarks == {"ignored prompt": "the masks of regions leave no room for it"}
    black = nano.generate("a red circle", "white", seed=93, **regions(("a yellow star", 0 * white)), **QUICK)
    assert psnr(result.images[0], black.images[0]) >= 60
    assert black.settings.remarks == {"empty region": "region_mask is black for region 1, whose prompt has no effect"}


def test_regions_need_no_guidance(nano: sdrt.Pipeline) -> None:
    left = Image.fromarray(LEFT)
    options = QUICK | {"guidance_scale": 1.0}
    passed: Any = {"seed": 1, "region_prompt": "a circle", "region_mask": left, **options}
    assert nano._resolve("a star", "", passed).rows == ("prompt", "prompt 2")
    assert psnr(drawn(nano, **regions(("a blue circle", left)), **options), drawn(nano, **options)) < 40


def test_a_region_s_prompt_changes_and_has_parts(nano: sdrt.Pipeline) -> None:
    got = drawn(nano, "a red circle", "", **regions(("a [blue:green:2] square AND a star :0.5", LEFT)), **QUICK)
    for other in ("a blue square AND a star :0.5", "a [blue:green:2] square"):
        assert psnr(got, drawn(nano, "a red circle", "", **regions((other, LEFT)), **QUICK)) < 60
    assert nano.resolve("a circle", seed=1, **regions(("a [red|blue] square", LEFT))).prompt_syntax == "full"


def test_images_of_one_batch_share_the_regions(nano: sdrt.Pipeline) -> None:
    options = {**regions(("a blue square", LEFT)), **QUICK}
    together = nano.generate(["a red circle", "a star AND a ring"], seed=93, **options).images
    for k, prompt in enumerate(["a red circle", "a star AND a ring"]):
        assert psnr(together[k], nano.generate(prompt, seed=93 + k, **options).images[0]) >= 60


def test_a_record_draws_the_regions_again_and_names_a_mask_that_is_missing(nano: sdrt.Pipeline) -> None:
    first = nano.generate("a red circle", seed=93, **regions(("a blue square", LEFT), ("a star", GREY, 2.0)), **QUICK)
    settings = sdrt.Settings.from_dict(first.settings.to_dict())
    assert settings.conditions["region_weight"] == [1.0, 2.0]
    again = nano.generate(**settings.options(region_mask=[LEFT, GREY]))
    assert again.settings == first.settings
    np.testing.assert_array_equal(again.latents, first.latents)
    with pytest.raises(ConfigError, match="region_mask must be passed again"):
        settings.options()
    with pytest.raises(ConfigError, match="region_mask must be the recorded picture"):
        settings.options(region_mask=[GREY, LEFT])


def test_regions_on_the_command_line(tmp_path: Path, nano: sdrt.Pipeline) -> None:
    for name, mask in (("left", LEFT), ("grey", GREY)):
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
    masks = [flag for name in ("left", "grey") for flag in ("--region-mask", str(tmp_path / f"{name}.png"))]
    texts = ["--region-prompt", "a blue square", "--region-prompt", "a star"]
    argv = ["generate", "a red circle", *texts, *masks, "--steps", "2", "--guidance-scale", "5", "--seed", "93"]
    assert main([*argv, "-q", "-o", str(tmp_path / "a.png")]) == 0
    [image] = nano.generate(
        "a red circle", seed=93, num_inference_steps=2, guidance_scale=5.0, **regions(("a blue square", LEFT), ("a star", GREY))
    ).images
    with Image.open(tmp_path / "a.png") as saved:
        assert psnr(saved, image) >= 60
    assert main(["generate", "--from", str(tmp_path / "a.png"), *masks, "-q", "-o", str(tmp_path / "b.png")]) == 0
    with Image.open(tmp_path / "a.png") as one, Image.open(tmp_path / "b.png") as two:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"region_prompt": "a"}, "region_prompt and region_mask must be one each for every region, got 1 and 0"),
        ({"region_mask": [LEFT, LEFT], "region_prompt": "a"}, "got 1 and 2"),
        ({"region_weight": 2.0}, "region_weight must come with region_prompt and region_mask"),
        ({"region_prompt": "a", "region_mask": LEFT, "region_weight": 0.0}, "region_weight must be"),
        # below what float32 can divide by
        ({"region_prompt": "a", "region_mask": LEFT, "region_weight": 1e-46}, "region_weight must be"),
        ({"region_prompt": "a", "region_mask": LEFT, "region_weight": float("nan")}, "region_weight must be"),
        ({"region_prompt": "a", "region_mask": LEFT, "region_weight": [1.0, 2.0]}, "region_weight must be one value, or one for each of 1"),
        ({"region_prompt": "a", "region_mask": "mask.png"}, "region_mask must be"),
        ({"region_prompt": 3, "region_mask": LEFT}, "region_prompt must be"),
        ({"regions": ["a"]}, r"regions must be sdrt\.PromptRegion values"),
        ({"regions": [sdrt.PromptRegion(prompt="a", mask=LEFT)], "region_weight": 2.0}, "region_weight must be given once"),
        ({"region_prompt": "[" * 101, "region_mask": LEFT}, "brackets in a prompt must nest"),
    ],
)
def test_bad_regions_are_refused_in_one_line(nano: sdrt.Pipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SdrtError, match=message) as caught:
        nano.resolve("a red circle", seed=1, **options)
    assert "\n" not in str(caught.value)


def test_masks_of_the_whole_picture_do_not_go_with_a_part_of_it(nano: sdrt.Pipeline) -> None:
    picture, spot = np.zeros((128, 128, 3), np.uint8), np.zeros((128, 128), np.uint8)
    spot[40:80, 40:80] = 255
    whole: dict[str, Any] = {"image": picture, "mask_image": spot, **regions((BLUE, LEFT))}
    assert "region_mask" in nano.resolve(RED, **whole).conditions
    with pytest.raises(ConfigError, match="region_mask must be left out with only_masked"):
        nano.resolve(RED, only_masked=True, **whole)
