"""diffusers' own pipelines over the modules that Apple's packages are made from."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from PIL import Image
from transformers import CLIPTokenizer

from sdrt.models.families import SD1, SD2, SDXL
from tests.backends.coreml.apples_folders import Line, Source, write_vocabulary

__all__ = ["diffusers_picture"]

_RELEASES = {"sd1": SD1, "sd2": SD2, "sdxl": SDXL}


def diffusers_picture(
    source: Source,
    prompt: str,
    negative: str,
    latents: np.ndarray,
    *,
    num_inference_steps: int,
    guidance_scale: float,
    refined_from: int | None = None,
    control: np.ndarray | None = None,
) -> np.ndarray:
    """Draw a picture u8[H,W,3] by diffusers' pipeline of a model, with the scheduler and the padding that it was published with.

    Parameters
    ----------
    source : Source
    prompt, negative : str
    latents : f32[1,4,h,w]
    num_inference_steps, guidance_scale
    refined_from : int or None
        The call from which XL's refiner takes the place of the U-Net.
    control : u8[H,W,3] or None
        The picture for the ControlNet.
    """
    parts = source.parts
    modules: dict[str, Any] = {name: parts[name] for name in ("unet", "vae", "text_encoder", "text_encoder_2") if name in parts}
    modules["tokenizer"] = _tokenizer("!" if source.line == "sd2" else "<|endoftext|>")
    modules["scheduler"] = _scheduler(source.line)
    options: dict[str, Any] = {"latents": torch.from_numpy(latents), "height": 8 * source.side, "width": 8 * source.side}
    kind: Any = StableDiffusionXLPipeline
    if source.line == "sdxl":
        modules["tokenizer_2"] = _tokenizer("!")
    else:
        kind = StableDiffusionPipeline if control is None else StableDiffusionControlNetPipeline
        modules |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    if control is not None:
        modules["controlnet"], options["image"] = parts["controlnet"], Image.fromarray(control)
    pipe = kind(**modules)
    pipe.set_progress_bar_config(disable=True)
    own = parts["unet"].forward
    try:
        if refined_from is not None:
            parts["unet"].forward = _refined(source, refined_from)
        options |= {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, of an array of a tensor
            found: np.ndarray = np.asarray(pipe(prompt, negative_prompt=negative, **options).images[0])
    finally:
        parts["unet"].forward = own
    return found


def _refined(source: Source, first: int) -> Callable[..., Any]:
    """Return the U-Net's forward that is the refiner's from a call on: the second encoder's states, a score for the target's size."""
    base, refiner, calls = source.parts["unet"].forward, source.parts["refiner"], iter(range(1000))
    width = source.parts["text_encoder"].config.hidden_size

    def forward(sample: Any, timestep: Any, *, encoder_hidden_states: Any, added_cond_kwargs: Any, **rest: Any) -> Any:
        if next(calls) < first:
            return base(sample, timestep, encoder_hidden_states=encoder_hidden_states, added_cond_kwargs=added_cond_kwargs, **rest)
        scores = torch.tensor([[2.5], [6.0]])
        added = {**added_cond_kwargs, "time_ids": torch.cat([added_cond_kwargs["time_ids"][:, :4], scores], dim=1)}
        return refiner(sample, timestep, encoder_hidden_states=encoder_hidden_states[..., width:], added_cond_kwargs=added, **rest)

    return forward


def _scheduler(line: Line) -> Any:
    import diffusers

    config = _RELEASES[line].scheduler
    return getattr(diffusers, config["_class_name"]).from_config(dict(config))


def _tokenizer(pad: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        write_vocabulary(Path(folder))
        return CLIPTokenizer.from_pretrained(folder, model_max_length=77, pad_token=pad)
