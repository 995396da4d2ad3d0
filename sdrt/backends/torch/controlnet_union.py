"""ControlNetUnionModel: a ControlNet that takes pictures of several sorts, each with the number of its sort.

Its trunk is a ControlNetModel of diffusers', to which the sorts come as the embedding of a class. What turns pictures and sorts into the
one hint of that trunk stands beside it, so that it is computed once where these inputs are bound.

Departs from diffusers 0.42.1, whose layers attend from each row of a batch to the others, as its attention takes rows for a sequence: the
images of a batch then change one another. Here each row attends to itself, as it does in diffusers where the batch holds one image.
"""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import ControlNetModel
from diffusers.models.controlnets.controlnet_union import ResidualAttentionBlock
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import nn

from sdrt.arrays import Array
from sdrt.backends.torch.denoisers import Denoiser
from sdrt.errors import ArrayContractError

__all__ = ["ControlNetUnion"]

_INPUTS = ("controlnet_cond", "control_type", "control_scale")


class _SortLayer(ResidualAttentionBlock):  # type: ignore[misc]  # diffusers has no types
    """diffusers' layer, on vectors that each attend to themselves alone."""

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        attended: torch.Tensor = super().attention(x.reshape(1, -1, x.shape[-1]))
        return attended.reshape(x.shape)


class ControlNetUnion(Denoiser):
    """A union, built from its configuration.

    Parameters
    ----------
    module : ControlNetModel
        The trunk, whose embedding of a picture passes on what it is given.
    embedding : nn.Module
        That of the pictures.
    reverse_channels : bool
        Whether the pictures' channels are turned round first.
    config : mapping
        The complete configuration.
    """

    def __init__(
        self, module: ControlNetModel, embedding: nn.Module, reverse_channels: bool, config: Mapping[str, Any], **widths: int | None
    ) -> None:
        super().__init__(module, **widths)
        self.embedding, self.reverse_channels = embedding, reverse_channels
        self.sorts, channels, features = config["num_control_type"], config["num_trans_channel"], config["addition_time_embed_dim"]
        self.task_embedding = nn.Parameter(torch.empty(self.sorts, channels))
        layers = range(config["num_trans_layer"])
        self.transformer_layes = nn.ModuleList([_SortLayer(channels, config["num_trans_head"]) for _ in layers])
        self.spatial_ch_projs = nn.Linear(channels, config["num_proj_channel"])
        self.control_type_proj = Timesteps(features, config["flip_sin_to_cos"], config["freq_shift"])
        self.control_add_embedding = TimestepEmbedding(self.sorts * features, 4 * config["block_out_channels"][0])

    def refuse(self, inputs: Mapping[str, Array]) -> None:
        super().refuse(inputs)
        counts = [inputs[name].shape[1] for name in _INPUTS if name in inputs]
        if len(set(counts)) > 1 or 0 in counts:
            raise ArrayContractError(
                f"controlnet input: {', '.join(_INPUTS)} must be of as many pictures, at least one, got {', '.join(map(str, counts))}; "
                "pass one of each for a picture"
            )
        if "control_type" in inputs and inputs["control_type"].size:
            low, high = int(inputs["control_type"].min()), int(inputs["control_type"].max())
            if low < 0 or high >= self.sorts:
                raise ArrayContractError(
                    f"controlnet input: control_type must be from 0 to {self.sorts - 1}, got {low} to {high}; choose such sorts"
                )

    def prepare(self, constants: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if not constants.keys() >= {*_INPUTS}:
            return constants
        rest = {name: x for name, x in constants.items() if name not in _INPUTS}
        return rest | self._embedded(*(constants[name] for name in _INPUTS))

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        text_embeds: torch.Tensor | None = None,
        time_ids: torch.Tensor | None = None,
        controlnet_cond: torch.Tensor | None = None,
        control_type: torch.Tensor | None = None,
        control_scale: torch.Tensor | None = None,
        hint: torch.Tensor | None = None,
        sorts_embedding: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        if controlnet_cond is not None and control_type is not None and control_scale is not None:
            embedded = self._embedded(controlnet_cond, control_type, control_scale)
            hint, sorts_embedding = embedded["hint"], embedded["sorts_embedding"]
        extra = self._added(text_embeds, time_ids)
        down, middle = self.module(sample, timestep, encoder_hidden_states, hint, class_labels=sorts_embedding, return_dict=False, **extra)
        return (*down, middle)

    def _embedded(self, pictures: torch.Tensor, sorts: torch.Tensor, scale: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the hint [n, channels, h, w] and the embedding of the sorts [n, time_size]."""
        rows, count = pictures.shape[:2]
        flat = self.embedding((pictures.flip(2) if self.reverse_channels else pictures).flatten(0, 1))
        embedded = flat.unflatten(0, (rows, count))
        vectors = (embedded.mean(dim=(3, 4)) + self.task_embedding[sorts]) * scale[..., None]
        for layer in self.transformer_layes:
            vectors = layer(vectors)
        shifts = self.spatial_ch_projs(vectors)[..., None, None]
        flags = torch.zeros(rows, self.sorts, dtype=flat.dtype, device=flat.device).scatter_(1, sorts, 1)
        features = self.control_type_proj(flags.flatten()).reshape(rows, -1).to(flat.dtype)
        hint = ((embedded + shifts) * scale[..., None, None, None]).sum(dim=1)
        return {"hint": hint, "sorts_embedding": self.control_add_embedding(features)}
