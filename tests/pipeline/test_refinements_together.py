"""Refinements that meet in one call, against the pipelines of diffusers: LoRAs beside image prompts, changing prompts beside a refiner."""

import warnings
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

import sdrt
from tests.factories import save_pipeline_folder, save_refiner_folder
from tests.image_prompts import adapter_tensors, nested, random_encoder, save_adapter, save_encoder
from tests.peers import NEGATIVE, PROMPT, open_peer, peer_picture, picture, scheduler
from tests.pictures import psnr

QUICK: dict[str, Any] = {"num_inference_steps": 3, "guidance_scale": 5.0}
SIZE: dict[str, Any] = {"height": 64, "width": 48}


def picture_of(pipe: sdrt.Pipeline, prompt: str = PROMPT, **options: Any) -> np.ndarray:
    [image] = pipe.generate(prompt, NEGATIVE, seed=93, **{**QUICK, **SIZE, **options}).images
    return np.asarray(image)


def save_lora(file: Path, unet: UNet2DConditionModel) -> Path:
    """Factors for the cross-attentions, whose keys and values an IP-Adapter's stand beside."""
    generator, tensors = torch.Generator().manual_seed(5), {}
    for name, weight in unet.named_parameters():
        if name.endswith(("attn2.to_q.weight", "attn2.to_k.weight", "attn2.to_v.weight", "attn2.to_out.0.weight")):
            key, (rows, columns) = f"lora_unet_{name.removesuffix('.weight').replace('.', '_')}", weight.shape
            tensors[f"{key}.lora_down.weight"] = torch.randn(2, columns, generator=generator) / columns**0.5
            tensors[f"{key}.lora_up.weight"] = torch.randn(rows, 2, generator=generator) / 2**0.5
            tensors[f"{key}.alpha"] = torch.tensor(2.0)
    save_file(tensors, file)
    return file


def test_a_lora_and_an_image_prompt_are_those_of_diffusers(tmp_path: Path) -> None:
    folder = save_pipeline_folder(tmp_path / "sd1")
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    lora, tensors = save_lora(tmp_path / "fur.safetensors", unet), adapter_tensors(unet)
    parts: dict[str, Any] = {
        "ip_adapter": save_adapter(tmp_path / "ip.safetensors", tensors),
        "image_encoder": save_encoder(tmp_path / "e"),
    }
    peer = open_peer("StableDiffusionPipeline", folder, safety_checker=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.load_lora_weights(lora.parent, weight_name=lora.name)
        # as diffusers asks for before adapters change the attentions
        peer.fuse_lora(lora_scale=0.8)
        peer.unload_lora_weights()
        peer.register_modules(image_encoder=random_encoder())
        peer.load_ip_adapter([nested(tensors)], subfolder=[""], weight_name=[""], low_cpu_mem_usage=False)
    want = peer_picture(peer, negative_prompt=NEGATIVE, ip_adapter_image=picture(1), **QUICK, **SIZE)
    for backend in ("numpy", "torch"):
        with sdrt.load(folder, backend, threads=1, lora_dir=tmp_path, **parts) as pipe:
            assert psnr(picture_of(pipe, f"{PROMPT}<lora:fur:0.8>", ip_adapter_image=picture(1)), want) >= 60
            assert psnr(picture_of(pipe, ip_adapter_image=picture(1)), want) < 40
            assert psnr(picture_of(pipe, f"{PROMPT}<lora:fur:0.8>", ip_adapter_image=picture(1), ip_adapter_scale=0.0), want) < 40


@pytest.mark.parametrize("backend", ["numpy", pytest.param("torch", marks=pytest.mark.slow)])
def test_a_refiner_reads_the_prompt_as_it_is_by_then(tmp_path: Path, backend: str) -> None:
    """Of diffusers' two pipelines each is given the text of its steps."""
    folder, refiner = save_pipeline_folder(tmp_path / "sdxl", "sdxl"), save_refiner_folder(tmp_path / "refiner")
    config, steps = scheduler("euler"), {"num_inference_steps": 4}
    base, second = open_peer("StableDiffusionXLPipeline", folder), open_peer("StableDiffusionXLImg2ImgPipeline", refiner)
    common: dict[str, Any] = {"negative_prompt": NEGATIVE, "generator": torch.Generator().manual_seed(93), **QUICK} | steps
    # long, and from the second step on: a random network heeds a text little
    red, blue = "red circle", "blue square with yellow stars and a green ring above"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for peer in (base, second):
            peer.scheduler = diffusers.EulerDiscreteScheduler.from_config(config)
        latents = base(f"a {red}", denoising_end=0.25, output_type="latent", **SIZE, **common).images
        own = {"original_size": (64, 48), "target_size": (64, 48)}
        [image] = second(f"a {blue}", image=latents, denoising_start=0.25, **own, **common).images
    with sdrt.load(folder, backend, refiner=refiner, threads=1) as pipe:
        options: dict[str, Any] = {"scheduler": config, "refiner_start": 0.25, **steps}
        assert psnr(picture_of(pipe, f"a [{red}:{blue}:0.25]", **options), np.asarray(image)) >= 60
        # the last changes a step later
        for other in (f"a {red}", f"a {blue}", f"a [{red}:{blue}:0.5]"):
            assert psnr(picture_of(pipe, other, **options), np.asarray(image)) < 40, other
