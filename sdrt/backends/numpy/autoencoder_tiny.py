"""AutoencoderTiny's two halves: convolutions and rectifiers, without norms and attention.

Source: ``EncoderTiny``, ``DecoderTiny`` and ``AutoencoderTinyBlock`` of diffusers 0.42.1; madebyollin/taesd.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.activations import gelu, silu
from sdrt.backends.numpy.config_reader import ConfigReader
from sdrt.backends.numpy.conv import Conv3x3, padded_copy, padded_like
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam

__all__ = ["Activation", "TinyBlock", "TinyConfig", "TinyConv", "TinyDecoder", "TinyEncoder", "TinyUpsample"]

_MAGNITUDE = 3.0  # of the latents that a decoder takes, which are bent smoothly into this


@dataclass(frozen=True, kw_only=True)
class TinyConfig:
    """What this backend needs of the configuration of one half.

    Parameters
    ----------
    size_in, width, size_out : int
        Channels of what comes in, of every level and of what goes out.
    blocks : tuple of int
        Of each level.
    act_fn : "relu", "silu", "swish" or "gelu"
    factor : int
        By which a decoder enlarges between two levels.
    """

    size_in: int
    width: int
    size_out: int
    blocks: tuple[int, ...]
    act_fn: str
    factor: int

    @classmethod
    def read(cls, half: str, file: Path, values: Mapping[str, Any]) -> Self:
        """Check a whole configuration; raises ConfigError that names file, key, value and what is supported."""
        reader = ConfigReader(file, values)
        decodes = half == "decoder"
        reader.only("upsample_fn", "nearest")
        pictures, latents = values["out_channels" if decodes else "in_channels"], values["latent_channels"]
        return cls(
            size_in=latents if decodes else pictures,
            width=values[f"{half}_block_out_channels"][0],
            size_out=pictures if decodes else latents,
            blocks=tuple(values[f"num_{half}_blocks"]),
            act_fn=reader.only("act_fn", "relu", "silu", "swish", "gelu"),
            factor=values["upsampling_scaling_factor"],
        )


@dataclass(frozen=True)
class Activation:
    """One of the functions between two convolutions."""

    name: str

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        """float[n, h, w, c] -> the same array, changed."""
        if self.name == "relu":
            np.maximum(x, 0.0, out=x)
            return x
        # whatever the shape, in pieces that the cache holds: a picture's rows
        for row in x.reshape(-1, *x.shape[2:]):
            if self.name == "gelu":
                gelu(row, team.scratch, team.arithmetic.exponential)
            else:
                silu(row, team.scratch, row, team.arithmetic.exponential)
        return x

    def padded(self, team: ThreadTeam, x: Float) -> Float:
        """Return the function of ``x``, which it may change, in a frame of zeros: float[n, h+2, w+2, c] in scratch memory."""
        if self.name != "relu":
            return padded_copy(team, self(team, x))
        whole, inside = padded_like(team, x.shape, x.dtype)
        np.maximum(x, 0.0, out=inside)
        return whole


@dataclass(frozen=True)
class TinyBlock:
    """relu(x + conv(act(conv(act(conv(x))))))."""

    first: Conv3x3
    second: Conv3x3
    third: Conv3x3
    act: Activation

    @classmethod
    def load(cls, source: Source, width: int, act_fn: str) -> Self:
        first, second, third = (Conv3x3.load(source.at("conv", place), width, width) for place in (0, 2, 4))
        return cls(first, second, third, Activation(act_fn))

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        """float[n, h, w, c] -> the same."""
        hidden = self.first(team, padded_copy(team, x))
        hidden = self.second(team, self.act.padded(team, hidden))
        out = self.third(team, self.act.padded(team, hidden), residual=x)
        # whatever the activation inside is
        np.maximum(out, 0.0, out=out)
        return out


@dataclass(frozen=True)
class TinyUpsample:
    """Nearest neighbours."""

    factor: int

    def __call__(self, team: ThreadTeam, x: Float) -> Float:  # noqa: ARG002 as the other layers
        """float[n, h, w, c] -> float[n, f h, f w, c]."""
        return x.repeat(self.factor, axis=1).repeat(self.factor, axis=2)


@dataclass(frozen=True)
class TinyConv:
    """A convolution that pads by itself, between two levels or at an end."""

    conv: Conv3x3
    stride: int = 1

    @classmethod
    def load(cls, source: Source, size_in: int, size_out: int, *, stride: int = 1, bias: bool = True) -> Self:
        return cls(Conv3x3.load(source, size_in, size_out, bias=bias), stride)

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        """float[n, h, w, in] -> float[n, ceil(h / stride), ceil(w / stride), out]."""
        return self.conv(team, padded_copy(team, x), stride=self.stride)


Layer: TypeAlias = TinyConv | TinyBlock | Activation | TinyUpsample


@dataclass(frozen=True)
class TinyDecoder:
    """`z` float[n, Cz, h, w] -> `image` float[n, C, H, W]."""

    layers: tuple[Layer, ...]

    @classmethod
    def load(cls, source: Source, config: TinyConfig) -> Self:
        path, width = source.at("decoder", "layers"), config.width
        layers: list[Layer] = [TinyConv.load(path.at(0), config.size_in, width), Activation(config.act_fn)]
        last = len(config.blocks) - 1
        for level, blocks in enumerate(config.blocks):
            for _ in range(blocks):
                layers.append(TinyBlock.load(path.at(len(layers)), width, config.act_fn))
            if level < last:
                layers.append(TinyUpsample(config.factor))
            size_out = width if level < last else config.size_out
            layers.append(TinyConv.load(path.at(len(layers)), width, size_out, bias=level == last))
        return cls(tuple(layers))

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        x = _bent(team, np.ascontiguousarray(inputs["z"].transpose(0, 2, 3, 1)))
        for layer in self.layers:
            x = layer(team, x)
        # to [-1, 1] from [0, 1], in which the layers draw
        x *= 2.0
        x -= 1.0
        return {"image": np.ascontiguousarray(x.transpose(0, 3, 1, 2))}


@dataclass(frozen=True)
class TinyEncoder:
    """`x` float[n, C, H, W] -> `latents` float[n, Cz, h, w]."""

    layers: tuple[Layer, ...]

    @classmethod
    def load(cls, source: Source, config: TinyConfig) -> Self:
        path, width = source.at("encoder", "layers"), config.width
        layers: list[Layer] = []
        for level, blocks in enumerate(config.blocks):
            size_in, stride = (width, 2) if level else (config.size_in, 1)
            layers.append(TinyConv.load(path.at(len(layers)), size_in, width, stride=stride, bias=not level))
            for _ in range(blocks):
                layers.append(TinyBlock.load(path.at(len(layers)), width, config.act_fn))
        layers.append(TinyConv.load(path.at(len(layers)), width, config.size_out))
        return cls(tuple(layers))

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        # from [-1, 1] to [0, 1], which the layers take
        x: Float = np.ascontiguousarray(inputs["x"].transpose(0, 2, 3, 1)) + 1.0
        x *= 0.5
        for layer in self.layers:
            x = layer(team, x)
        return {"latents": np.ascontiguousarray(x.transpose(0, 3, 1, 2))}


def _bent(team: ThreadTeam, z: Float) -> Float:
    """3 tanh(z / 3), by an exponential that is small where tanh is near its ends."""
    small = team.arithmetic.exp(np.abs(z) * (-2.0 / _MAGNITUDE))
    bent: Float = np.copysign((1.0 - small) / (1.0 + small) * _MAGNITUDE, z)
    return bent.astype(z.dtype, copy=False)
