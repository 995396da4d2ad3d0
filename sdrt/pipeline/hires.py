"""Hi-res fix: a picture is drawn at a base size, enlarged, and drawn on as image to image at the large size.

The second pass is ``generate`` from what the first has drawn: from its latents, resized (``image_latents=``), or from its pictures,
enlarged (``image=``), with the same seeds, whose noise is drawn anew at the large size. Whatever option has no form of its own for the
second pass holds for both.

Source: AUTOMATIC1111/stable-diffusion-webui 1.10.1, ``modules/processing.py``, ``StableDiffusionProcessingTxt2Img``; there the noise is
drawn anew from the same seeds too. The steps are image to image's, as in diffusers 0.42.1: the share ``hires_denoising`` of
``hires_steps``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from sdrt.arrays import Float
from sdrt.errors import ConfigError, MissingFileError, ModelError, SdrtError
from sdrt.pipeline.assembly import Assembly
from sdrt.pipeline.conditions.source import read_source
from sdrt.pipeline.latent_resizing import LATENT_RESIZINGS, LatentResizing
from sdrt.pipeline.options import GenerateOptions
from sdrt.pipeline.progress import Report
from sdrt.pipeline.resolve import Enlarger, Resolved, resolve
from sdrt.printable import shown
from sdrt.records.formats import to_json_values
from sdrt.records.kinds import HIRES_OPTIONS
from sdrt.records.settings import Settings
from sdrt.upscaling import RESAMPLINGS, Upscaler, find_upscaler

__all__ = ["HIRES_UPSCALERS", "go_on", "resolve_call"]

# The names that need no file.
HIRES_UPSCALERS = (*LATENT_RESIZINGS, *RESAMPLINGS)

# AUTOMATIC1111's.
_DENOISING, _UPSCALER = 0.7, "latent"

_CHANGED = ("image", "image_latents", "mask_image")


def resolve_call(
    assembly: Assembly, prompt: str | Sequence[str], negative_prompt: str | Sequence[str], options: GenerateOptions
) -> Resolved:
    """Resolve a call of one pass, or of two where ``hires_scale`` is set.

    Raises
    ------
    ConfigError, ImageError : as of `resolve`, for either pass
    ModelError : the upscaler's file cannot be used
    """
    own: dict[str, Any] = {name: value for name, value in options.items() if name in HIRES_OPTIONS}
    plain = cast("GenerateOptions", {name: value for name, value in options.items() if name not in HIRES_OPTIONS})
    if "hires_scale" not in own:
        if own:
            verb, them = ("is", "it") if len(own) == 1 else ("are", "them")
            raise ConfigError(f"{', '.join(own)} {verb} for hi-res fix; set hires_scale too, or leave {them} out")
        return resolve(assembly, prompt, negative_prompt, plain)
    if changed := [name for name in _CHANGED if name in plain]:
        raise ConfigError(f"hires_scale must be left out where a picture is changed, got {', '.join(changed)} too; draw from noise")
    enlarger = _enlarger(own.get("hires_upscaler", _UPSCALER), assembly)
    first = resolve(assembly, prompt, negative_prompt, plain)
    if first.settings.compat == "apple":
        raise ConfigError("hires_scale must be left out with compat='apple', whose package has no hi-res fix; leave one of them out")
    second_options = _second_options(assembly, first, plain, own, enlarger)
    prompts = own.get("hires_prompt", prompt), own.get("hires_negative_prompt", negative_prompt)
    try:
        second = replace(resolve(assembly, *prompts, second_options), enlarger=enlarger)
    except ConfigError as error:
        raise ConfigError(f"the second pass of hi-res fix: {error}") from None
    return replace(first, settings=_recorded(first.settings, second, own), then=second)


def go_on(resolved: Resolved, latents: Float, report: Report) -> Resolved:
    """Return a second pass that starts from what the first has drawn.

    Parameters
    ----------
    resolved : Resolved
        The second pass, as `resolve_call` left it.
    latents : float[n,C,h,w]
        Of the first pass.
    report : Report

    Raises
    ------
    Cancelled : the caller cancelled before all pictures were decoded or enlarged
    """
    assembly, source, (height, width) = resolved.assembly, resolved.source, (resolved.settings.height, resolved.settings.width)
    if source is None or resolved.enlarger is None:
        raise ConfigError("a second pass must have a start and an upscaler, got none; resolve it with the first")
    if isinstance(resolved.enlarger, LatentResizing):
        return replace(resolved, source=replace(source, latents=resolved.enlarger(latents, *resolved.latents_shape[1:])))
    pictures = []
    for picture in assembly.base.decode(latents, tiled=assembly.vae_tiling):
        report.heed()
        pictures.append(picture)
    report.heed()
    enlarged = resolved.enlarger.upscale(pictures, width, height)
    report.heed()
    choice = replace(source.choice, images=tuple(enlarged))
    return replace(resolved, source=read_source(choice, height, width, inpaints=False, functions=assembly.functions))


def _enlarger(choice: Any, assembly: Assembly) -> Enlarger:
    """Return what the option means.

    Raises
    ------
    ConfigError : nothing that there is
    ModelError : a file that cannot be used
    """
    if isinstance(choice, str) and choice in LATENT_RESIZINGS:
        return LatentResizing(choice)
    runner = assembly.backends.get("vae_decoder", "numpy")
    options: dict[str, Any] = {"backend": runner if runner in ("numpy", "torch") else "numpy", "numerics": assembly.numerics}
    try:
        return find_upscaler(choice, limits=assembly.limits, **options)
    except SdrtError as error:
        names = ", ".join(HIRES_UPSCALERS)
        # some errors have parameters of their own
        kind = next(each for each in (MissingFileError, ModelError, ConfigError, SdrtError) if isinstance(error, each))
        raise kind(f"hires_upscaler must be {names}, or an upscaler's file, repository or object, got {shown(choice)}: {error}") from None


def _second_options(
    assembly: Assembly, first: Resolved, plain: GenerateOptions, own: Mapping[str, Any], enlarger: Enlarger
) -> GenerateOptions:
    """Return the options of the second pass, which starts from blank latents or a blank picture until the first has been made.

    Raises
    ------
    ConfigError : no step is left to it, or exact numerics cannot enlarge so
    """
    settings = first.settings
    steps, denoising = own.get("hires_steps", settings.num_inference_steps), own.get("hires_denoising", _DENOISING)
    if not int(steps * denoising):
        raise ConfigError(
            f"hires_denoising must leave at least one step of {steps}, got {denoising:g}; take at least {1 / steps:.3g}, or more "
            "hires_steps"
        )
    height, width = (_enlarged_side(side, own["hires_scale"], assembly) for side in (settings.height, settings.width))
    assembly.limits.check("pixels", "hires_scale: height times width", height * width)
    if assembly.numerics == "exact":
        _refuse_pillow(enlarger, (settings.height, settings.width), (height, width))
    second: dict[str, Any] = {name: value for name, value in plain.items() if name != "latents"}
    # streams that were passed as objects have their seeds, and draw on
    if plain.get("rng") is None or isinstance(plain["rng"], str):
        second["seed"] = list(settings.image_seeds)
    if settings.subseed is not None:
        second["subseed"] = settings.subseed
    if not isinstance(plain.get("guidance_schedule"), str):
        # a list has a scale for each step of the first pass
        second.pop("guidance_schedule", None)
    if "hires_scheduler" in own:
        # another scheduler has an amount of its own
        second.pop("eta", None)
    second |= {name.removeprefix("hires_"): own[name] for name in ("hires_scheduler", "hires_guidance_scale") if name in own}
    second |= {"height": height, "width": width, "num_images": settings.num_images, "num_inference_steps": steps, "strength": denoising}
    if isinstance(enlarger, LatentResizing):
        latents = assembly.base.latent_format
        second["image_latents"] = np.zeros((1, latents.channels, height // latents.pixels, width // latents.pixels), np.float32)
    else:
        second["image"] = np.zeros((height, width, 3), np.uint8)
    return cast("GenerateOptions", second)


def _refuse_pillow(enlarger: Enlarger, before: tuple[int, int], after: tuple[int, int]) -> None:
    """Refuse what exact numerics cannot promise: pictures that Pillow brings from one size to another, in whole or behind a network.

    Raises
    ------
    ConfigError : Pillow would compute
    """
    if isinstance(enlarger, LatentResizing) or enlarger.name == "nearest":
        return
    if after != tuple(side * (enlarger.scale or 0) for side in before):
        raise ConfigError(
            "hires_upscaler must be a latent one, 'nearest' or a network at its own scale with numerics='exact', got "
            f"{shown(enlarger.name)} from {before[1]}x{before[0]} to {after[1]}x{after[0]} pixels, which needs Pillow; choose one of those"
        )


def _enlarged_side(side: int, scale: float, assembly: Assembly) -> int:
    """Return a side of the large picture: the nearest that the model and its T2I-Adapters take."""
    squares = (pool.model.config("t2i_adapter")["downscale_factor"] for pool in assembly.t2i_adapters)
    unit = math.lcm(assembly.base.latent_format.pixels, *squares)
    # beyond what a float holds, the limit refuses it
    return max(1, round(min(side * scale, 1e15) / unit)) * unit


def _recorded(first: Settings, second: Resolved, own: Mapping[str, Any]) -> Settings:
    """Return the record of both passes: the first's, with what the second does otherwise."""
    settings, enlarger = second.settings, second.enlarger
    values: dict[str, Any] = {
        "hires_scale": float(own["hires_scale"]),
        "hires_steps": settings.num_inference_steps,
        "hires_denoising": own.get("hires_denoising", _DENOISING),
        "hires_upscaler": "" if enlarger is None else enlarger.name,
    }
    values |= {name: _as_list(own[name]) for name in ("hires_prompt", "hires_negative_prompt") if name in own}
    if "hires_guidance_scale" in own:
        values["hires_guidance_scale"] = settings.guidance_scale
    if "hires_scheduler" in own:
        eta = {name: value for name, value in second.sampler.step_option_values().items() if name == "eta"}
        chosen = {"name": settings.scheduler, "options": to_json_values({**settings.scheduler_options, **eta})}
        values["hires_scheduler"] = {**to_json_values(settings.scheduler_config), "_sdrt": chosen}
    weights = {**settings.weights, **first.weights}
    if isinstance(enlarger, Upscaler) and enlarger.fingerprint:
        weights["hires_upscaler"] = enlarger.fingerprint
    remarks = {f"hi-res fix: {topic}": text for topic, text in settings.remarks.items() if first.remarks.get(topic) != text}
    return replace(
        first,
        conditions={**first.conditions, **values},
        loras={**settings.loras, **first.loras},
        weights=weights,
        remarks={**first.remarks, **remarks},
    )


def _as_list(texts: str | Sequence[str]) -> str | list[str]:
    return texts if isinstance(texts, str) else list(texts)
