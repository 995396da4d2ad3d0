"""CLIP's text encoder."""

import copy
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import nn

from sdrt.arrays import Array
from sdrt.backends.component_options import ComponentOptions
from sdrt.backends.torch.adapter import Adapter
from sdrt.errors import ArrayContractError

__all__ = ["TextEncoder"]


class TextEncoder(Adapter):
    """CLIP's text encoder, of transformers' two classes.

    Parameters
    ----------
    module : CLIPTextModel or CLIPTextModelWithProjection
    layers, vocab_size : int
    clip_skip : int
        Last layers that the two states leave out.
    """

    def __init__(self, module: nn.Module, layers: int, vocab_size: int, clip_skip: int) -> None:
        super().__init__()
        self.module = module
        # transformers 4 nests the plain class too
        inner: Any = getattr(module, "text_model", module)
        self.final_layer_norm: nn.Module = inner.final_layer_norm
        self.layers, self.vocab_size, self.clip_skip = layers, vocab_size, clip_skip

    def with_options(self, options: ComponentOptions) -> Self:
        """Return the text encoder with these options and this one's tensors."""
        other = copy.copy(self)
        other.clip_skip = options.clip_skip
        return other

    def refuse(self, inputs: Mapping[str, Array]) -> None:
        """Refuse an id that the table lacks: on a CUDA device, torch's own check would end the whole process."""
        ids = inputs.get("input_ids")
        if ids is not None and ids.size and not 0 <= ids.min() <= ids.max() < self.vocab_size:
            raise ArrayContractError(
                f"text_encoder input: input_ids holds {ids.min()}..{ids.max()}, but the vocabulary has {self.vocab_size} tokens; "
                "use the tokenizer of this model"
            )

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        output = self.module(input_ids, output_hidden_states=True, return_dict=True)
        states, kept = output.hidden_states, self.layers - self.clip_skip
        last = self.final_layer_norm(states[kept]) if self.clip_skip else output.last_hidden_state
        pooled = output.text_embeds if "text_embeds" in output else output.pooler_output
        return last, states[kept - 1], pooled
