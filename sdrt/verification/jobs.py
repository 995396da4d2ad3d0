"""The pictures by which a machine is checked: every job that the embedded models can do, small and of few steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdrt.arrays import U8

__all__ = ["JOBS", "PICTURE_JOBS", "Job", "sampler_jobs"]

_PROMPT, _NEGATIVE = "a red circle on a blue background", "a blurry circle"
_LONG = "a small yellow star above a large green square, " * 9
_WEIGHTED = "a red (circle:1.7) [square] BREAK on a (blue) background"

# Steps of every job: a second-order sampler has left its first-order start after two, and the last is special.
_STEPS = 4


@dataclass(frozen=True, kw_only=True)
class Job:
    """One call of an exact pipeline.

    Parameters
    ----------
    name : str
    prompt, negative_prompt : str
    load : mapping
        Arguments of `sdrt.load` besides the numerics.
    options : callable
        Returns options of ``generate``: made when the job runs, since pictures are among them.
    """

    name: str
    prompt: str = _PROMPT
    negative_prompt: str = _NEGATIVE
    load: Mapping[str, Any] = field(default_factory=lambda: {"model": "nano"})
    options: Callable[[], dict[str, Any]] = dict

    def all_options(self) -> dict[str, Any]:
        """Return its options with those that all jobs share."""
        return {"seed": 93, "num_inference_steps": _STEPS, **self.options()}


def picture(height: int = 128, width: int = 128) -> U8:
    """Return a picture of integers alone, u8[H,W,3]: slanting bands, and a bright disc."""
    y, x = np.mgrid[:height, :width]
    red, green, blue = (3 * x + y) % 256, (x * y // 16) % 256, (255 - 2 * y) % 256
    disc = (x - width // 2) ** 2 + (y - height // 2) ** 2 < (height // 4) ** 2
    return np.stack([np.where(disc, 250, channel) for channel in (red, green, blue)], axis=-1).astype(np.uint8)


def mask(height: int = 128, width: int = 128) -> U8:
    """Return a mask, u8[H,W]: white to the right, and grey in between."""
    columns = np.clip((np.arange(width) - width // 3) * 8, 0, 255)
    return np.broadcast_to(columns, (height, width)).astype(np.uint8)


def _with(**options: Any) -> Callable[[], dict[str, Any]]:
    return lambda: options


_EDGES: Mapping[str, Any] = {"model": "nano", "controlnet": "nano-edges"}

PICTURE_JOBS: tuple[Job, ...] = (
    Job(name="text to image"),
    Job(name="three images", options=_with(num_images=3)),
    Job(name="no guidance", negative_prompt="", options=_with(guidance_scale=1.0)),
    Job(name="guidance rescale", options=_with(guidance_rescale=0.7)),
    Job(name="another size", options=_with(height=96, width=160)),
    Job(name="weighted prompt", prompt=_WEIGHTED),
    Job(name="long prompt", prompt=_LONG),
    Job(name="clip skip", options=_with(clip_skip=1)),
    Job(name="variation", options=_with(subseed=7, subseed_strength=0.3)),
    Job(name="second stream", options=_with(scheduler="euler a", sampler_rng="nv", sampler_seed=5)),
    Job(name="Brownian path", options=_with(scheduler="dpm++ sde")),
    Job(name="image to image", options=lambda: {"image": picture(), "strength": 0.6}),
    Job(name="map of strengths", options=lambda: {"image": picture(), "mask_image": mask(), "mask_mode": "strength", "strength": 0.8}),
    Job(name="in-painting", options=lambda: {"image": picture(), "mask_image": mask(), "mask_blur": 3.0}),
    Job(
        name="in-painting model",
        load={"model": "nano-inpaint"},
        options=lambda: {"image": picture(), "mask_image": mask()},
    ),
    Job(name="ControlNet", load=_EDGES, options=lambda: {"control_image": picture(), "control_preprocessor": "canny"}),
    Job(
        name="ControlNet, guess mode",
        load=_EDGES,
        options=lambda: {"control_image": picture(), "control_preprocessor": "soft_edges", "guess_mode": True},
    ),
    Job(name="LoRA", load={"model": "nano", "loras": ["nano-outline"]}),
    Job(name="tiles", load={"model": "nano", "vae_tiling": True}, options=_with(height=192, width=192)),
)


def sampler_jobs() -> tuple[Job, ...]:
    """Return a picture by every named scheduler that fits the embedded model."""
    from sdrt.schedulers import names

    # a flow's is for models that were trained on one
    return tuple(Job(name=f"scheduler {row.name}", options=_with(scheduler=row.name)) for row in names() if "flow" not in row.name)


JOBS = PICTURE_JOBS
