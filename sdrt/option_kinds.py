"""What each option of a call may be: the one declaration that calls, records of pictures and the command line share.

How much of each amount is accepted is another matter, see :mod:`sdrt.limits`; what fits a model, its networks say.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sdrt.freeu import FREEU
from sdrt.guidance_options import APG_KIND, DYNAMIC_THRESHOLDING_KIND, SCALE
from sdrt.values import Anything, Choice, Either, Flag, Integer, Kind, ListOf, MappingOf, Number, RefusedError, Text

__all__ = ["COLOUR", "NUMERICS", "OPTION_KINDS", "PROMPT", "PROMPTS"]

NUMERICS = Choice("float32", "float64", "exact")


class _NoiseSource(Kind[Any]):
    """The name of a noise stream, a stream, or a stream's state; which names there are, the streams say."""

    def describe(self) -> str:
        return "the name of a noise stream, a stream or its state"

    def convert(self, value: object) -> Any:
        if isinstance(value, type) or not (isinstance(value, str | Mapping) or callable(getattr(value, "normal", None))):
            raise RefusedError
        return value


class _Colour(Kind[str]):
    """A colour by its name, by its red, green and blue as text, or as three numbers; returned as #rrggbb."""

    def describe(self) -> str:
        return "a colour: a name as in CSS, #rrggbb, or (red, green, blue)"

    def convert(self, value: object) -> str:
        from PIL.ImageColor import getrgb

        if isinstance(value, str):
            try:
                value = getrgb(str(value))
            except ValueError:
                raise RefusedError from None
        return "#{:02x}{:02x}{:02x}".format(*_CHANNELS.convert(value))


class _Latents(Kind[Any]):
    """An array of latents; of which shape, the model says."""

    def describe(self) -> str:
        return "latents, an array of floats [n,C,h,w]"

    def convert(self, value: object) -> Any:
        if not (isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim == 4 and value.size):
            raise RefusedError
        return value


class _Embeds(Kind[tuple[Any, ...]]):
    """An array of floats for each IP-Adapter, or one; of which shapes, the adapters say."""

    def describe(self) -> str:
        return "an array of floats, or a list of them"

    def convert(self, value: object) -> tuple[Any, ...]:
        arrays = tuple(value) if isinstance(value, list | tuple) else (value,)
        if not arrays or not all(isinstance(each, np.ndarray) and each.dtype.kind == "f" for each in arrays):
            raise RefusedError
        return arrays


def _one_or_each(kind: Kind[Any]) -> Kind[Any]:
    """One value for all ControlNets or T2I-Adapters, or one for each."""
    return Either(kind, ListOf(kind, minimum=1, maximum=1_000))


_CHANNELS = ListOf(Integer(minimum=0, maximum=255), minimum=3, maximum=3)
_SIZE = ListOf(Integer(minimum=0, maximum=10**9), minimum=2, maximum=2)
_EXTENT = ListOf(Integer(minimum=1, maximum=10**9), minimum=2, maximum=2)
_OFFSET = ListOf(Integer(minimum=-(10**9), maximum=10**9), minimum=2, maximum=2)
_FRACTION = Number(minimum=0, maximum=1)

_LATENTS = _Latents()
_LAYERS = Text(length=200, empty=False)

# How much an image prompt counts: a number, or some by block of the U-Net.
_BLOCK = Either(SCALE, ListOf(SCALE, 1, 100))
_COUNTS_OF_ONE = Either(SCALE, MappingOf(Either(_BLOCK, MappingOf(_BLOCK))))
_COUNTS = Either(_COUNTS_OF_ONE, ListOf(Either(_COUNTS_OF_ONE, ListOf(SCALE, 1, 1_000)), 1, 1_000))


class _Counts(Kind[Any]):
    """How much image prompts count, in words that the parts of the kind would not find."""

    def describe(self) -> str:
        return f"{SCALE.describe()}, some by block of the U-Net as {{'up': {{'block_0': 1}}}}, or a list, one for each IP-Adapter"

    def convert(self, value: object) -> Any:
        return _COUNTS.convert(value)


PROMPT = Text(length=None)
# One for all images, or one for each.
PROMPTS = Either(PROMPT, ListOf(PROMPT, minimum=1))
_SEED = Integer(minimum=-1)  # each stream has a range of its own
COLOUR = _Colour()

OPTION_KINDS: Mapping[str, Kind[Any]] = {
    "prompt_2": PROMPTS,
    "negative_prompt_2": PROMPTS,
    "seed": Either(_SEED, ListOf(_SEED, minimum=1)),
    "subseed": _SEED,
    "subseed_strength": _FRACTION,
    "seed_resize_from": _EXTENT,
    "num_images": Integer(minimum=1),
    "num_inference_steps": Integer(minimum=1),
    "guidance_scale": Number(),
    "guidance_rescale": _FRACTION,
    "guidance_batching": Choice("batched", "sequential"),
    "guidance_start": _FRACTION,
    "guidance_end": _FRACTION,
    "guidance_schedule": Either(Choice("constant", "linear", "cosine"), ListOf(SCALE, minimum=1)),
    "apg": APG_KIND,
    "dynamic_thresholding": DYNAMIC_THRESHOLDING_KIND,
    "height": Integer(minimum=1),
    "width": Integer(minimum=1),
    "scheduler": Anything(),  # schedulers read names, configurations and objects themselves
    "eta": Number(minimum=0),
    "rng": _NoiseSource(),
    "sampler_rng": _NoiseSource(),
    "sampler_seed": Integer(minimum=0),
    "prompt_syntax": Choice("full", "weighted", "plain"),
    "region_prompt": PROMPTS,
    "region_mask": Anything(),
    "region_weight": _one_or_each(Number(minimum=1e-6, maximum=1e6)),
    "long_prompts": Choice("chunk", "pad", "truncate"),
    "emphasis": Choice("original", "no_norm"),
    "clip_skip": Integer(minimum=0),
    "image": Anything(),  # sdrt.images reads pictures
    "strength": Number(minimum=0, maximum=1, above=True),
    "resize": Choice("stretch", "crop", "fit"),
    "background": COLOUR,
    "image_latents": _LATENTS,
    "latents": _LATENTS,
    "mask_image": Anything(),
    "mask_mode": Choice("binary", "soft", "strength"),
    "mask_blur": Number(minimum=0, maximum=1_000),
    "masked_content": Choice("original", "fill", "noise"),
    "only_masked": Flag(),
    "only_masked_padding": Integer(minimum=0, maximum=10**6),
    "paste": Flag(),
    "hires_scale": Number(minimum=1),
    "hires_steps": Integer(minimum=1),
    "hires_denoising": Number(minimum=0, maximum=1, above=True),
    "hires_upscaler": Anything(),  # names, files and objects, which sdrt.upscaling reads itself
    "hires_scheduler": Anything(),
    "hires_prompt": PROMPTS,
    "hires_negative_prompt": PROMPTS,
    "hires_guidance_scale": Number(),
    "control_image": Anything(),
    "controlnet_conditioning_scale": _one_or_each(Number()),
    "control_guidance_start": _one_or_each(_FRACTION),
    "control_guidance_end": _one_or_each(_FRACTION),
    "control_mode": _one_or_each(Choice("balanced", "prompt", "control")),
    "guess_mode": Flag(),
    "control_type": _one_or_each(Either(Integer(minimum=0, maximum=999), Text(length=100, empty=False))),
    "control_preprocessor": _one_or_each(Choice("none", "canny", "soft_edges", "scribble", "tile", "grey", "invert", "inpaint")),
    "adapter_image": Anything(),
    "adapter_conditioning_scale": _one_or_each(SCALE),
    "adapter_conditioning_factor": _one_or_each(_FRACTION),
    "adapter_preprocessor": _one_or_each(Choice("none", "canny", "soft_edges", "scribble", "tile", "grey", "invert")),
    "ip_adapter_image": Anything(),
    "ip_adapter_image_embeds": _Embeds(),
    "ip_adapter_scale": _Counts(),
    "ip_adapter_mask": Anything(),
    "original_size": _SIZE,
    "crops_coords_top_left": _OFFSET,
    "target_size": _SIZE,
    "aesthetic_score": Number(),
    "negative_aesthetic_score": Number(),
    "refiner_start": Number(minimum=0, maximum=1, above=True),
    "freeu": FREEU,
    "token_merging": Number(minimum=0, maximum=0.75),
    "pag_scale": Number(minimum=0, maximum=1e9),
    "pag_applied_layers": Either(_LAYERS, ListOf(_LAYERS, minimum=1, maximum=100)),
    "pag_adaptive_scale": Number(minimum=0, maximum=1e9),
    "record_paths": Flag(),
    "compat": Choice("diffusers", "apple"),
}
