"""ControlNetUnionModel: a ControlNet that takes pictures of several sorts, each with the number of its sort.

Each picture is embedded as in a ControlNet. The mean of its embedding and a learnt vector of its sort pass through small transformer
layers, which yield a vector that is added to the embedding; the sum over the pictures goes into the trunk. The sorts also enter the
embedding of the timestep.

Departs from diffusers 0.42.1, whose layers attend from each row of a batch to the others, as its attention takes rows for a sequence: the
images of a batch then change one another. Here each row attends to itself, as it does in diffusers where the batch holds one image.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from sdrt.arrays import I32, Array, Float
from sdrt.backends.numpy.activations import quick_gelu
from sdrt.backends.numpy.controlnet import ControlNet
from sdrt.backends.numpy.denoiser_configs import UnionConfig
from sdrt.backends.numpy.embeddings import Timesteps, TwoProducts
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.norm import LayerNorm
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.errors import ArrayContractError

__all__ = ["ControlNetUnion", "SortLayer"]

_INPUTS = ("controlnet_cond", "control_type", "control_scale")


@dataclass(frozen=True)
class SortLayer:
    """diffusers' ResidualAttentionBlock on rows that attend to themselves alone: of the attention, value and output products remain."""

    ln_1: LayerNorm
    to_v: Linear
    out_proj: Linear
    ln_2: LayerNorm
    c_fc: Linear
    c_proj: Linear

    @classmethod
    def load(cls, source: Source, width: int) -> Self:
        attention, mlp = source.at("attn"), source.at("mlp")
        # queries and keys decide nothing where there is one key
        weight, bias = attention.take("in_proj_weight", 3 * width, width), attention.take("in_proj_bias", 3 * width)
        return cls(
            ln_1=LayerNorm.load(source.at("ln_1"), width, 1e-5),
            to_v=Linear(source.arithmetic.pack(weight[2 * width :].T), bias[2 * width :]),
            out_proj=Linear.load(attention.at("out_proj"), width, width),
            ln_2=LayerNorm.load(source.at("ln_2"), width, 1e-5),
            c_fc=Linear.load(mlp.at("c_fc"), width, 4 * width),
            c_proj=Linear.load(mlp.at("c_proj"), 4 * width, width),
        )

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        """float[..., width] -> the same."""
        x = self.out_proj(team, self.to_v(team, self.ln_1(team, x)), x)
        hidden = self.c_fc(team, self.ln_2(team, x))
        quick_gelu(hidden, team.scratch, team.arithmetic.exponential)
        return self.c_proj(team, hidden, x)


@dataclass(frozen=True)
class ControlNetUnion:
    """The network.

    Parameters
    ----------
    controlnet : ControlNet
        Everything that a union shares with a plain one.
    task_embedding : float[sorts, channels]
    time : float[n, time_size] or None
        What the sorts add to the embedded timestep, where they are bound.
    hint : float[n, h, w, channels] or None
        The sum over the embedded pictures, where they are bound.
    """

    controlnet: ControlNet
    task_embedding: Float
    transformer_layes: tuple[SortLayer, ...]
    spatial_ch_projs: Linear
    control_type_proj: Timesteps
    control_add_embedding: TwoProducts
    time: Float | None = None
    hint: Float | None = None

    @classmethod
    def load(cls, source: Source, config: UnionConfig) -> Self:
        sorts, channels = config.num_control_type, config.channels[0]
        features = Timesteps(config.control_time_size, config.flip_sin_to_cos, config.freq_shift)
        add = source.at("control_add_embedding")
        return cls(
            controlnet=ControlNet.load(source, config),
            task_embedding=source.take("task_embedding", sorts, channels),
            transformer_layes=tuple(SortLayer.load(source.at("transformer_layes", index), channels) for index in range(config.sort_layers)),
            spatial_ch_projs=Linear.load(source.at("spatial_ch_projs"), channels, channels),
            control_type_proj=features,
            control_add_embedding=TwoProducts.load(add, sorts * config.control_time_size, config.time_embedding_dim),
        )

    def with_constants(self, team: ThreadTeam, constants: Mapping[str, Array]) -> Self:
        """Return the same network with everything computed that these inputs alone decide, the sum over the pictures among it."""
        inner = self.controlnet
        bound = replace(self, controlnet=replace(inner, bound=inner.trunk.bind(team, inner.bound, constants)))
        if self.hint is not None or not constants.keys() >= {*_INPUTS}:
            return bound
        return replace(bound, hint=self._hint(team, constants), time=self._time(team, constants["control_type"]))

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All inputs of the signature -> `additional_residual_0` and so on.

        Raises
        ------
        ArrayContractError : the inputs disagree on the number of rows or pictures, the pictures' size does not fit the sample's, or a
            sort is unknown
        """
        self.controlnet.trunk.check_rows(inputs)
        hint = self._hint(team, inputs) if self.hint is None else self.hint
        return self.controlnet.residuals(team, inputs, hint, self._time(team, inputs["control_type"]) if self.time is None else self.time)

    def _hint(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> Float:
        """Return what the trunk adds to its first convolution: float[n, h, w, channels]."""
        pictures, sorts, scale = (inputs[name] for name in _INPUTS)
        rows, count = pictures.shape[:2]
        if not count or sorts.shape[1] != count or scale.shape[1] != count:
            raise ArrayContractError(
                "controlnet input: controlnet_cond, control_type and control_scale must be of as many pictures, at least one, "
                f"got {count}, {sorts.shape[1]} and {scale.shape[1]}; pass one of each for a picture"
            )
        self._check_sorts(sorts)
        flat = self.controlnet.hint_embedding(team, pictures.reshape(rows * count, *pictures.shape[2:]))
        embedded = flat.reshape(rows, count, *flat.shape[1:])
        total = team.arithmetic.total
        means = (total(embedded, (2, 3), dtype=np.float64) / (flat.shape[1] * flat.shape[2])).astype(flat.dtype)
        vectors = (means + self.task_embedding[sorts]) * scale[..., None]
        for layer in self.transformer_layes:
            vectors = layer(team, vectors)
        shifts = self.spatial_ch_projs(team, vectors)
        return total((embedded + shifts[:, :, None, None]) * scale[..., None, None, None], 1)

    def _time(self, team: ThreadTeam, sorts: I32) -> Float:
        """Return what the embedded timestep is added: float[n, time_size]."""
        self._check_sorts(sorts)
        flags = np.zeros((len(sorts), len(self.task_embedding)), self.task_embedding.dtype)
        np.put_along_axis(flags, sorts, 1, axis=1)
        return self.control_add_embedding(team, self.control_type_proj(team, flags.reshape(-1)).reshape(len(flags), -1))

    def _check_sorts(self, sorts: I32) -> None:
        known = len(self.task_embedding)
        if sorts.size and not 0 <= sorts.min() <= sorts.max() < known:
            raise ArrayContractError(
                f"controlnet input: control_type must be from 0 to {known - 1}, got {sorts.min()} to {sorts.max()}; choose such sorts"
            )
