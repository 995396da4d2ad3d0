"""Every kind of job is compared call by call, and recordings of diffusers as well."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image

import sdrt
from sdrt.compare import compare, record_diffusers
from tests.factories import Form, save_controlnet_folder, save_pipeline_folder, save_refiner_folder, save_t2i_adapter_folder
from tests.image_prompts import adapter_tensors, save_adapter, save_encoder

CALL: dict[str, Any] = {"seed": 5, "num_inference_steps": 2, "height": 64, "width": 64}
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
MASK = Image.fromarray(np.where(np.arange(64)[:, None] * np.ones(64) > 30, 255, 90).astype(np.uint8))

JOBS: list[tuple[str, Form, dict[str, Any], set[str]]] = [
    ("soft in-painting", "sd1", {"image": PICTURE, "mask_image": MASK, "mask_mode": "soft"}, {"vae_encoder"}),
    ("controlnet", "sd1", {"control_image": PICTURE}, {"controlnet.0"}),
    ("adapter", "sd1", {"adapter_image": PICTURE, "adapter_conditioning_factor": 0.5}, {"t2i_adapter.0"}),
    ("image prompt", "sd1", {"ip_adapter_image": [[PICTURE, PICTURE]]}, {"image_encoder", "image_projection.0"}),
    ("refiner", "sdxl", {}, {"text_encoder_2", "refiner.text_encoder_2", "refiner.unet"}),
    ("clip_skip", "sd1", {"clip_skip": 1, "compat": "diffusers", "guidance_batching": "sequential"}, set()),
    ("two calls a step", "sd1", {"scheduler": "heun", "num_images": 2}, set()),
]


@pytest.mark.parametrize(("job", "form", "options", "components"), JOBS, ids=[each[0] for each in JOBS])
def test_a_job_is_compared_call_by_call(tmp_path: Path, job: str, form: Form, options: dict[str, Any], components: set[str]) -> None:
    folder, load = save_pipeline_folder(tmp_path / "model", form), dict[str, Any]()
    if job == "controlnet":
        load["controlnet"] = save_controlnet_folder(tmp_path / "controlnet")
    if job == "adapter":
        load["t2i_adapter"] = save_t2i_adapter_folder(tmp_path / "adapter", "full")
    if job == "image prompt":
        unet = UNet2DConditionModel.from_pretrained(folder / "unet")
        load["ip_adapter"] = save_adapter(tmp_path / "ip-adapter.safetensors", adapter_tensors(unet, "plus"))
        load["image_encoder"] = save_encoder(tmp_path / "encoder")
    if job == "refiner":
        load["refiner"] = save_refiner_folder(tmp_path / "refiner")
    with sdrt.load(folder, "numpy", **load) as first, sdrt.load(folder, "torch", **load) as second:
        found = compare(first, second, "a red circle", teacher_forced=True, **CALL, **options)
        assert found.first_departure is None
        assert {row.component for row in found.networks} == {"text_encoder", "unet", "scheduler", "vae_decoder"} | components
        # the same program on the same numbers, though what is kept of a picture was put back in between
        assert all(row.difference.equal for row in found.networks if row.component == "scheduler")
        assert 0 < max(row.difference.relative for row in found.networks) < 1e-4
        if job == "soft in-painting":
            assert compare(first, first, "a red circle", teacher_forced=True, **CALL, **options).equal


def test_diffusers_itself_is_a_side(tmp_path: Path) -> None:
    """It encodes prompt and negative prompt in a call each: rows are compared with those of the same tokens."""
    folder = save_pipeline_folder(tmp_path / "model")
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    with record_diffusers(pipeline, tmp_path / "diffusers.sdrt"):
        pipeline("a red circle", num_inference_steps=2, height=64, width=64, generator=torch.Generator().manual_seed(7))
    with sdrt.load(folder, "numpy") as pipe:
        for found in (
            compare(tmp_path / "diffusers.sdrt", pipe, teacher_forced=True, truth=True),
            compare(pipe, tmp_path / "diffusers.sdrt"),
        ):
            assert found.first_departure is None
            assert 40 < found.psnr < np.inf
            assert {row.component for row in found.networks} >= {"text_encoder", "unet", "vae_decoder"}
            assert all(row.error == 0 for row in found.inputs)
        assert "diffusers" in {found.a.backend, found.b.backend}
