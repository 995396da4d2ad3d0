"""diffusers' pipelines on the models of `tests.factories`: the pictures that both sides are given, and the calls that both make."""

import inspect
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

import sdrt

__all__ = ["NEGATIVE", "PROMPT", "SCHEDULERS", "drawn", "mask", "open_peer", "peer_drawn", "peer_picture", "picture", "scheduler"]

PROMPT, NEGATIVE = "a red circle on a blue background", "a blurry circle"

# By name: the class, the keys that change its defaults, and whether its run from a picture is one that sdrt makes with compat alone.
SCHEDULERS: Mapping[str, tuple[str, Mapping[str, Any], bool]] = {
    "ddim": ("DDIMScheduler", {}, False),
    "ddpm": ("DDPMScheduler", {}, True),
    "deis": ("DEISMultistepScheduler", {}, False),
    "dpm++ 2m": ("DPMSolverMultistepScheduler", {}, False),
    "dpm++ 2m karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, False),
    "dpm++ 2m sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, False),
    "dpm++ 2s": ("DPMSolverSinglestepScheduler", {"lower_order_final": True}, False),
    "dpm2": ("KDPM2DiscreteScheduler", {}, True),
    "dpm2 a": ("KDPM2AncestralDiscreteScheduler", {}, True),
    "euler": ("EulerDiscreteScheduler", {}, False),
    "euler a": ("EulerAncestralDiscreteScheduler", {}, False),
    "heun": ("HeunDiscreteScheduler", {}, False),
    "lcm": ("LCMScheduler", {}, True),
    "lms": ("LMSDiscreteScheduler", {}, True),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}, True),
    "sa-solver": ("SASolverScheduler", {}, False),
    "tcd": ("TCDScheduler", {}, True),
    "unipc": ("UniPCMultistepScheduler", {}, False),
}


def scheduler(name: str) -> dict[str, Any]:
    """A whole configuration on Stable Diffusion's noise schedule."""
    class_name, change, _ = SCHEDULERS[name]
    schedule: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    schedule |= {"clip_sample": False, "set_alpha_to_one": False, **change}
    known = inspect.signature(getattr(diffusers, class_name)).parameters
    return {"_class_name": class_name, **{key: value for key, value in schedule.items() if key in known}}


def picture(seed: int, width: int = 48, height: int = 64) -> Image.Image:
    """Coarse random colours."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 6, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)


def mask(width: int = 48, height: int = 64) -> Image.Image:
    """The right half."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[:, width // 2 :] = 255
    return Image.fromarray(pixels)


def open_peer(kind: str, folder: Path, **parts: Any) -> Any:
    """Open a pipeline of diffusers, without its progress bar."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = getattr(diffusers, kind).from_pretrained(folder, **parts)
    peer.set_progress_bar_config(disable=True)
    return peer


def peer_picture(peer: Any, seed: int = 93, scheduler: dict[str, Any] | None = None, **settings: Any) -> np.ndarray:
    """Draw one picture of the prompt with a pipeline of diffusers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if scheduler is not None:
            peer.scheduler = getattr(diffusers, scheduler["_class_name"]).from_config(scheduler)
        [image] = peer(PROMPT, generator=torch.Generator().manual_seed(seed), **settings).images
    return np.asarray(image)


def peer_drawn(peer: Any, generator: Any = None, config: Mapping[str, Any] | None = None, **options: Any) -> tuple[list[Any], int]:
    """The pictures of a call, as arrays, and how often the U-Net was called."""
    calls = []
    hook = peer.unet.register_forward_hook(lambda *_: calls.append(1))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if config is not None:
                peer.scheduler = getattr(diffusers, config["_class_name"]).from_config(dict(config))
            generator = torch.Generator().manual_seed(93) if generator is None else generator
            images = peer(options.pop("prompt", PROMPT), generator=generator, **options).images
    finally:
        hook.remove()
    return [np.asarray(image) for image in images], len(calls)


def drawn(pipe: sdrt.Pipeline, negative: str = NEGATIVE, **options: Any) -> tuple[list[Any], int]:
    """The same of sdrt."""
    steps = pipe.steps(PROMPT, negative, **({"seed": 93} | options))
    calls = sum(1 for _ in steps)
    images: Sequence[Any] = steps.result().images
    return [np.asarray(image) for image in images], calls
