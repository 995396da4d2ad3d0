"""A run that starts from the latents of a picture, against diffusers' image-to-image pipelines: the same seed gives the same image."""

import warnings
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import sdrt
from tests.factories import Form, normal, save_pipeline_folder
from tests.pictures import psnr

PROMPT, NEGATIVE = "a red circle on a blue background", "a blurry circle"
CLEAN = normal(5, 1, 4, 8, 6)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Form, Path]:
    root = tmp_path_factory.mktemp("models")
    forms: tuple[Form, ...] = ("sd1", "lcm")
    return {form: save_pipeline_folder(root / form, form) for form in forms}


def drawn_from(pipe: sdrt.Pipeline, strength: float, **options: Any) -> np.ndarray:
    [image] = pipe.generate(PROMPT, NEGATIVE, seed=93, image_latents=CLEAN, strength=strength, **options).images
    return np.asarray(image)


def peer_picture(kind: str, folder: Path, scheduler: dict[str, Any], **options: Any) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        more: dict[str, Any] = {} if kind.startswith("Latent") else {"safety_checker": None}
        peer = getattr(diffusers, kind).from_pretrained(folder, **more)
        peer.scheduler = getattr(diffusers, scheduler["_class_name"]).from_config(scheduler)
        peer.set_progress_bar_config(disable=True)
        [image] = peer(PROMPT, image=torch.from_numpy(CLEAN), generator=torch.Generator().manual_seed(93), **options).images
    return np.asarray(image)


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler"])
@pytest.mark.parametrize("strength", [0.3, 0.8])
def test_a_run_from_latents_equals_diffusers(folders: dict[Form, Path], name: str, strength: float) -> None:
    pipe = sdrt.load(folders["sd1"])
    options: dict[str, Any] = {"num_inference_steps": 6, "guidance_scale": 5.0}
    scheduler = {**pipe.model.scheduler_config, "_class_name": name, "timestep_spacing": "leading"}
    want = peer_picture("StableDiffusionImg2ImgPipeline", folders["sd1"], scheduler, strength=strength, negative_prompt=NEGATIVE, **options)
    got = drawn_from(pipe, strength, scheduler=scheduler, **options)
    assert psnr(got, want) >= 60
    assert (
        psnr(got, np.asarray(pipe.generate(PROMPT, NEGATIVE, seed=93, height=64, width=48, scheduler=scheduler, **options).images[0])) < 40
    )


@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_a_run_of_a_distilled_model_from_latents_equals_diffusers(folders: dict[Form, Path], strength: float) -> None:
    pipe = sdrt.load(folders["lcm"])
    scheduler = {**pipe.model.scheduler_config, "_class_name": "LCMScheduler"}
    options: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 8.0}
    want = peer_picture("LatentConsistencyModelImg2ImgPipeline", folders["lcm"], scheduler, strength=strength, **options)
    assert psnr(drawn_from(pipe, strength, scheduler=scheduler, **options), want) >= 60
