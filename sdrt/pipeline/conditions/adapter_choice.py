"""What a call tells its T2I-Adapters: pictures, what becomes of these, strengths, and the share of the run in which they act."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sdrt.backends.pool import NetworkPool
from sdrt.errors import ConfigError
from sdrt.images.inputs import Picture, digest
from sdrt.pipeline.conditions.each import for_each
from sdrt.pipeline.conditions.source_choice import pictures_of
from sdrt.pipeline.options import GenerateOptions

__all__ = ["AdapterChoice", "choose_adapters", "record_adapters"]


@dataclass(frozen=True, eq=False, kw_only=True)
class AdapterChoice:
    """What one T2I-Adapter is told.

    Parameters
    ----------
    pictures : tuple of Picture
        One for all images of the call, or one for each.
    scale : float
        What its features are multiplied by.
    factor : float in [0, 1]
        The share of the run's calls, from the first on, in which it acts.
    preprocessor : str
        What is made of its pictures first.
    channels : int
        3, or 1 for an adapter that takes greys.
    square : int
        What must divide the sides of the picture, in pixels.
    """

    pictures: tuple[Picture, ...]
    scale: float
    factor: float
    preprocessor: str
    channels: int
    square: int


def choose_adapters(adapters: Sequence[NetworkPool], options: GenerateOptions) -> tuple[AdapterChoice, ...]:
    """Read the options of T2I-Adapters.

    Raises
    ------
    ConfigError : another number of pictures or of values than the pipeline takes
    """
    pictures, count = pictures_of(options.get("adapter_image")), len(adapters)
    if not count:
        if pictures:
            raise ConfigError(
                "adapter_image is for a pipeline with a T2I-Adapter; leave it out, or load one: sdrt.load(..., t2i_adapter=folder)"
            )
        return ()
    if not pictures or len(pictures) % count:
        each = "" if count == 1 else f" of {count}, those of the first before those of the second"
        raise ConfigError(
            f"adapter_image must be a picture, or one for each image, for each T2I-Adapter{each}, got {len(pictures)}; pass it too"
        )
    images, what = len(pictures) // count, "T2I-Adapters"
    scales = for_each("adapter_conditioning_scale", options.get("adapter_conditioning_scale"), 1.0, count, what)
    factors = for_each("adapter_conditioning_factor", options.get("adapter_conditioning_factor"), 1.0, count, what)
    preprocessors = for_each("adapter_preprocessor", options.get("adapter_preprocessor"), "none", count, what)
    configs = [pool.model.config("t2i_adapter") for pool in adapters]
    return tuple(
        AdapterChoice(
            pictures=tuple(pictures[k * images : (k + 1) * images]),
            scale=float(scales[k]),
            factor=float(factors[k]),
            preprocessor=preprocessors[k],
            channels=config["in_channels"],
            square=config["downscale_factor"],
        )
        for k, config in enumerate(configs)
    )


def record_adapters(choices: Sequence[AdapterChoice]) -> dict[str, Any]:
    """Return the choices as values of JSON, pictures by their digest."""
    if not choices:
        return {}
    values: dict[str, Any] = {
        "adapter_image": [digest("adapter_image", picture) for choice in choices for picture in choice.pictures],
        "adapter_conditioning_scale": [choice.scale for choice in choices],
        "adapter_conditioning_factor": [choice.factor for choice in choices],
    }
    if any(choice.preprocessor != "none" for choice in choices):
        values["adapter_preprocessor"] = [choice.preprocessor for choice in choices]
    return values
