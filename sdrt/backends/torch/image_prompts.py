"""The two networks that make an IP-Adapter's tokens of a picture, and the attention of a U-Net that looks at these."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from sdrt.backends.torch.adapter import Adapter

__all__ = ["DecoupledProcessor", "ImageEncoder", "ImageProjector", "ImagePrompt", "add_processors", "image_prompts"]


class ImageEncoder(Adapter):
    """CLIPVisionModelWithProjection."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        module: Any = self.module
        output = module(pixel_values, output_hidden_states=True, return_dict=True)
        return output.image_embeds, output.hidden_states[-2]


class ImageProjector(Adapter):
    """ImageProjection, IPAdapterPlusImageProjection or IPAdapterFullImageProjection: each takes one array, under one of two names."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        (states,) = inputs.values()
        return (self.module(states),)


class ImagePrompt(NamedTuple):
    """What one adapter attends to: tokens [n,p,L,D], scales [n,p,attentions], and by a sequence's length the mask [n,p,length]."""

    tokens: torch.Tensor
    scale: torch.Tensor
    masks: Mapping[int, torch.Tensor]


def image_prompts(inputs: Mapping[str, torch.Tensor], sizes: Mapping[int, tuple[int, int]]) -> list[ImagePrompt]:
    """Take the image prompts of all adapters out of a U-Net's inputs.

    Parameters
    ----------
    inputs : mapping of tensors
        ``ip_adapter_tokens_0``, ``ip_adapter_scale_0``, ``ip_adapter_mask_0``, ``ip_adapter_tokens_1``...
    sizes : mapping
        Those at which the network attends, by their numbers of places.
    """
    prompts = []
    for k in range(len(inputs) // 3):
        tokens, scale, mask = (inputs[f"ip_adapter_{name}_{k}"] for name in ("tokens", "scale", "mask"))
        if mask.shape[2:] == (1, 1):
            masks = {places: mask.flatten(2) for places in sizes}
        else:
            # bicubic as in diffusers, from a mask of the picture's size
            resized = {places: nn.functional.interpolate(mask, size, mode="bicubic") for places, size in sizes.items()}
            masks = {places: each.flatten(2) for places, each in resized.items()}
        prompts.append(ImagePrompt(tokens, scale, masks))
    return prompts


class DecoupledProcessor(nn.Module):
    """An attention processor of diffusers: a text's attention, and for each adapter that to its tokens, scaled and masked.

    diffusers' own ``IPAdapterAttnProcessor2_0`` keeps the scales as its state, and guesses the height and width of what it masks.

    Parameters
    ----------
    width, inner : int
        Of the condition, and of the attention.
    adapters : int
    index : int
        Its own among the scales of an image prompt.
    """

    def __init__(self, width: int, inner: int, adapters: int, index: int) -> None:
        super().__init__()
        self.to_k_ip = nn.ModuleList(nn.Linear(width, inner, bias=False) for _ in range(adapters))
        self.to_v_ip = nn.ModuleList(nn.Linear(width, inner, bias=False) for _ in range(adapters))
        self.index = index

    # diffusers passes what the signature of __call__ names; the name of the last is one that its other processors do not warn of
    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: None = None,  # noqa: ARG002 always passed
        ip_hidden_states: Sequence[ImagePrompt] = (),
    ) -> torch.Tensor:
        """[n,length,inner] -> the same."""
        query = attn.to_q(hidden_states)
        hidden = _attend(attn.heads, query, attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states))
        for prompt, to_k, to_v in zip(ip_hidden_states, self.to_k_ip, self.to_v_ip, strict=True):
            share = prompt.scale[:, :, self.index, None] * prompt.masks[query.shape[1]]
            for group in range(prompt.tokens.shape[1]):
                tokens = prompt.tokens[:, group]
                hidden = hidden + share[:, group, :, None] * _attend(attn.heads, query, to_k(tokens), to_v(tokens))
        out: torch.Tensor = attn.to_out[0](hidden)
        return out


def _attend(heads: int, *of: torch.Tensor) -> torch.Tensor:
    query, key, value = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in of)
    return nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def add_processors(unet: nn.Module, paths: Sequence[str], adapters: int, width: int) -> None:
    """Let the cross-attentions of a UNet2DConditionModel look at image prompts too.

    Parameters
    ----------
    unet : UNet2DConditionModel
    paths : sequence of str
        Of the cross-attentions, in their order.
    adapters : int
    width : int
        Of the condition.
    """
    for index, path in enumerate(paths):
        attention: Any = unet.get_submodule(path)
        attention.set_processor(DecoupledProcessor(width, attention.inner_dim, adapters, index))
