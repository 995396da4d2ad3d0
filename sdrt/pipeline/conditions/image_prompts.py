"""Image prompts of a run: pictures are encoded once, each adapter makes tokens of them, and every sample gets those of its row.

Source: Ye et al. 2023 (arXiv:2308.06721); diffusers 0.42.1 ``encode_image`` and ``prepare_ip_adapter_image_embeds``: the negative row sees
no picture, an embedding of zeros, or where an adapter takes states those of a picture whose prepared values are zeros.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.guidance import Call, Row, is_prompted
from sdrt.images.inputs import Picture, to_mask, to_rgb
from sdrt.models.components.image_projection import takes_states
from sdrt.pipeline.conditions.image_prompt_choice import ImagePromptChoice
from sdrt.pipeline.image_prompter import ImagePrompter

__all__ = ["ImagePrompts", "encode_image_prompts"]


@dataclass(frozen=True, eq=False)
class ImagePrompts:
    """The inputs that IP-Adapters add to a U-Net.

    Parameters
    ----------
    tokens : sequence, one for each adapter, of mappings from whether a row is prompted
        float[1 or n,p,L,D]: for all images of the call, or for each, p groups of tokens.
    scales : sequence of float[p,attentions]
    masks : sequence of float[p,H,W] or float[p,1,1]
    """

    tokens: Sequence[Mapping[bool, Float]]
    scales: Sequence[Float]
    masks: Sequence[Float]

    def fixed(self, samples: Sequence[tuple[Row, int]], dtype: np.dtype[np.floating]) -> Mapping[str, Array]:
        """Return tokens, scales and masks of these samples."""
        inputs: dict[str, Array] = {}
        for k, (tokens, scale, mask) in enumerate(zip(self.tokens, self.scales, self.masks, strict=True)):
            own = [_of_image(tokens[is_prompted(row)], image) for row, image in samples]
            inputs[f"ip_adapter_tokens_{k}"] = np.stack(own).astype(dtype, copy=False)
            inputs[f"ip_adapter_scale_{k}"] = np.repeat(scale[None], len(samples), axis=0).astype(dtype, copy=False)
            inputs[f"ip_adapter_mask_{k}"] = np.repeat(mask[None], len(samples), axis=0).astype(dtype, copy=False)
        return inputs

    def varying(self, samples: Sequence[tuple[Row, int]], call: Call, dtype: np.dtype[np.floating]) -> Mapping[str, Array]:  # noqa: ARG002
        """Return nothing: they stay as they are during a run."""
        return {}


def _of_image(of_images: Float, image: int) -> Float:
    own: Float = of_images[image % len(of_images)]
    return own


def encode_image_prompts(prompter: ImagePrompter, choices: Sequence[ImagePromptChoice], height: int, width: int) -> ImagePrompts:
    """Encode the pictures of each adapter.

    Parameters
    ----------
    prompter : ImagePrompter
    choices : sequence of ImagePromptChoice
        One for each of its adapters.
    height, width : int (pixels)
        Of the run, to which masks are scaled.

    Raises
    ------
    ImageError, ConfigError : a picture that cannot be read, or comes out in another size than the encoder takes
    """
    encoded = _encoded(prompter, choices)
    tokens, scales, masks = [], [], []
    for k, choice in enumerate(choices):
        apart = bool(choice.masks)
        tokens.append({prompted: _tokens(prompter, k, choice, encoded, prompted=prompted, apart=apart) for prompted in (False, True)})
        groups = choice.count if apart else 1
        scales.append(np.broadcast_to(choice.scales, (groups, choice.scales.shape[1])))
        own = [to_mask("ip_adapter_mask", mask, height, width)[0] for mask in choice.masks]
        masks.append(np.concatenate(own) if own else np.ones((1, 1, 1), np.float32))
    return ImagePrompts(tokens, scales, masks)


# What the encoder gives for one picture, by the name of the output; of None for one whose prepared values are zeros.
_Encoded = dict[int | None, Mapping[str, Array]]


def _encoded(prompter: ImagePrompter, choices: Sequence[ImagePromptChoice]) -> _Encoded:
    """Encode each picture once, whichever adapters see it."""
    if prompter.encoder is None or prompter.extractor is None or not any(choice.pictures for choice in choices):
        return {}
    pictures: dict[int | None, Picture] = {id(each): each for choice in choices for together in choice.pictures for each in together}
    prepared = {key: prompter.extractor(to_rgb("ip_adapter_image", each)) for key, each in pictures.items()}
    if any(takes_states(pool.model.config("image_projection")) for pool in prompter.adapters):
        prepared[None] = np.zeros_like(next(iter(prepared.values())))
    with prompter.encoder.using("image_encoder") as network:
        dtype = network.float_dtype()
        return {key: network(pixel_values=pixels[None].astype(dtype, copy=False)) for key, pixels in prepared.items()}


def _tokens(prompter: ImagePrompter, k: int, choice: ImagePromptChoice, encoded: _Encoded, *, prompted: bool, apart: bool) -> Float:
    """Return an adapter's tokens for prompted or other rows: float[1 or n,p,L,D].

    Parameters
    ----------
    apart : bool
        Whether each picture's tokens are attended to apart from the others'.
    """
    pool = prompter.adapters[k]
    config: Mapping[str, Any] = pool.model.config("image_projection")
    name = "penultimate_hidden_state" if takes_states(config) else "image_embeds"
    if choice.embeds is not None:
        both = choice.embeds if len(choice.embeds) == 2 else np.concatenate([np.zeros_like(choice.embeds), choice.embeds])
        seen = both[1:] if prompted else both[:1]
    else:
        rows = [[_seen(encoded, picture, name, prompted=prompted) for picture in together] for together in choice.pictures]
        seen = np.stack([np.concatenate(row) for row in rows])
    images, count = seen.shape[:2]
    with pool.using("image_projection") as network:
        flat = seen.reshape(images * count, *seen.shape[2:]).astype(network.float_dtype(), copy=False)
        tokens = network(**{name: flat})["image_tokens"]
    return tokens.reshape(images, count if apart else 1, -1, tokens.shape[2])


def _seen(encoded: _Encoded, picture: Picture, name: str, *, prompted: bool) -> Array:
    if prompted:
        return encoded[id(picture)][name]
    return encoded[None][name] if None in encoded and name == "penultimate_hidden_state" else np.zeros_like(encoded[id(picture)][name])
