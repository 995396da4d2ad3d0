"""Everything that decides what a picture looks like, in one frozen record."""

import math
import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sdrt.errors import ConfigError

__all__ = ["Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one call of ``generate``, every default filled in: the same settings on the same model give the same pictures.

    Parameters
    ----------
    prompt, negative_prompt : str
    seed : int
        Of the first image; image k has ``seed + k``.
    num_images : int, at least 1
    num_inference_steps : int, at least 1
    guidance_scale : float
        1 or less: no guidance.
    guidance_rescale : float in [0, 1]
    guidance_batching : "batched" or "sequential"
        Whether the U-Net's rows went through it together or one after the other.
    eta : float, at least 0
        DDIM's share of fresh noise.
    height, width : int (pixels)
    conditions : mapping
        What else the networks were told: pictures by the SHA-256 of their pixels, ControlNets' strengths, SDXL's sizes, where its refiner
        took over.
    scheduler : str
        The name that was asked for, or the class of the configuration.
    scheduler_config : mapping
        Every setting of the scheduler in diffusers' keys.
    compat : "diffusers", "apple" or None
        Whose defects the scheduler reproduces.
    rng : str
        The noise stream.
    sampler_rng : str or None
        The stream of the scheduler's fresh noise; None: the image's own goes on.
    sampler_seed : int or None
        The seed of that stream; None: ``seed``.
    shared_streams : mapping
        Where a stream stood from which all images of the call drew, by the option that handed it over; empty: each image has its own.
    prompt_syntax : "weighted" or "plain"
        Whether brackets and ``BREAK`` in a prompt are syntax or text.
    long_prompts : "chunk" or "truncate"
    emphasis : "original" or "no_norm"
        How weights of words are applied.
    clip_skip : int, at least 0
        Last layers of the text encoder that are left out.
    embeddings : mapping
        Tokens of textual inversion, with the SHA-256 of each file.
    model : str
    backend : mapping
        Which backend runs each component.
    numerics : "float32" or "float64"
    version : str
        Of sdrt.
    remarks : mapping
        What a backend of fixed networks (Core ML) was told and does to its inputs, and what its model's folder did not say and was
        assumed; empty with others.
    """

    prompt: str
    negative_prompt: str
    seed: int
    num_images: int
    num_inference_steps: int
    guidance_scale: float
    guidance_rescale: float
    guidance_batching: str
    eta: float
    height: int
    width: int
    conditions: Mapping[str, Any]
    scheduler: str
    scheduler_config: Mapping[str, Any]
    compat: str | None
    rng: str
    sampler_rng: str | None
    sampler_seed: int | None
    shared_streams: Mapping[str, Any]
    prompt_syntax: str
    long_prompts: str
    emphasis: str
    clip_skip: int
    embeddings: Mapping[str, str]
    model: str
    backend: Mapping[str, str]
    numerics: str
    version: str
    remarks: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, minimum in (
            ("seed", -math.inf),
            ("num_images", 1),
            ("num_inference_steps", 1),
            ("height", 1),
            ("width", 1),
            ("clip_skip", 0),
        ):
            value = _whole(getattr(self, name))
            if value is None or value < minimum:
                span = f" of at least {minimum}" if math.isfinite(minimum) else ""
                raise ConfigError(f"{name} is a whole number{span}; got {getattr(self, name)!r}")
            object.__setattr__(self, name, value)
        if self.guidance_batching not in ("batched", "sequential"):
            raise ConfigError(f"guidance_batching must be 'batched' or 'sequential', got {self.guidance_batching!r}")
        if self.sampler_seed is not None and _whole(self.sampler_seed) is None:
            raise ConfigError(f"sampler_seed is a whole number, or None for the image's own; got {self.sampler_seed!r}")
        for name, low, high in (("guidance_scale", -math.inf, math.inf), ("guidance_rescale", 0.0, 1.0), ("eta", 0.0, math.inf)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
                span = f" in [{low:g}, {high:g}]" if math.isfinite(high) else f" of at least {low:g}" if math.isfinite(low) else ""
                raise ConfigError(f"{name} is a finite number{span}; got {value!r}")

    def to_dict(self) -> dict[str, Any]:
        """The settings as values of strict JSON. It has no infinity: one in a scheduler's configuration becomes text that float() reads."""
        config = {key: _finite(value) for key, value in self.scheduler_config.items()}
        mappings = {"backend": dict(self.backend), "embeddings": dict(self.embeddings), "conditions": dict(self.conditions)}
        found = asdict(self) | {"scheduler_config": config} | mappings
        if not self.remarks:
            del found["remarks"]
        return found


def _finite(value: object) -> object:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _whole(value: object) -> int | None:
    """A Python int from any integer type, numpy's included; None for what is none, True and False among them."""
    try:
        return None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None
