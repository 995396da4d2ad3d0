"""Whole pictures against diffusers' StableDiffusionPipeline: the same folder, the same seed, stream `torch`."""

import warnings
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

import sdrt
from tests.factories import save_pipeline_folder
from tests.pictures import psnr

PROMPT, NEGATIVE = "a red circle on a blue background", "a blurry circle"

SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "pndm runge-kutta": ("PNDMScheduler", {"skip_prk_steps": False}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler karras trailing": ("EulerDiscreteScheduler", {"use_karras_sigmas": True, "timestep_spacing": "trailing"}),
    "euler ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "dpm++ order 1": ("DPMSolverMultistepScheduler", {"solver_order": 1}),
    "dpm++ order 2": ("DPMSolverMultistepScheduler", {}),
    "dpm++ order 3": ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    "dpm++ karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "dpm++ sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpm++ singlestep": ("DPMSolverSinglestepScheduler", {}),
    "dpm sde": ("DPMSolverSDEScheduler", {"noise_sampler_seed": 7}),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}),
    "deis": ("DEISMultistepScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "sa-solver": ("SASolverScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpm2": ("KDPM2DiscreteScheduler", {}),
    "dpm2 ancestral": ("KDPM2AncestralDiscreteScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
}


@pytest.fixture(scope="module", params=[("sd1", "numpy"), ("sd2", "numpy"), ("sd1", "torch"), ("sd2", "torch")], ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[sdrt.Pipeline, Any]:
    form, backend = request.param
    folder = save_pipeline_folder(tmp_path_factory.mktemp("parity") / form, form)
    return sdrt.load(folder, backend), peer_of(folder)


def peer_of(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    peer.set_progress_bar_config(disable=True)
    return peer


def peer_picture(peer: Any, config: dict[str, Any], seed: int, **settings: Any) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.scheduler = getattr(diffusers, config["_class_name"]).from_config(config)
        [image] = peer(PROMPT, negative_prompt=NEGATIVE, generator=torch.Generator().manual_seed(seed), **settings).images
    return np.asarray(image)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_picture_equals_diffusers(pair: tuple[sdrt.Pipeline, Any], name: str) -> None:
    pipe, peer = pair
    class_name, change = SCHEDULERS[name]
    config = {**pipe.model.scheduler_config, "_class_name": class_name, **change}
    if class_name == "PNDMScheduler":
        config["set_alpha_to_one"] = False
    if class_name in ("HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "SASolverScheduler"):
        config["clip_sample"] = False
    # a sampler whose default departs from diffusers is compared where it does not
    departs = class_name in ("DDPMScheduler", "LMSDiscreteScheduler", "DEISMultistepScheduler") or name == "euler karras trailing"
    compat: Any = "diffusers" if departs else None
    settings: dict[str, Any] = {"num_inference_steps": 8, "guidance_scale": 5.0, "height": 64, "width": 48}
    want = peer_picture(peer, config, 93, **settings)
    own: dict[str, Any] = {"eta": 0.0} if class_name == "TCDScheduler" else {}  # which diffusers' pipeline tells every scheduler
    [got] = pipe.generate(PROMPT, NEGATIVE, seed=93, scheduler=config, compat=compat, **settings, **own).images
    assert want.std() > 10
    assert psnr(np.asarray(got), want) >= 60


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0, 7.5])
def test_guidance_equals_diffusers(pair: tuple[sdrt.Pipeline, Any], guidance_scale: float) -> None:
    pipe, peer = pair
    settings: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": guidance_scale}
    want = peer_picture(peer, dict(pipe.model.scheduler_config), 5, **settings)
    [got] = pipe.generate(PROMPT, NEGATIVE, seed=5, **settings).images
    assert psnr(np.asarray(got), want) >= 60


def test_guidance_rescale_and_eta_equal_diffusers(pair: tuple[sdrt.Pipeline, Any]) -> None:
    pipe, peer = pair
    settings: dict[str, Any] = {"num_inference_steps": 5, "guidance_scale": 7.5, "guidance_rescale": 0.7, "eta": 0.6}
    want = peer_picture(peer, dict(pipe.model.scheduler_config), 5, **settings)
    [got] = pipe.generate(PROMPT, NEGATIVE, seed=5, **settings).images
    assert psnr(np.asarray(got), want) >= 60


def test_a_batch_of_four_equals_diffusers(pair: tuple[sdrt.Pipeline, Any]) -> None:
    """With a generator for each image, as each has a stream of its own here."""
    pipe, peer = pair
    settings: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 5.0, "height": 48, "width": 80}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.scheduler = diffusers.EulerAncestralDiscreteScheduler.from_config(dict(pipe.model.scheduler_config))
        generators = [torch.Generator().manual_seed(93 + k) for k in range(4)]
        want = peer(PROMPT, negative_prompt=NEGATIVE, generator=generators, num_images_per_prompt=4, **settings).images
    got = pipe.generate(PROMPT, NEGATIVE, seed=93, num_images=4, scheduler="euler a", **settings).images
    assert min(psnr(np.asarray(a), np.asarray(b)) for a, b in zip(got, want, strict=True)) >= 60


def test_lists_of_prompts_and_seeds_equal_diffusers(pair: tuple[sdrt.Pipeline, Any]) -> None:
    """Diffusers takes lists of prompts, of negative prompts and of generators."""
    pipe, peer = pair
    prompts, negatives, seeds = [PROMPT, "a blue square"], [NEGATIVE, ""], [7, 3]
    settings: dict[str, Any] = {"num_inference_steps": 6, "guidance_scale": 5.0, "height": 64, "width": 48}
    drawn = pipe.generate(prompts, negatives, seed=seeds, scheduler="euler a", **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.scheduler = diffusers.EulerAncestralDiscreteScheduler.from_config(drawn.settings.scheduler_config)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        expected = peer(prompts, negative_prompt=negatives, generator=generators, **settings).images
    for image, theirs in zip(drawn.images, expected, strict=True):
        assert psnr(np.asarray(image), np.asarray(theirs)) >= 60
    other = pipe.generate(prompts[::-1], negatives, seed=seeds, scheduler="euler a", **settings)
    assert all(psnr(np.asarray(one), np.asarray(two)) < 40 for one, two in zip(drawn.images, other.images, strict=True))


def test_prompts_move_these_pictures(pair: tuple[sdrt.Pipeline, Any]) -> None:
    """Without this, a pipeline that ignores its conditions would pass."""
    pipe, _ = pair
    settings: dict[str, Any] = {"seed": 93, "num_inference_steps": 8, "guidance_scale": 5.0}
    [plain] = pipe.generate(PROMPT, NEGATIVE, **settings).images
    for prompt, negative in ((NEGATIVE, NEGATIVE), (PROMPT, "")):
        [other] = pipe.generate(prompt, negative, **settings).images
        assert psnr(np.asarray(plain), np.asarray(other)) < 40


@pytest.mark.parametrize(("scheduler", "steps"), [("dpm++ 2m", 20), ("pndm", 10), ("euler a", 10), ("ddim", 10), ("euler", 10)])
def test_the_embedded_model_equals_diffusers(scheduler: str, steps: int) -> None:
    pipe = sdrt.load("nano")
    peer = peer_of(pipe.model.path)
    sampler = sdrt.schedulers.sampler_from_name(scheduler, pipe.model.scheduler_config)
    settings: dict[str, Any] = {"num_inference_steps": steps, "guidance_scale": 3.0, "height": 128, "width": 128}
    want = peer_picture(peer, {"_class_name": sampler.name, **sampler.config}, 93, **settings)
    [got] = pipe.generate(PROMPT, NEGATIVE, seed=93, scheduler=scheduler, **settings).images
    assert psnr(np.asarray(got), want) >= 60
