"""Refinements on Core ML packages and on OpenVINO: those that need nothing of the networks draw numpy's pictures, the others are refused.

A Core ML package takes a fixed number of rows, where a call may have one (outside an interval of guidance) or three (parts, regions).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import UNet2DConditionModel

import sdrt
from sdrt.errors import ConfigError
from sdrt.models import path
from tests.factories import save_pipeline_folder, save_t2i_adapter_folder
from tests.image_prompts import adapter_tensors, save_adapter, save_encoder
from tests.peers import picture
from tests.pictures import psnr

PROMPT = "a red circle on a white background"
SMALL: dict[str, Any] = {"seed": 93, "num_inference_steps": 3, "height": 64, "width": 64}
LEFT = np.repeat(np.array([[255, 0]], np.uint8), 32, axis=1).repeat(64, axis=0)
REGIONS = [
    sdrt.PromptRegion(prompt="a green star on a black background", mask=LEFT),
    sdrt.PromptRegion(prompt="a blue square", mask=255 - LEFT),
]

# By name: the prompt and the options of each refinement that needs nothing of the networks.
CASES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "prompt editing": ("a [red:blue:0.4] circle on a [white:black:1] background", {}),
    "alternation": ("a [red|blue] circle on a [white|black] background", {}),
    "AND": (f"{PROMPT} AND a green star on a black background :1.5", {"guidance_scale": 8.0}),
    "regions": (PROMPT, {"regions": REGIONS}),
    "an interval of guidance": (PROMPT, {"guidance_scale": 8.0, "guidance_start": 0.4, "guidance_end": 0.7}),
    "a schedule": (PROMPT, {"guidance_schedule": [1.0, 12.0, 4.0]}),
    "APG": (PROMPT, {"guidance_scale": 8.0, "apg": sdrt.APG(norm_threshold=0.5, momentum=-0.5)}),
    "dynamic thresholding": (PROMPT, {"guidance_scale": 8.0, "dynamic_thresholding": sdrt.DynamicThresholding(mimic_scale=3)}),
}
# What changes a network, with the option that the message names.
CHANGES: Mapping[str, Any] = {"freeu": sdrt.FreeU(b1=1.1, b2=1.1, s1=0.9, s2=0.6), "pag_scale": 1.5, "token_merging": 0.25}


@pytest.fixture(scope="module")
def plain() -> sdrt.Pipeline:
    return sdrt.load("nano", threads=1, preview_vae="nano-quick")


@pytest.fixture(scope="module")
def packages(nano_packages: Path) -> sdrt.Pipeline:
    return sdrt.load(nano_packages, threads=1, preview_vae="nano-quick")


@pytest.fixture(scope="module")
def openvino() -> sdrt.Pipeline:
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'sdrt[openvino]'")
    # nothing is kept in the user's own cache
    return sdrt.load("nano", "openvino", cache_dir=None, preview_vae="nano-quick")


def drawn(pipe: sdrt.Pipeline, prompt: str, options: Mapping[str, Any]) -> np.ndarray:
    [image] = pipe.generate(prompt, **{**SMALL, **options}).images
    return np.asarray(image)


def draws_as(pipe: sdrt.Pipeline, plain: sdrt.Pipeline, prompt: str, options: Mapping[str, Any], bound: float) -> None:
    """A pipeline draws the picture of the numpy backend, which the prompt or the options have moved."""
    want = drawn(plain, prompt, options)
    scale = {name: value for name, value in options.items() if name == "guidance_scale"}
    assert psnr(want, drawn(plain, PROMPT, scale)) < 40
    assert psnr(drawn(pipe, prompt, options), want) >= bound


# The packages are in float16: 65 to 80 dB here, and 55 is what other jobs of packages are held to.
@pytest.mark.parametrize("name", CASES)
def test_packages_draw_what_needs_nothing_of_the_networks(packages: sdrt.Pipeline, plain: sdrt.Pipeline, name: str) -> None:
    draws_as(packages, plain, *CASES[name], bound=55)


@pytest.mark.parametrize("upscaler", ["latent", "lanczos"])
def test_packages_draw_a_second_pass_at_their_size(packages: sdrt.Pipeline, plain: sdrt.Pipeline, upscaler: str) -> None:
    again: dict[str, Any] = {"hires_upscaler": upscaler, "hires_prompt": "a green star on a black background", "hires_denoising": 1.0}
    draws_as(packages, plain, PROMPT, {"hires_scale": 1, **again}, bound=55)
    with pytest.raises(ConfigError, match=r"^the second pass of hi-res fix: height x width must be 64x64 for .*, got 96x96; take"):
        packages.resolve(PROMPT, hires_scale=1.5, **again, **SMALL)


@pytest.mark.parametrize("option", CHANGES)
def test_packages_refuse_what_changes_a_network(packages: sdrt.Pipeline, option: str) -> None:
    with pytest.raises(ConfigError, match=rf"^unet: options must be among those of backend 'coreml' \(none\), got .*; leave {option} out"):
        packages.generate(PROMPT, **SMALL, **{option: CHANGES[option]})


def test_networks_that_others_look_at_are_refused(nano_packages: Path, tmp_path: Path) -> None:
    """When they are loaded, or before anything runs."""
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'sdrt[openvino]'")
    unet = UNet2DConditionModel.from_pretrained(path("nano") / "unet")
    looks: dict[str, Any] = {"ip_adapter": save_adapter(tmp_path / "ip.safetensors", adapter_tensors(unet))}
    looks["image_encoder"] = save_encoder(tmp_path / "encoder")
    with pytest.raises(ConfigError, match="holds Core ML packages, which take no IP-Adapter; pass their source model, on backend 'numpy'"):
        sdrt.load(nano_packages, **looks)
    with pytest.raises(ConfigError, match=r"^backend of unet must be numpy or torch with an IP-Adapter, got 'openvino'; choose another"):
        sdrt.load("nano", "openvino", cache_dir=None, **looks)
    adapter, model = save_t2i_adapter_folder(tmp_path / "adapter", "full"), save_pipeline_folder(tmp_path / "sd1")
    with pytest.raises(ConfigError, match=r"holds Core ML packages, whose U-Net takes no T2I-Adapter; pass its source model$"):
        sdrt.load(nano_packages, t2i_adapter=adapter)
    with sdrt.load(model, "openvino", cache_dir=None, t2i_adapter=adapter) as pipe:
        with pytest.raises(ConfigError, match=r"^backend of unet must be numpy or torch with a T2I-Adapter, got 'openvino'; choose"):
            pipe.generate(PROMPT, adapter_image=picture(1), **SMALL)
        assert not any(pipe._assembly.base.networks.is_open(component) for component in ("text_encoder", "unet"))


# float32 everywhere: the numpy backend's own bound against other implementations
@pytest.mark.slow  # each network is converted and compiled for each count of rows
def test_openvino_draws_what_needs_nothing_of_the_networks(openvino: sdrt.Pipeline, plain: sdrt.Pipeline) -> None:
    for prompt, options in CASES.values():
        draws_as(openvino, plain, prompt, options, bound=60)
    for upscaler in ("latent", "lanczos"):
        want, got = (drawn(pipe, PROMPT, {"hires_scale": 1.5, "hires_upscaler": upscaler}) for pipe in (plain, openvino))
        assert want.shape == (96, 96, 3)
        assert psnr(got, want) >= 60
    kinds: tuple[Any, ...] = ("latent", "taesd")
    for kind in kinds:
        want, got = (np.asarray(next(pipe.steps(PROMPT, **SMALL)).decode(0, kind)) for pipe in (plain, openvino))
        assert psnr(got, want) >= 60


@pytest.mark.parametrize("option", CHANGES)
def test_openvino_refuses_what_changes_a_network(option: str) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'sdrt[openvino]'")
    openvino = sdrt.load("nano", "openvino", cache_dir=None)
    with pytest.raises(ConfigError, match=rf"^unet: options must be among those of backend 'openvino' .*, got .*; leave {option} out"):
        openvino.generate(PROMPT, **SMALL, **{option: CHANGES[option]})
    assert not openvino._assembly.base.networks.is_open("unet")
