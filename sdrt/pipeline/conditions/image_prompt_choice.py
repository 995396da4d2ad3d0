"""What a call tells its IP-Adapters: pictures or embeddings, how much they count, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import F64, Float, array_digest
from sdrt.errors import ConfigError
from sdrt.images.inputs import Picture, digest, pixels_of
from sdrt.models.components.image_projection import input_width, takes_states
from sdrt.pipeline.conditions.image_prompt_scales import scale_of_each_attention
from sdrt.pipeline.image_prompter import ImagePrompter
from sdrt.pipeline.options import GenerateOptions

__all__ = ["ImagePromptChoice", "choose_image_prompts", "image_prompt_pictures", "record_image_prompts"]

_IMAGE, _EMBEDS, _MASK, _SCALE = "ip_adapter_image", "ip_adapter_image_embeds", "ip_adapter_mask", "ip_adapter_scale"


@dataclass(frozen=True, eq=False, kw_only=True)
class ImagePromptChoice:
    """What one IP-Adapter is told.

    Parameters
    ----------
    pictures : tuple of tuples of Picture
        The pictures that it sees together: for all images of the call, or for each; empty where embeddings take their place.
    embeds : float[1 or 2,p,E], or float[1 or 2,p,L,E] or None
        What the image encoder gave for p pictures; of two, the first is that of the negative row.
    scale : float, tuple of float, or mapping
        As the caller passed it; with masks it may be a number for each picture.
    scales : float64[1 or p,attentions]
        The same for each cross-attention.
    masks : tuple of Picture
        Where it counts: one for each picture; empty: everywhere.
    """

    pictures: tuple[tuple[Picture, ...], ...]
    embeds: Float | None
    scale: Any
    scales: F64
    masks: tuple[Picture, ...]

    @property
    def count(self) -> int:
        """How many pictures it sees together."""
        return len(self.pictures[0]) if self.embeds is None else self.embeds.shape[1]


def choose_image_prompts(
    prompter: ImagePrompter | None, unet: Mapping[str, Any], options: GenerateOptions
) -> tuple[ImagePromptChoice, ...]:
    """Read the options of IP-Adapters.

    Parameters
    ----------
    prompter : ImagePrompter or None
        None: the pipeline has no IP-Adapter.
    unet : mapping
        The U-Net's configuration.
    options : GenerateOptions

    Raises
    ------
    ConfigError : options without an adapter or an image encoder; pictures, masks or scales of another number than there are adapters or
        pictures; embeddings of another shape, or with a NaN
    """
    if prompter is None:
        if passed := [name for name in (_IMAGE, _EMBEDS, _MASK, _SCALE) if options.get(name) is not None]:
            raise ConfigError(f"{', '.join(passed)} must be left out without an IP-Adapter; load one, sdrt.load(..., ip_adapter=file)")
        return ()
    count = len(prompter.adapters)
    images: Any = options.get(_IMAGE)
    # the kind makes a tuple of it
    embeds: Any = options.get(_EMBEDS)
    if (images is None) == (embeds is None):
        got = "neither" if images is None else "both"
        raise ConfigError(
            f"{_IMAGE} or {_EMBEDS} must be set for a pipeline with an IP-Adapter, got {got}; pass one of them, or load it without"
        )
    if images is not None and prompter.encoder is None:
        raise ConfigError(
            f"{_IMAGE} needs an image encoder, got a pipeline without; load it with image_encoder=FOLDER (that of h94/IP-Adapter, ViT-H), "
            f"or pass {_EMBEDS}"
        )
    pictures = [()] * count if images is None else [_of_images(each) for each in _each_adapter(_IMAGE, images, count)]
    if len(numbers := {len(each) for each in pictures} - {1}) > 1:
        raise ConfigError(f"{_IMAGE} must be pictures for as many images with each IP-Adapter, got {numbers}; pass as many with each")
    if embeds is not None and len(embeds) != count:
        raise ConfigError(f"{_EMBEDS} must be an array for each IP-Adapter, {count}, got {len(embeds)}; pass them in their order")
    arrays: list[Float | None] = [None] * count if embeds is None else list(embeds)
    masks = _each_adapter(_MASK, options.get(_MASK), count) if options.get(_MASK) is not None else [None] * count
    scale: Any = options.get(_SCALE)
    scales = _scales(1.0 if scale is None else scale, count)
    return tuple(
        _choice(k, prompter, unet, pictures[k], arrays[k], scales[k], () if masks[k] is None else _listed(masks[k])) for k in range(count)
    )


def image_prompt_pictures(choices: Sequence[ImagePromptChoice]) -> list[Any]:
    """Return the pictures of all adapters: a list for each, of a list for all images or for each, of pictures."""
    return [[list(together) for together in choice.pictures] for choice in choices]


def record_image_prompts(choices: Sequence[ImagePromptChoice]) -> dict[str, Any]:
    """Return the choices as values of JSON, pictures and arrays by their digest."""
    if not choices:
        return {}
    values: dict[str, Any] = {_SCALE: [list(each.scale) if isinstance(each.scale, tuple) else each.scale for each in choices]}
    if choices[0].embeds is None:
        values[_IMAGE] = [[[digest(_IMAGE, each) for each in together] for together in choice.pictures] for choice in choices]
    else:
        values[_EMBEDS] = [array_digest(choice.embeds) for choice in choices if choice.embeds is not None]
    if any(choice.masks for choice in choices):
        values[_MASK] = [[digest(_MASK, mask) for mask in choice.masks] for choice in choices]
    return values


def _choice(
    k: int,
    prompter: ImagePrompter,
    unet: Mapping[str, Any],
    pictures: tuple[tuple[Picture, ...], ...],
    embeds: Float | None,
    scale: Any,
    masks: tuple[Picture, ...],
) -> ImagePromptChoice:
    for picture in (each for together in pictures for each in together):
        pixels_of(_IMAGE, picture)
    for mask in masks:
        pixels_of(_MASK, mask)
    if embeds is not None:
        _check_embeds(embeds, prompter.adapters[k].model.config("image_projection"))
    if isinstance(scale, tuple) and len(scale) == 1:
        (scale,) = scale
    seen = len(pictures[0]) if embeds is None else embeds.shape[1]
    if masks and len(masks) != seen:
        raise ConfigError(f"{_MASK} must be one for each picture of an IP-Adapter, {seen}, got {len(masks)}; pass as many, or none")
    each = scale if isinstance(scale, tuple) else (scale,)
    if len(each) > 1 and not masks:
        raise ConfigError(f"{_SCALE} must be one number without masks, got {len(each)} for one adapter; pass a mask for each picture")
    if len(each) not in (1, seen):
        raise ConfigError(f"{_SCALE} must be one number, or one for each of {seen} pictures, got {len(each)}; pass as many")
    scales = np.stack([scale_of_each_attention(one, unet) for one in each])
    return ImagePromptChoice(pictures=pictures, embeds=embeds, scale=scale, scales=scales, masks=masks)


def _listed(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _each_adapter(name: str, value: Any, count: int) -> list[Any]:
    """Return the entry of each adapter; of one adapter alone the value itself may be the entry.

    Raises
    ------
    ConfigError : another number of entries
    """
    entries = list(value) if isinstance(value, list | tuple) else [value]
    if count == 1 and not (len(entries) == 1 and isinstance(entries[0], list | tuple)):
        # one picture, or several that are seen together
        return [value]
    if len(entries) != count:
        raise ConfigError(f"{name} must have an entry for each IP-Adapter, {count}, got {len(entries)}; pass them in their order")
    return entries


def _of_images(entry: Any) -> tuple[tuple[Picture, ...], ...]:
    """Return the pictures for all images of a call, or for each.

    Raises
    ------
    ConfigError : none, or another number for some images than for others
    """
    several = isinstance(entry, list | tuple) and any(isinstance(each, list | tuple) for each in entry)
    images = tuple(_listed(each) for each in entry) if several else (_listed(entry),)
    counts = {len(together) for together in images}
    if 0 in counts or len(counts) > 1:
        raise ConfigError(
            f"{_IMAGE} must be as many pictures for each image, at least one, got {' and '.join(map(str, sorted(counts)))}; add some"
        )
    return images


def _scales(scale: Any, count: int) -> list[Any]:
    """Return the scale of each adapter: one for all of them, or an entry for each."""
    return _each_adapter(_SCALE, scale, count) if isinstance(scale, tuple) else [scale] * count


def _check_embeds(embeds: Float, config: Mapping[str, Any]) -> None:
    states, width = takes_states(config), input_width(config)
    axes = 4 if states else 3
    if embeds.ndim != axes or embeds.shape[0] not in (1, 2) or not embeds.size or embeds.shape[-1] != width:
        form = f"[2,pictures,states,{width}]" if states else f"[1 or 2,pictures,{width}]"
        raise ConfigError(f"{_EMBEDS} must be float{form} for this IP-Adapter, got {list(embeds.shape)}; pass what its image encoder gives")
    if states and embeds.shape[0] != 2:
        raise ConfigError(f"{_EMBEDS} must hold the negative row's states too, [2,pictures,states,{width}], got 1; put those first")
    if not np.isfinite(embeds).all():
        raise ConfigError(f"{_EMBEDS} must be finite, got {embeds[~np.isfinite(embeds)][0]}; encode the picture again")
