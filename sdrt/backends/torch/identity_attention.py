"""Self-attention whose map is the identity, as a processor of diffusers."""

from collections.abc import Collection
from typing import Any

import torch
from torch import nn

__all__ = ["IdentityProcessor", "attend_to_itself"]


class IdentityProcessor:
    """Pass each pixel's value on.

    diffusers' own ``PAGIdentitySelfAttnProcessor2_0`` does so for the second half of a batch alone.
    """

    # diffusers passes what the signature of __call__ names; the name of the last is that of its processors for image prompts
    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: None = None,  # noqa: ARG002 always passed
        attention_mask: None = None,  # noqa: ARG002 always passed
        ip_hidden_states: object = None,  # noqa: ARG002 for cross-attentions
    ) -> torch.Tensor:
        """[n,length,inner] -> the same."""
        out: torch.Tensor = attn.to_out[0](attn.to_v(hidden_states))
        return out


def attend_to_itself(unet: nn.Module, paths: Collection[str]) -> None:
    """Exchange the processors of these self-attentions, in a module that nobody else calls."""
    for path in paths:
        attention: Any = unet.get_submodule(path)
        attention.set_processor(IdentityProcessor())
