"""What each field of a record may be."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdrt.option_kinds import NUMERICS, OPTION_KINDS, PROMPTS
from sdrt.records.loras import LORA_RECORDS
from sdrt.values import Choice, Either, Flag, Integer, Kind, ListOf, MappingOf, Nullable, Number, RefusedError, Text

__all__ = [
    "ADAPTER_OPTIONS",
    "ARRAYS",
    "CONDITION_KINDS",
    "CONTROL_OPTIONS",
    "GUIDANCE_OPTIONS",
    "HIRES_OPTIONS",
    "MASK_OPTIONS",
    "PER_IMAGE",
    "PICTURES",
    "PICTURE_OPTIONS",
    "PLAIN_OPTIONS",
    "SETTING_KINDS",
    "STREAM_KINDS",
    "UNET_OPTIONS",
    "Json",
]


@dataclass(frozen=True)
class Json(Kind[Any]):
    """A value of JSON, which has neither NaN nor infinities.

    Parameters
    ----------
    depth : int
        How deep lists and objects may be nested.
    """

    depth: int = 6

    def describe(self) -> str:
        return "a value of JSON"

    def convert(self, value: object) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return _TEXT.convert(value)
        if not isinstance(value, Mapping | list | tuple):
            return _NUMBER.convert(value)
        if not self.depth:
            raise RefusedError
        inner = Json(self.depth - 1)
        if isinstance(value, Mapping):
            return MappingOf(inner).convert(value)
        return [inner.convert(entry) for entry in value]


class _Digest(Kind[str]):
    """A SHA-256 as hexadecimal digits."""

    def describe(self) -> str:
        return "the SHA-256 of a picture"

    def convert(self, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
            raise RefusedError
        return value


_TEXT = Text(length=None)
_NUMBER = Number()
_OBJECT = MappingOf(Json(5))
# a scheduler's sigma_max may be infinite, and is text in JSON
_SCHEDULER = MappingOf(Either(Number(infinite=True), Json(5)))
_TEXTS = MappingOf(_TEXT)

# The fields that are arguments of generate under the same names.
PLAIN_OPTIONS = (
    "prompt",
    "negative_prompt",
    "seed",
    "subseed",
    "subseed_strength",
    "seed_resize_from",
    "num_images",
    "num_inference_steps",
    "guidance_scale",
    "guidance_rescale",
    "guidance_batching",
    "eta",
    "height",
    "width",
    "compat",
    "rng",
    "sampler_rng",
    "sampler_seed",
    "prompt_syntax",
    "long_prompts",
    "emphasis",
    "clip_skip",
)

SETTING_KINDS: Mapping[str, Kind[Any]] = {
    # as the options, but for those below
    **{name: OPTION_KINDS[name] for name in PLAIN_OPTIONS if name in OPTION_KINDS},
    "prompt": _TEXT,
    "negative_prompt": _TEXT,
    # that of a stream which was passed as an object may be negative
    "seed": Integer(),
    "subseed": Nullable(OPTION_KINDS["subseed"]),
    "seed_resize_from": Nullable(OPTION_KINDS["seed_resize_from"]),
    "conditions": _OBJECT,
    "scheduler": _TEXT,
    "scheduler_config": _SCHEDULER,
    "compat": Nullable(OPTION_KINDS["compat"]),
    "rng": _TEXT,
    "sampler_rng": Nullable(_TEXT),
    "sampler_seed": Nullable(OPTION_KINDS["sampler_seed"]),
    "shared_streams": _OBJECT,
    "embeddings": _TEXTS,
    "loras": LORA_RECORDS,
    "model": _TEXT,
    "backend": _TEXTS,
    "numerics": NUMERICS,
    "version": _TEXT,
    "remarks": _TEXTS,
    "scheduler_options": _SCHEDULER,
    "vae_tiling": Flag(),
    "safety_checker": Flag(),
    "flagged_pictures": Choice("black", "blurred"),
    "weights": _TEXTS,
    "revision": _TEXT,
    "prompts": ListOf(_TEXT),
    "negative_prompts": ListOf(_TEXT),
    "seeds": ListOf(Integer()),
}

_DIGEST, _PATH = _Digest(), Nullable(Text(empty=False))
# The options that need a ControlNet.
CONTROL_OPTIONS = (
    "controlnet_conditioning_scale",
    "control_guidance_start",
    "control_guidance_end",
    "control_mode",
    "guess_mode",
    "control_type",
    "control_preprocessor",
)
# Those that need a T2I-Adapter.
ADAPTER_OPTIONS = ("adapter_conditioning_scale", "adapter_conditioning_factor", "adapter_preprocessor")
# Those of hi-res fix; the others need the first.
HIRES_OPTIONS = (
    "hires_scale",
    "hires_steps",
    "hires_denoising",
    "hires_upscaler",
    "hires_scheduler",
    "hires_prompt",
    "hires_negative_prompt",
    "hires_guidance_scale",
)
_SIZES = ("original_size", "crops_coords_top_left", "target_size", "aesthetic_score", "negative_aesthetic_score", "refiner_start")

# The options that need a picture to change, and those that need a mask.
PICTURE_OPTIONS = ("resize", "background")
MASK_OPTIONS = ("mask_mode", "mask_blur", "masked_content", "only_masked", "only_masked_padding", "paste")

# The conditions that are pictures, and those that are arrays.
PICTURES = ("image", "mask_image", "control_image", "adapter_image", "ip_adapter_image", "ip_adapter_mask", "region_mask")
ARRAYS = ("image_latents", "latents", "ip_adapter_image_embeds")

# Those of which there is one for all images of a call, or a list with one for each.
PER_IMAGE = ("image", "mask_image", "image_latents", "latents", "prompt_2", "negative_prompt_2", "hires_prompt", "hires_negative_prompt")

# The options that say how and when predictions are guided, beside the scale.
GUIDANCE_OPTIONS = ("guidance_start", "guidance_end", "guidance_schedule", "apg", "dynamic_thresholding")

# The options that change what the U-Net computes.
UNET_OPTIONS = ("freeu", "pag_scale", "pag_applied_layers", "pag_adaptive_scale", "token_merging")

# Of ``conditions``: pictures and arrays are recorded by their SHA-256, pictures also by their paths where that was asked for.
CONDITION_KINDS: Mapping[str, Kind[Any]] = {
    **dict.fromkeys((*PICTURES, *ARRAYS), Either(_DIGEST, ListOf(_DIGEST))),
    # for each adapter, for all images of the call or for each: the pictures that it sees together
    "ip_adapter_image": ListOf(ListOf(ListOf(_DIGEST, 1), 1), 1),
    "ip_adapter_mask": ListOf(ListOf(_DIGEST), 1),
    "ip_adapter_scale": OPTION_KINDS["ip_adapter_scale"],
    **{name: OPTION_KINDS[name] for name in ("strength", *PICTURE_OPTIONS, *MASK_OPTIONS)},
    **dict.fromkeys(("prompt_2", "negative_prompt_2"), PROMPTS),
    "record_paths": MappingOf(Either(_PATH, ListOf(_PATH), ListOf(Either(ListOf(_PATH), ListOf(ListOf(_PATH)))))),
    "region_prompt": ListOf(_TEXT),
    "region_weight": OPTION_KINDS["region_weight"],
    **{name: OPTION_KINDS[name] for name in (*CONTROL_OPTIONS, *_SIZES, *GUIDANCE_OPTIONS, *UNET_OPTIONS)},
    **{name: OPTION_KINDS[name] for name in ADAPTER_OPTIONS},
    **{name: OPTION_KINDS[name] for name in HIRES_OPTIONS},
    "hires_upscaler": _TEXT,
    "hires_scheduler": _OBJECT,
}

# Of ``shared_streams``: the state of a stream, which the stream itself reads.
STREAM_KINDS: Mapping[str, Kind[Any]] = {"rng": _OBJECT, "sampler_rng": _OBJECT}
