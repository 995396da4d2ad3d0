"""Check what a call asks for, before any memory or time is spent."""

from collections.abc import Mapping

import numpy as np

from sdrt.arrays import Float, TensorSpec, check_array, check_finite
from sdrt.errors import ConfigError
from sdrt.limits import Limits
from sdrt.models import ModelLimits
from sdrt.records.settings import Settings

__all__ = ["check_amounts", "check_latents", "check_model_limits", "check_size", "count_images"]


def check_amounts(settings: Settings, limits: Limits) -> None:
    """Refuse what would take the machine.

    Raises
    ------
    ConfigError : more images, steps or pixels than the limits allow
    """
    limits.check("images", "num_images", settings.num_images)
    limits.check("steps", "num_inference_steps", settings.num_inference_steps)
    limits.check("pixels", "height times width", settings.height * settings.width)


def count_images(num_images: int | None, counts: Mapping[str, int]) -> int:
    """Return the number of images of a call.

    Parameters
    ----------
    num_images : int or None
        As passed.
    counts : mapping
        For each input, how many of it were passed: one for all images, or one for each.

    Raises
    ------
    ConfigError : neither of the two

    >>> count_images(None, {"image": 3, "mask_image": 1})
    3
    """
    wanted = num_images or max(counts.values(), default=1) or 1
    for name, count in counts.items():
        if count > 1 and count != wanted:
            raise ConfigError(f"{name} must be one for all {wanted} images or one for each, got {count}; pass as many of each input")
    return wanted


def check_size(settings: Settings, scale: int) -> None:
    """Raise ConfigError unless the size is a whole number of latents, each of ``scale`` x ``scale`` pixels."""
    for name, pixels in (("height", settings.height), ("width", settings.width)):
        if pixels % scale:
            nearest = max(1, round(pixels / scale)) * scale
            raise ConfigError(f"{name} must be a multiple of {scale} for this model, got {pixels}; try {nearest}")


def check_model_limits(limits: ModelLimits, settings: Settings) -> None:
    """Raise ConfigError for sizes and prompts that the model's networks cannot take."""
    size = (settings.height, settings.width)
    if limits.sizes and size not in limits.sizes:
        allowed = ", ".join(f"{height}x{width}" for height, width in limits.sizes)
        raise ConfigError(f"height x width must be {allowed} for this model's packages, got {size[0]}x{size[1]}; take one of those")
    if limits.num_tokens and settings.long_prompts != "truncate":
        raise ConfigError(
            f"long_prompts must be 'truncate' for this model's packages of {limits.num_tokens} tokens, got {settings.long_prompts!r}; "
            "leave it out"
        )


def check_latents(name: str, latents: Float | None, num_images: int, shape: tuple[int, int, int]) -> None:
    """Check latents that a caller passes.

    Parameters
    ----------
    name : str
        The option.
    latents : float[n,C,h,w] or None
    num_images : int
        Latents are for each image, or for all of them.
    shape : (C, h, w)
        Of the run.

    Raises
    ------
    ArrayContractError : of another kind or shape, or with a NaN or an infinity
    """
    if latents is None:
        return
    dtype = latents.dtype.name if isinstance(latents, np.ndarray) and latents.dtype.kind == "f" else "float32"
    count = frozenset({1, num_images}) if name == "image_latents" else num_images
    check_array("generate", TensorSpec(name, dtype, (count, *shape)), latents)
    check_finite("generate", name, latents)
