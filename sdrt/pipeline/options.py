"""The options of ``generate``, ``steps`` and ``resolve`` as types, and the older and grouped forms that mean the same.

:meth:`sdrt.Pipeline.generate` documents each option; :mod:`sdrt.pipeline.option_table` has its form on the command line.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, cast

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.freeu import FreeU
from sdrt.guidance import GuidanceSchedule
from sdrt.guidance_options import APG, DynamicThresholding
from sdrt.images.inputs import Picture
from sdrt.images.sizes import Resize
from sdrt.option_kinds import OPTION_KINDS
from sdrt.printable import shown
from sdrt.prompt import Emphasis, LongPrompts, PromptSyntax
from sdrt.rng import NoiseStream
from sdrt.schedulers import Compat, DiffusersScheduler, Sampler
from sdrt.upscaling import Upscaler
from sdrt.values import read_values

__all__ = [
    "AdapterPreprocessor",
    "ControlMode",
    "ControlNetInput",
    "ControlPreprocessor",
    "GenerateOptions",
    "GuidanceBatching",
    "HiresUpscaler",
    "MaskMode",
    "MaskedContent",
    "NoiseSource",
    "OldSpellings",
    "PromptRegion",
    "SDXLSizes",
    "SchedulerChoice",
    "SchedulerName",
    "given_options",
    "plain_options",
]

# fmt: off
SchedulerName: TypeAlias = Literal[
    "ddim", "ddim trailing", "ddim inverse", "ddpm", "pndm", "plms", "iplms", "lcm", "tcd", "unclip", "euler", "euler karras", "euler a",
    "heun", "heun karras", "dpm2", "dpm2 karras", "dpm2 a", "dpm2 a karras", "lms", "lms karras", "dpm++ sde", "dpm++ sde karras",
    "dpm++ 2s a", "dpm++ 2s a karras", "restart", "res_multistep", "res_multistep_ancestral", "euler_cfg_pp", "euler_ancestral_cfg_pp",
    "dpmpp_2m_cfg_pp", "dpmsolver++", "dpm++ 2m", "dpm++ 2m karras", "dpm++ 3m", "dpm++ 3m karras", "dpm++ 2m sde",
    "dpm++ 2m sde karras", "dpm++ 2m sde heun", "dpm++ 3m sde", "dpm++ 3m sde karras", "dpm 2m", "flow euler", "flow heun", "flow lcm",
    "edm euler", "edm dpm++ 2m", "edm dpm++ 3m", "edm dpm++ 2m sde", "cm", "dpmsolver++ inverse", "dpmsolver++ singlestep", "dpm++ 2s",
    "dpm++ 3s", "deis", "unipc", "unipc bh1", "unipc bh2", "sa-solver",
]
# fmt: on
if TYPE_CHECKING:
    SchedulerChoice: TypeAlias = SchedulerName | str | Mapping[str, Any] | Sampler | DiffusersScheduler
else:
    # help() would write out all sixty names of the alias
    SchedulerChoice = str | Mapping[str, Any] | Sampler | DiffusersScheduler
NoiseSource: TypeAlias = str | NoiseStream | Mapping[str, Any]
GuidanceBatching: TypeAlias = Literal["batched", "sequential"]
MaskMode: TypeAlias = Literal["binary", "soft", "strength"]
MaskedContent: TypeAlias = Literal["original", "fill", "noise"]
ControlMode: TypeAlias = Literal["balanced", "prompt", "control"]
ControlPreprocessor: TypeAlias = Literal["none", "canny", "soft_edges", "scribble", "tile", "grey", "invert", "inpaint"]
HiresUpscaler: TypeAlias = str | Path | Upscaler
AdapterPreprocessor: TypeAlias = Literal["none", "canny", "soft_edges", "scribble", "tile", "grey", "invert"]


@dataclass(frozen=True, kw_only=True)
class ControlNetInput:
    """Group the picture that one ControlNet follows with its options: one value of ``control_image`` replaces seven options.

    Parameters
    ----------
    image : Picture
    conditioning_scale : float
        Strength of the ControlNet.
    guidance_start, guidance_end : float, 0 <= start < end <= 1
        The fractions of the run between which it acts.
    mode : ControlMode
        What leads: both alike, the prompt, or the ControlNet.
    type : str or int, optional
        What the picture shows, for a union ControlNet.
    preprocessor : ControlPreprocessor
        What to make of the picture first.
    """

    image: Picture
    conditioning_scale: float = 1.0
    guidance_start: float = 0.0
    guidance_end: float = 1.0
    mode: ControlMode = "balanced"
    type: str | int | None = None
    preprocessor: ControlPreprocessor = "none"


@dataclass(frozen=True, kw_only=True)
class SDXLSizes:
    """Group SDXL's micro-conditioning (sizes and scores), in place of five options; None leaves one at its default.

    Parameters
    ----------
    original_size : (height, width), optional
    crops_coords_top_left : (top, left), optional
    target_size : (height, width), optional
    aesthetic_score, negative_aesthetic_score : float, optional
        For the refiner.
    """

    original_size: tuple[int, int] | None = None
    crops_coords_top_left: tuple[int, int] | None = None
    target_size: tuple[int, int] | None = None
    aesthetic_score: float | None = None
    negative_aesthetic_score: float | None = None


@dataclass(frozen=True, kw_only=True)
class PromptRegion:
    """Group a prompt with the part of the picture that it describes, in place of three options.

    Parameters
    ----------
    prompt : str
    mask : Picture
        White where the prompt counts; of any size.
    weight : float, above 0
        Against other regions, and the prompt of the whole picture, where masks overlap or are grey.
    """

    prompt: str
    mask: Picture
    weight: float = 1.0


class GenerateOptions(TypedDict, total=False):
    """The options of :meth:`sdrt.Pipeline.generate`, which documents them, as one dictionary: for code that passes them on."""

    seed: int | Sequence[int] | None
    subseed: int | None
    subseed_strength: float
    seed_resize_from: tuple[int, int] | None
    num_images: int | None
    num_inference_steps: int | None
    guidance_scale: float | None
    guidance_rescale: float
    guidance_batching: GuidanceBatching
    guidance_start: float | None
    guidance_end: float | None
    guidance_schedule: GuidanceSchedule | Sequence[float] | None
    apg: APG | None
    dynamic_thresholding: DynamicThresholding | None
    height: int | None
    width: int | None
    scheduler: SchedulerChoice | None
    eta: float | None
    rng: NoiseSource
    sampler_rng: NoiseSource | None
    sampler_seed: int | None
    prompt_syntax: PromptSyntax | None
    regions: Sequence[PromptRegion] | None
    region_prompt: str | Sequence[str] | None
    region_mask: Picture | Sequence[Picture] | None
    region_weight: float | Sequence[float] | None
    long_prompts: LongPrompts | None
    emphasis: Emphasis
    clip_skip: int | None
    image: Picture | Sequence[Picture] | None
    strength: float | None
    resize: Resize | None
    background: str | tuple[int, int, int] | None
    image_latents: Float | None
    latents: Float | None
    mask_image: Picture | Sequence[Picture] | None
    mask_mode: MaskMode | None
    mask_blur: float | None
    masked_content: MaskedContent | None
    only_masked: bool | None
    only_masked_padding: int | None
    paste: bool | None
    hires_scale: float | None
    hires_steps: int | None
    hires_denoising: float | None
    hires_upscaler: HiresUpscaler | None
    hires_scheduler: SchedulerChoice | None
    hires_prompt: str | Sequence[str] | None
    hires_negative_prompt: str | Sequence[str] | None
    hires_guidance_scale: float | None
    control_image: Picture | ControlNetInput | Sequence[Picture | ControlNetInput] | None
    controlnet_conditioning_scale: float | Sequence[float] | None
    control_guidance_start: float | Sequence[float] | None
    control_guidance_end: float | Sequence[float] | None
    control_mode: ControlMode | Sequence[ControlMode] | None
    guess_mode: bool | None
    control_type: str | int | Sequence[str | int] | None
    control_preprocessor: ControlPreprocessor | Sequence[ControlPreprocessor] | None
    prompt_2: str | Sequence[str] | None
    negative_prompt_2: str | Sequence[str] | None
    adapter_image: Picture | Sequence[Picture] | None
    adapter_conditioning_scale: float | Sequence[float] | None
    adapter_conditioning_factor: float | Sequence[float] | None
    adapter_preprocessor: AdapterPreprocessor | Sequence[AdapterPreprocessor] | None
    ip_adapter_image: Picture | Sequence[Any] | None
    ip_adapter_image_embeds: Float | Sequence[Float] | None
    ip_adapter_scale: float | Mapping[str, Any] | Sequence[Any] | None
    ip_adapter_mask: Picture | Sequence[Any] | None
    sizes: SDXLSizes | None
    original_size: tuple[int, int] | None
    crops_coords_top_left: tuple[int, int] | None
    target_size: tuple[int, int] | None
    aesthetic_score: float | None
    negative_aesthetic_score: float | None
    refiner_start: float | None
    freeu: FreeU | None
    pag_scale: float | None
    pag_applied_layers: str | Sequence[str] | None
    pag_adaptive_scale: float | None
    token_merging: float | None
    record_paths: bool
    compat: Compat


class OldSpellings(TypedDict, total=False):
    """Options under the names of 0.1.0."""

    cfg: GuidanceBatching


def given_options(options: Mapping[str, Any]) -> GenerateOptions:
    """Return the options of a call, in their plain form: see :func:`plain_options`.

    Raises
    ------
    ConfigError : an unknown option
    """
    names = GenerateOptions.__annotations__
    if unknown := sorted(options.keys() - names.keys() - OldSpellings.__annotations__.keys()):
        raise ConfigError(f"unknown option {', '.join(unknown)}; the options are {', '.join(names)}")
    # two frames stand between the caller and the warning: this function, and the method that calls it
    return plain_options(options, stacklevel=4)


def plain_options(options: Mapping[str, Any], stacklevel: int = 3) -> GenerateOptions:
    """Return options as plain Python values, in today's spelling, without groups, and without those that are None.

    0.1.0 wrote ``cfg`` for ``guidance_batching``, and ``no norm`` for ``no_norm``.

    Parameters
    ----------
    options : mapping
    stacklevel : int
        The frame that a DeprecationWarning points to, as :func:`warnings.warn` counts them; 3 is the caller's caller.

    Raises
    ------
    ConfigError : a value is not of its option's kind; ``cfg`` is a number, which means ``guidance_scale``, or comes with another
        ``guidance_batching``; or a group comes with an option that it holds
    """
    plain = {name: value for name, value in options.items() if value is not None}
    if (cfg := plain.pop("cfg", None)) is not None:
        cfg = OPTION_KINDS["guidance_batching"].check("cfg", cfg, f"the strength of guidance is guidance_scale={shown(cfg)}")
        # "batched" is the methods' default, and may not have been passed
        if plain.get("guidance_batching", "batched") not in ("batched", cfg):
            raise ConfigError(f"cfg must be given once, got {cfg!r} beside another guidance_batching; leave cfg out")
        warnings.warn(f"cfg={cfg!r} is deprecated; write guidance_batching={cfg!r}", DeprecationWarning, stacklevel=stacklevel)
        plain["guidance_batching"] = cfg
    if isinstance(plain.get("emphasis"), str) and plain["emphasis"] == "no norm":
        warnings.warn("emphasis='no norm' is deprecated; write emphasis='no_norm'", DeprecationWarning, stacklevel=stacklevel)
        plain["emphasis"] = "no_norm"
    _spread(plain, "sizes", _sizes_of(plain.pop("sizes", None)))
    _spread(plain, "control_image", _controls_of(plain.get("control_image")))
    _spread(plain, "regions", _regions_of(plain.pop("regions", None)))
    return cast("GenerateOptions", read_values("", plain, OPTION_KINDS, "pass such a value"))


def _spread(plain: dict[str, Any], group: str, held: Mapping[str, Any]) -> None:
    """Add the options of a group to the others."""
    if twice := sorted(name for name in held if name in plain and name != group):
        raise ConfigError(f"{', '.join(twice)} must be given once, got a second value in {group}; leave one of them out")
    plain.update(held)


def _sizes_of(sizes: SDXLSizes | None) -> dict[str, Any]:
    if sizes is None:
        return {}
    if not isinstance(sizes, SDXLSizes):
        raise ConfigError(f"sizes must be an sdrt.SDXLSizes, got {type(sizes).__name__}; write sdrt.SDXLSizes(original_size=(1024, 1024))")
    values = {field.name: getattr(sizes, field.name) for field in fields(sizes)}
    return {name: value for name, value in values.items() if value is not None}


def _regions_of(regions: Any) -> dict[str, Any]:
    each = [regions] if isinstance(regions, PromptRegion) else regions
    if each is None:
        return {}
    if not isinstance(each, list | tuple) or not all(isinstance(one, PromptRegion) for one in each):
        raise ConfigError(f"regions must be sdrt.PromptRegion values, got {shown(regions)}; write sdrt.PromptRegion(prompt=..., mask=...)")
    names = ("prompt", "mask", "weight")
    return {f"region_{name}": [getattr(one, name) for one in each] for name in names} if each else {}


def _controls_of(pictures: Any) -> dict[str, Any]:
    """Split ControlNet inputs into the seven plain options; empty if ``pictures`` holds plain pictures alone."""
    each = list(pictures) if isinstance(pictures, list | tuple) else [pictures]
    if not any(isinstance(one, ControlNetInput) for one in each):
        return {}
    inputs = [one if isinstance(one, ControlNetInput) else ControlNetInput(image=one) for one in each]
    types = {"control_type": ["none" if one.type is None else one.type for one in inputs]}
    return {
        "control_image": [one.image for one in inputs],
        "controlnet_conditioning_scale": [one.conditioning_scale for one in inputs],
        "control_guidance_start": [one.guidance_start for one in inputs],
        "control_guidance_end": [one.guidance_end for one in inputs],
        "control_mode": [one.mode for one in inputs],
        "control_preprocessor": [one.preprocessor for one in inputs],
        **(types if any(one.type is not None for one in inputs) else {}),
    }
