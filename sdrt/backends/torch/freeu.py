"""FreeU by diffusers' own switch."""

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from sdrt.freeu import FreeU

__all__ = ["scale_frequencies"]


def scale_frequencies(unet: UNet2DConditionModel, freeu: FreeU) -> None:
    """Turn FreeU on in a module that nobody else calls."""
    unet.enable_freeu(s1=freeu.s1, s2=freeu.s2, b1=freeu.b1, b2=freeu.b2)
    if unet.mid_block is None:
        # what it scales in place is then the last skip connection too
        unet.up_blocks[0].register_forward_pre_hook(_copy_states, with_kwargs=True)


def _copy_states(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    states: torch.Tensor = kwargs["hidden_states"]
    return args, kwargs | {"hidden_states": states.clone()}
