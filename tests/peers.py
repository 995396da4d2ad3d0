"""diffusers' pipelines on the models of `tests.factories`, and the pictures that both sides are given."""

import warnings
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

__all__ = ["NEGATIVE", "PROMPT", "mask", "open_peer", "peer_picture", "picture"]

PROMPT, NEGATIVE = "a red circle on a blue background", "a blurry circle"


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
