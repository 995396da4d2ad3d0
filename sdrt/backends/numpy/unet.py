"""UNet2DConditionModel: blocks on the way down, in the middle and on the way up, each fed with what the way down left behind."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.activations import silu
from sdrt.backends.numpy.configs import UNetConfig
from sdrt.backends.numpy.conv import Conv3x3, padded_copy
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.norm import GroupNorm
from sdrt.backends.numpy.resnet import Downsample, Resnet, Upsample
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import Team
from sdrt.backends.numpy.transformer import Condition, CrossAttention, Transformer2D
from sdrt.errors import ArrayContractError

__all__ = ["UNet", "timestep_features"]


@dataclass(frozen=True)
class Stage:
    """Residual blocks of one size, each with a transformer behind it or not, and the way to the next size.

    Parameters
    ----------
    attentions : tuple of Transformer2D
        As many as resnets, or none. In the middle one fewer: a resnet, a transformer, a resnet.
    """

    resnets: tuple[Resnet, ...]
    attentions: tuple[Transformer2D, ...] = ()
    downsampler: Downsample | None = None
    upsampler: Upsample | None = None

    def layer(self, team: Team, index: int, x: Float, time: Float, condition: Condition) -> Float:
        """Residual block and transformer of this index."""
        x = self.resnets[index](team, x, time)
        return self.attentions[index](team, x, condition) if index < len(self.attentions) else x


@dataclass(frozen=True)
class UNet:
    """The network.

    Parameters
    ----------
    condition : Condition or None
        What the bound condition has become, see `with_constants`.
    """

    config: UNetConfig
    dtype: np.dtype[Any]
    conv_in: Conv3x3
    time_embedding: tuple[Linear, Linear]
    down_blocks: tuple[Stage, ...]
    mid_block: Stage
    up_blocks: tuple[Stage, ...]
    conv_norm_out: GroupNorm
    conv_out: Conv3x3
    condition: Condition | None = None

    @classmethod
    def load(cls, source: Source, config: UNetConfig) -> Self:
        first, time_size = config.channels[0], config.time_embedding_dim
        time = source.at("time_embedding")
        return cls(
            config=config,
            dtype=source.dtype,
            conv_in=Conv3x3.load(source.at("conv_in"), config.in_channels, first),
            time_embedding=(Linear.load(time.at("linear_1"), first, time_size), Linear.load(time.at("linear_2"), time_size, time_size)),
            down_blocks=tuple(_down_blocks(source, config)),
            mid_block=_mid_block(source.at("mid_block"), config),
            up_blocks=tuple(_up_blocks(source, config)),
            conv_norm_out=GroupNorm.load(source.at("conv_norm_out"), first, config.norm_num_groups, config.norm_eps),
            conv_out=Conv3x3.load(source.at("conv_out"), first, config.out_channels),
        )

    def with_constants(self, team: Team, constants: Mapping[str, Array]) -> Self:
        """The same network with the condition's keys and values computed, if the condition is among the constants."""
        states = constants.get("encoder_hidden_states")
        return self if states is None else replace(self, condition=self._keys_and_values(team, states))

    def run(self, team: Team, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """`sample`, `timestep`, `encoder_hidden_states` -> `noise_pred`.

        Raises
        ------
        ArrayContractError : the three disagree on the number of rows
        """
        rows = {name: len(inputs[name]) for name in ("sample", "timestep", "encoder_hidden_states")}
        if len(set(rows.values())) > 1:
            raise ArrayContractError(
                f"unet input: rows differ: {', '.join(f'{name} has {n}' for name, n in rows.items())}; pass as many of each"
            )
        condition = self.condition or self._keys_and_values(team, inputs["encoder_hidden_states"])
        time = self._time(team, inputs["timestep"])
        sample = inputs["sample"].transpose(0, 2, 3, 1)
        if self.config.center_input_sample:
            sample = 2.0 * sample - 1.0
        x = self.conv_in(team, padded_copy(team, sample))
        skips = [x]
        for block in self.down_blocks:
            for index in range(len(block.resnets)):
                x = block.layer(team, index, x, time, condition)
                skips.append(x)
            if block.downsampler is not None:
                x = block.downsampler(team, x)
                skips.append(x)
        for index in range(len(self.mid_block.resnets)):
            x = self.mid_block.layer(team, index, x, time, condition)
        for block in self.up_blocks:
            for index in range(len(block.resnets)):
                x = block.layer(team, index, np.concatenate([x, skips.pop()], axis=3), time, condition)
            if block.upsampler is not None:
                # the size on the way down, which is not twice this one where that was odd
                x = block.upsampler(team, x, skips[-1].shape[1:3])
        x = self.conv_out(team, self.conv_norm_out.silu_padded(team, x))
        return {"noise_pred": np.ascontiguousarray(x.transpose(0, 3, 1, 2))}

    def _time(self, team: Team, timestep: Float) -> Float:
        """float[n, time_size]: the embedded timestep as every residual block takes it, silu applied."""
        config = self.config
        features = timestep_features(timestep, config.channels[0], config.flip_sin_to_cos, config.freq_shift, self.dtype)
        first, second = self.time_embedding
        hidden = first(team, features)
        silu(hidden, team.scratch, hidden)
        time = second(team, hidden)
        silu(time, team.scratch, time)
        return time

    def _keys_and_values(self, team: Team, states: Float) -> Condition:
        return {attention: attention.to_kv(team, states) for attention in self._cross_attentions()}

    def _cross_attentions(self) -> Iterator[CrossAttention]:
        for stage in (*self.down_blocks, self.mid_block, *self.up_blocks):
            for transformer in stage.attentions:
                for block in transformer.transformer_blocks:
                    yield from block.cross_attentions()


def timestep_features(timestep: Float, size: int, cosines_first: bool, shift: float, dtype: np.dtype[Any]) -> Float:
    """Sines and cosines of a timestep at size/2 frequencies from 1 to nearly 1/10000.

    In float32 every intermediate is rounded as diffusers 0.42.1 `get_timestep_embedding` rounds it: near t = 1000 the angles' own rounding
    moves a sine by 3e-5. In float64 nothing is rounded, where diffusers stays in float32.

    Parameters
    ----------
    timestep : float[n]

    Returns
    -------
    float[n, size]; a last odd column is zero
    """
    half = size // 2
    exponent = np.array(-np.log(10000.0), dtype) * np.arange(half, dtype=dtype) / np.array(half - shift, dtype)
    angle = timestep.astype(dtype)[:, None] * np.exp(exponent.astype(np.float64)).astype(dtype)
    waves = [np.cos(angle), np.sin(angle)] if cosines_first else [np.sin(angle), np.cos(angle)]
    return np.concatenate([*waves, np.zeros((len(timestep), size % 2), dtype)], axis=1)


def _transformers(
    source: Source, config: UNetConfig, level: int, layers: tuple[int, ...], *, only_cross: bool
) -> tuple[Transformer2D, ...]:
    return tuple(
        Transformer2D.load(
            source.at("attentions", index),
            config.channels[level],
            config.heads[level],
            count,
            config.cross_attention_dim,
            config.norm_num_groups,
            linear=config.use_linear_projection,
            only_cross=only_cross,
        )
        for index, count in enumerate(layers)
    )


def _resnet(source: Source, config: UNetConfig, index: int, size_in: int, size_out: int) -> Resnet:
    path = source.at("resnets", index)
    return Resnet.load(path, size_in, size_out, config.norm_num_groups, config.norm_eps, config.time_embedding_dim)


def _down_blocks(source: Source, config: UNetConfig) -> Iterator[Stage]:
    before = config.channels[0]
    for level, (channels, layers) in enumerate(zip(config.channels, config.layers, strict=True)):
        path = source.at("down_blocks", level)
        counts = config.down_transformers[level][:layers] if config.down_attention[level] else ()
        last = level == len(config.channels) - 1
        yield Stage(
            resnets=tuple(_resnet(path, config, index, channels if index else before, channels) for index in range(layers)),
            attentions=_transformers(path, config, level, counts, only_cross=config.only_cross_attention[level]),
            downsampler=None if last else Downsample.load(path.at("downsamplers", 0), channels, config.downsample_padding),
        )
        before = channels


def _mid_block(source: Source, config: UNetConfig) -> Stage:
    channels = config.channels[-1]
    if config.mid is None:
        return Stage(())
    if config.mid == "UNetMidBlock2D":
        # diffusers builds it with its first residual block alone
        return Stage((_resnet(source, config, 0, channels, channels),))
    return Stage(
        resnets=tuple(_resnet(source, config, index, channels, channels) for index in (0, 1)),
        attentions=_transformers(source, config, -1, (config.mid_transformer,), only_cross=False),
    )


def _up_blocks(source: Source, config: UNetConfig) -> Iterator[Stage]:
    levels = len(config.channels)
    before = config.channels[-1]
    for step in range(levels):
        level = levels - 1 - step
        path, channels, layers = source.at("up_blocks", step), config.channels[level], config.layers[level] + 1
        # what the way down left behind: this level's blocks, then what came into the level
        skips = [channels] * (layers - 1) + [config.channels[max(0, level - 1)]]
        counts = config.up_transformers[step][:layers] if config.up_attention[step] else ()
        yield Stage(
            resnets=tuple(
                _resnet(path, config, index, (channels if index else before) + skips[index], channels) for index in range(layers)
            ),
            attentions=_transformers(path, config, level, counts, only_cross=config.only_cross_attention[level]),
            upsampler=Upsample.load(path.at("upsamplers", 0), channels) if level else None,
        )
        before = channels
