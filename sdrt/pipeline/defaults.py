"""The options of a call that neither the caller nor the model's ``sdrt.json`` sets: steps, guidance and size."""

from collections.abc import Mapping
from typing import Any

from sdrt.images.inputs import size_of
from sdrt.pipeline.assembly import Assembly
from sdrt.pipeline.conditions.source_choice import pictures_of
from sdrt.pipeline.loaded_model import LoadedModel
from sdrt.pipeline.options import GenerateOptions
from sdrt.schedulers import Sampler

__all__ = ["default_remarks", "default_size", "defaults_of"]

# Of diffusers 0.42.1's pipelines.
_DEFAULTS: Mapping[str, Any] = {"num_inference_steps": 50, "guidance_scale": 7.5}
_LCM_DEFAULTS: Mapping[str, Any] = {"num_inference_steps": 4, "guidance_scale": 8.5}


def defaults_of(assembly: Assembly, sampler: Sampler) -> Mapping[str, Any]:
    """Return the number of steps and the scale of guidance; a latent consistency model on its own sampler takes few steps."""
    return {**(_LCM_DEFAULTS if _is_lcm(assembly.base, sampler) else _DEFAULTS), **assembly.defaults}


def default_remarks(model: LoadedModel, sampler: Sampler, options: GenerateOptions) -> dict[str, str]:
    """Return a remark if defaults are assumed that are not the usual ones."""
    assumed = [f"{name}={value:g}" for name, value in _LCM_DEFAULTS.items() if name not in options and name not in model.defaults]
    return {"assumed defaults": f"{', '.join(assumed)}, as for latent consistency models"} if assumed and _is_lcm(model, sampler) else {}


def default_size(model: LoadedModel, options: GenerateOptions) -> tuple[int, int]:
    """Return the height and width of a call: the caller's, else those of the picture or latents to change, else the model's own.

    The part of a picture that is drawn in its place has the model's own size too.

    A picture's size is rounded to what the autoencoder takes; one side alone keeps its proportions.
    """
    height, width = model.native_size()
    height, width = model.defaults.get("height", height), model.defaults.get("width", width)
    picture, sizes = options.get("image"), model.model.limits.sizes
    if picture is not None and not options.get("only_masked"):
        own = size_of("image", pictures_of(picture)[0])
        scale = next((options[name] / side for name, side in zip(("height", "width"), own, strict=True) if name in options), 1)  # type: ignore[literal-required]
        unit = model.latent_format.pixels
        rounded = (max(1, round(own[0] * scale / unit)) * unit, max(1, round(own[1] * scale / unit)) * unit)
        if not sizes or rounded in sizes:
            height, width = rounded
    if (latents := options.get("image_latents")) is not None:
        height, width = (side * model.latent_format.pixels for side in latents.shape[-2:])
    return options.get("height") or height, options.get("width") or width


def _is_lcm(model: LoadedModel, sampler: Sampler) -> bool:
    return model.guidance_size is not None and sampler.name == "LCMScheduler"
