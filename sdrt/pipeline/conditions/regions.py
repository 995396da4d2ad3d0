"""Regions of a picture with prompts of their own: what a call says of them, and the share that each prompt has of every latent.

With m_k the masks, from 0 to 1, and w_k the weights, a region's share is m_k w_k / (m + sum m_j w_j), and the prompt's m over the same,
where m = max(0, 1 - sum m_j) is what the masks leave. Where masks overlap, or are grey, the weights decide.

Source: ComfyUI 0.3.64 ``comfy/samplers.py::_calc_cond_batch``, which divides by the sum of masks times strengths; there a prompt without a
mask counts everywhere, here where the masks leave room.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from sdrt.arrays import F32
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import Functions
from sdrt.images.inputs import Picture, digest, to_soft_mask
from sdrt.images.masks import to_latent_mask
from sdrt.pipeline.conditions.each import for_each
from sdrt.pipeline.conditions.source_choice import pictures_of
from sdrt.pipeline.options import GenerateOptions

__all__ = ["RegionChoice", "choose_regions", "record_regions", "region_shares"]


@dataclass(frozen=True, eq=False, kw_only=True)
class RegionChoice:
    """One region.

    Parameters
    ----------
    prompt : str
    mask : Picture
        White where the prompt counts.
    weight : float, above 0
    """

    prompt: str
    mask: Picture
    weight: float


def choose_regions(options: GenerateOptions) -> tuple[RegionChoice, ...]:
    """Read the options of regions.

    Raises
    ------
    ConfigError : another number of prompts, masks or weights
    """
    given: Any = options.get("region_prompt")
    prompts = [given] if isinstance(given, str) else list(given or ())
    masks = pictures_of(options.get("region_mask"))
    if len(prompts) != len(masks):
        raise ConfigError(
            f"region_prompt and region_mask must be one each for every region, got {len(prompts)} and {len(masks)}; "
            "pass a prompt and a mask for each"
        )
    weights = for_each("region_weight", options.get("region_weight"), 1.0, len(prompts), "regions")
    if options.get("region_weight") is not None and not prompts:
        raise ConfigError("region_weight must come with region_prompt and region_mask, got it without; leave it out")
    return tuple(
        RegionChoice(prompt=prompt, mask=mask, weight=float(weight)) for prompt, mask, weight in zip(prompts, masks, weights, strict=True)
    )


def record_regions(choices: Sequence[RegionChoice]) -> dict[str, Any]:
    """Return the choices as values of JSON, masks by their digest; weights where one is not 1."""
    if not choices:
        return {}
    values: dict[str, Any] = {
        "region_prompt": [choice.prompt for choice in choices],
        "region_mask": [digest("region_mask", choice.mask) for choice in choices],
    }
    weights = [choice.weight for choice in choices]
    return values if set(weights) == {1.0} else values | {"region_weight": weights}


def region_shares(choices: Sequence[RegionChoice], height: int, width: int, pixels: int, functions: Functions) -> F32 | None:
    """Return the share of the prompt, then of each region, of every latent.

    Parameters
    ----------
    choices : sequence of RegionChoice
    height, width : int (pixels)
        Of the run; masks of another size are stretched.
    pixels : int
        The side of a latent in pixels, which has the mean of its pixels.
    functions : Functions
        That means are computed with.

    Returns
    -------
    f32[1 + regions,1,1,h,w], 1 together; None without regions

    Raises
    ------
    ImageError : a mask that is no picture
    """
    if not choices:
        return None
    masks = [to_latent_mask(to_soft_mask("region_mask", choice.mask, height, width), pixels, "area", functions) for choice in choices]
    left: F32 = np.maximum(np.float32(1) - _summed(masks), np.float32(0))
    shares: list[F32] = [left, *(mask * np.float32(choice.weight) for mask, choice in zip(masks, choices, strict=True))]
    divided: F32 = np.stack(shares) / _summed(shares)
    return divided


def _summed(arrays: Sequence[F32]) -> F32:
    # one after the other, on every machine
    return reduce(np.add, arrays)
