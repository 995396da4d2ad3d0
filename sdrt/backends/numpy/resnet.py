"""The residual block that U-Net and autoencoder are made of, and what changes the size between blocks."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.conv import Conv3x3, padded_copy, padded_like
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.norm import GroupNorm
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam

__all__ = ["Downsample", "Resnet", "Upsample"]


@dataclass(frozen=True)
class Resnet:
    """diffusers' ResnetBlock2D: x + conv2(silu(norm2(conv1(silu(norm1(x))) + time))), x through conv_shortcut where widths differ."""

    norm1: GroupNorm
    conv1: Conv3x3
    time_emb_proj: Linear | None
    norm2: GroupNorm
    conv2: Conv3x3
    conv_shortcut: Linear | None

    @classmethod
    def load(cls, source: Source, size_in: int, size_out: int, groups: int, eps: float, time_size: int | None = None) -> Self:
        return cls(
            norm1=GroupNorm.load(source.at("norm1"), size_in, groups, eps),
            conv1=Conv3x3.load(source.at("conv1"), size_in, size_out),
            time_emb_proj=None if time_size is None else Linear.load(source.at("time_emb_proj"), time_size, size_out),
            norm2=GroupNorm.load(source.at("norm2"), size_out, groups, eps),
            conv2=Conv3x3.load(source.at("conv2"), size_out, size_out),
            conv_shortcut=None if size_in == size_out else Linear.load(source.at("conv_shortcut"), size_in, size_out, kernel=(1, 1)),
        )

    def __call__(self, team: ThreadTeam, x: Float, time: Float | None = None) -> Float:
        """float[n, h, w, in] -> float[n, h, w, out]; ``time`` float[n, time_size], silu already applied."""
        shift = self.time_emb_proj(team, time) if self.time_emb_proj is not None and time is not None else None
        hidden = self.conv1(team, self.norm1.silu_padded(team, x), shift=shift)
        straight = x if self.conv_shortcut is None else self.conv_shortcut(team, x)
        return self.conv2(team, self.norm2.silu_padded(team, hidden), residual=straight)


@dataclass(frozen=True)
class Downsample:
    """A convolution that takes every second pixel.

    Parameters
    ----------
    before : 0 or 1
        Padding above and to the left: 1 in the U-Net, 0 in the autoencoder's encoder; below and to the right it is 1.
    """

    conv: Conv3x3
    before: int

    @classmethod
    def load(cls, source: Source, channels: int, before: int) -> Self:
        return cls(Conv3x3.load(source.at("conv"), channels, channels), before)

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        return self.conv(team, padded_copy(team, x, self.before), stride=2)


@dataclass(frozen=True)
class Upsample:
    """Nearest neighbours, then a convolution."""

    conv: Conv3x3

    @classmethod
    def load(cls, source: Source, channels: int) -> Self:
        return cls(Conv3x3.load(source.at("conv"), channels, channels))

    def __call__(self, team: ThreadTeam, x: Float, size: tuple[int, int] | None = None) -> Float:
        """float[n, h, w, c] -> float[n, 2h, 2w, c], or of the height and width ``size``."""
        n, height, width, channels = x.shape
        tall, wide = size or (2 * height, 2 * width)
        whole, inside = padded_like(team, (n, tall, wide, channels), x.dtype)
        if (tall, wide) == (2 * height, 2 * width):
            for row in (0, 1):
                for column in (0, 1):
                    inside[:, row::2, column::2] = x
        else:
            # nearest as torch has it: the source pixel is floor(i * in / out)
            rows, columns = np.arange(tall) * height // tall, np.arange(wide) * width // wide
            inside[...] = x[:, rows[:, None], columns]
        return self.conv(team, whole)
