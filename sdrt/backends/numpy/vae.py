"""AutoencoderKL's two halves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.configs import VaeConfig
from sdrt.backends.numpy.conv import Conv3x3, padded_copy
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.norm import GroupNorm
from sdrt.backends.numpy.resnet import Downsample, Resnet, Upsample
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.transformer import SelfAttention

__all__ = ["Level", "MidBlock", "PixelAttention", "VaeDecoder", "VaeEncoder"]

_EPS = 1e-6  # of every norm, fixed by diffusers


@dataclass(frozen=True)
class PixelAttention:
    """Attention of all pixels to each other with one head over all channels, plus the input."""

    group_norm: GroupNorm
    attention: SelfAttention

    @classmethod
    def load(cls, source: Source, channels: int, groups: int) -> Self:
        norm = GroupNorm.load(source.at("group_norm"), channels, groups, _EPS, is_sequence=True)
        return cls(norm, SelfAttention.load(source, channels, 1, bias=True))

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        """float[n, h, w, c] -> the same."""
        n, height, width, channels = x.shape
        normed = self.group_norm(team, x).reshape(n, height * width, channels)
        return self.attention(team, normed, x.reshape(normed.shape)).reshape(x.shape)


@dataclass(frozen=True)
class MidBlock:
    """Residual block, attention unless the model has none, residual block."""

    resnets: tuple[Resnet, ...]
    attention: PixelAttention | None

    @classmethod
    def load(cls, source: Source, config: VaeConfig) -> Self:
        channels, groups = config.channels[-1], config.norm_num_groups
        attention = PixelAttention.load(source.at("attentions", 0), channels, groups) if config.mid_block_add_attention else None
        return cls(tuple(Resnet.load(source.at("resnets", index), channels, channels, groups, _EPS) for index in (0, 1)), attention)

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        """float[n, h, w, c] -> the same."""
        x = self.resnets[0](team, x)
        if self.attention is not None:
            x = self.attention(team, x)
        return self.resnets[1](team, x)


@dataclass(frozen=True)
class Level:
    """Residual blocks of one size and the way to the next."""

    resnets: tuple[Resnet, ...]
    downsampler: Downsample | None = None
    upsampler: Upsample | None = None

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        for resnet in self.resnets:
            x = resnet(team, x)
        if self.downsampler is not None:
            x = self.downsampler(team, x)
        return x if self.upsampler is None else self.upsampler(team, x)


def _resnets(source: Source, size_in: int, size_out: int, layers: int, groups: int) -> tuple[Resnet, ...]:
    return tuple(
        Resnet.load(source.at("resnets", index), size_out if index else size_in, size_out, groups, _EPS) for index in range(layers)
    )


@dataclass(frozen=True)
class VaeDecoder:
    """`z` float[n, Cz, h, w] -> `image` float[n, C, H, W]."""

    post_quant_conv: Linear | None
    conv_in: Conv3x3
    mid_block: MidBlock
    up_blocks: tuple[Level, ...]
    conv_norm_out: GroupNorm
    conv_out: Conv3x3

    @classmethod
    def load(cls, source: Source, config: VaeConfig) -> Self:
        latent, groups, path = config.latent_channels, config.norm_num_groups, source.at("decoder")
        channels = config.channels[::-1]
        levels = []
        for index, (size_in, size_out) in enumerate(zip((channels[0], *channels), channels, strict=False)):
            block = path.at("up_blocks", index)
            upsampler = Upsample.load(block.at("upsamplers", 0), size_out) if index < len(channels) - 1 else None
            levels.append(Level(_resnets(block, size_in, size_out, config.layers_per_block + 1, groups), upsampler=upsampler))
        post_quant = source.at("post_quant_conv")
        return cls(
            post_quant_conv=Linear.load(post_quant, latent, latent, kernel=(1, 1)) if config.use_post_quant_conv else None,
            conv_in=Conv3x3.load(path.at("conv_in"), latent, channels[0]),
            mid_block=MidBlock.load(path.at("mid_block"), config),
            up_blocks=tuple(levels),
            conv_norm_out=GroupNorm.load(path.at("conv_norm_out"), channels[-1], groups, _EPS),
            conv_out=Conv3x3.load(path.at("conv_out"), channels[-1], config.out_channels),
        )

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        z = np.ascontiguousarray(inputs["z"].transpose(0, 2, 3, 1))
        if self.post_quant_conv is not None:
            z = self.post_quant_conv(team, z)
        x = self.mid_block(team, self.conv_in(team, padded_copy(team, z)))
        for level in self.up_blocks:
            x = level(team, x)
        x = self.conv_out(team, self.conv_norm_out.silu_padded(team, x))
        return {"image": np.ascontiguousarray(x.transpose(0, 3, 1, 2))}


@dataclass(frozen=True)
class VaeEncoder:
    """`x` float[n, C, H, W] -> `moments` float[n, 2 Cz, h, w]: means, then log variances."""

    conv_in: Conv3x3
    down_blocks: tuple[Level, ...]
    mid_block: MidBlock
    conv_norm_out: GroupNorm
    conv_out: Conv3x3
    quant_conv: Linear | None

    @classmethod
    def load(cls, source: Source, config: VaeConfig) -> Self:
        moments, groups, path = 2 * config.latent_channels, config.norm_num_groups, source.at("encoder")
        channels = config.channels
        levels = []
        for index, (size_in, size_out) in enumerate(zip((channels[0], *channels), channels, strict=False)):
            block = path.at("down_blocks", index)
            downsampler = Downsample.load(block.at("downsamplers", 0), size_out, 0) if index < len(channels) - 1 else None
            levels.append(Level(_resnets(block, size_in, size_out, config.layers_per_block, groups), downsampler=downsampler))
        return cls(
            conv_in=Conv3x3.load(path.at("conv_in"), config.in_channels, channels[0]),
            down_blocks=tuple(levels),
            mid_block=MidBlock.load(path.at("mid_block"), config),
            conv_norm_out=GroupNorm.load(path.at("conv_norm_out"), channels[-1], groups, _EPS),
            conv_out=Conv3x3.load(path.at("conv_out"), channels[-1], moments),
            quant_conv=Linear.load(source.at("quant_conv"), moments, moments, kernel=(1, 1)) if config.use_quant_conv else None,
        )

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        x = self.conv_in(team, padded_copy(team, inputs["x"].transpose(0, 2, 3, 1)))
        for level in self.down_blocks:
            x = level(team, x)
        x = self.conv_out(team, self.conv_norm_out.silu_padded(team, self.mid_block(team, x)))
        if self.quant_conv is not None:
            x = self.quant_conv(team, x)
        return {"moments": np.ascontiguousarray(x.transpose(0, 3, 1, 2))}
