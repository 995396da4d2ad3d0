"""T2IAdapter: the pixels of squares become channels, and blocks of convolutions make a feature each, of falling size.

Source: Mou et al. 2023 (arXiv:2302.08453); diffusers 0.42.1 ``models/adapter.py``: ``FullAdapter``, ``FullAdapterXL``, ``LightAdapter``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.conv import Conv3x3, padded_copy
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.pixels import unshuffle
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.errors import ArrayContractError
from sdrt.models.components.t2i_adapters import feature_sizes

__all__ = ["T2IAdapter"]


@dataclass(frozen=True)
class _Residual:
    """x + block2(relu(block1(x))); the second convolution is of one pixel in a full adapter, of 3x3 in a light one."""

    block1: Conv3x3
    block2: Conv3x3 | Linear

    @classmethod
    def load(cls, source: Source, channels: int, *, light: bool) -> Self:
        second = source.at("block2")
        block2 = Conv3x3.load(second, channels, channels) if light else Linear.load(second, channels, channels, kernel=(1, 1))
        return cls(Conv3x3.load(source.at("block1"), channels, channels), block2)

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        hidden = self.block1(team, padded_copy(team, x))
        np.maximum(hidden, 0, out=hidden)
        if isinstance(self.block2, Linear):
            return self.block2(team, hidden, residual=x)
        return self.block2(team, padded_copy(team, hidden), residual=x)


@dataclass(frozen=True)
class _Block:
    """Means of squares where the feature is half as large, then convolutions of one pixel where widths change, around residuals."""

    halves: bool
    in_conv: Linear | None
    resnets: tuple[_Residual, ...]
    out_conv: Linear | None

    @classmethod
    def load(cls, source: Source, size_in: int, size_out: int, count: int, *, light: bool, halves: bool) -> Self:
        inner = size_out // 4 if light else size_out

        def product(name: str, before: int, after: int) -> Linear:
            return Linear.load(source.at(name), before, after, kernel=(1, 1))

        return cls(
            halves=halves,
            in_conv=product("in_conv", size_in, inner) if light or size_in != inner else None,
            resnets=tuple(_Residual.load(source.at("resnets", index), inner, light=light) for index in range(count)),
            out_conv=product("out_conv", inner, size_out) if light else None,
        )

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        x = _halved(x) if self.halves else x
        x = x if self.in_conv is None else self.in_conv(team, x)
        for residual in self.resnets:
            x = residual(team, x)
        return x if self.out_conv is None else self.out_conv(team, x)


@dataclass(frozen=True)
class T2IAdapter:
    """The network.

    Parameters
    ----------
    square : int
        The side of the squares whose pixels become channels.
    conv_in : Conv3x3 or None
        A light adapter has none.
    body : tuple of _Block
        One for each feature.
    """

    square: int
    conv_in: Conv3x3 | None
    body: tuple[_Block, ...]

    @classmethod
    def load(cls, source: Source, config: Mapping[str, Any]) -> Self:
        """Read it by a complete configuration."""
        square, count, light = config["downscale_factor"], config["num_res_blocks"], config["adapter_type"] == "light_adapter"
        source, sizes = source.at("adapter"), feature_sizes(config)
        pixels = config["in_channels"] * square**2
        first, before = sizes[0][0], pixels if light else sizes[0][0]
        steps = pairwise([(before, square), *sizes])
        return cls(
            square=square,
            conv_in=None if light else Conv3x3.load(source.at("conv_in"), pixels, first),
            body=tuple(
                _Block.load(source.at("body", index), size_in, size_out, count, light=light, halves=after > scale)
                for index, ((size_in, scale), (size_out, after)) in enumerate(steps)
            ),
        )

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """``image`` float[n,C,H,W] in [0, 1] -> ``feature_0`` and so on.

        Raises
        ------
        ArrayContractError : the sides are no multiples of the squares'
        """
        image = inputs["image"]
        height, width = image.shape[2:]
        if height % self.square or width % self.square:
            raise ArrayContractError(
                f"t2i_adapter input: image must have sides in multiples of {self.square}, got {height}x{width}; pass such a picture"
            )
        x = unshuffle(image.transpose(0, 2, 3, 1), self.square)
        if self.conv_in is not None:
            x = self.conv_in(team, padded_copy(team, x))
        features: dict[str, Array] = {}
        for index, block in enumerate(self.body):
            x = block(team, x)
            features[f"feature_{index}"] = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        return features


def _halved(x: Float) -> Float:
    """Return the means of 2x2 values: float[n,h,w,c] -> float[n,ceil(h/2),ceil(w/2),c]; at an odd edge, those of the values there are."""
    for axis in (1, 2):
        first = x.take(range(0, x.shape[axis], 2), axis)
        second = x.take(range(1, x.shape[axis], 2), axis)
        inside = (slice(None),) * axis + (slice(0, second.shape[axis]),)
        first[inside] += second
        first[inside] *= 0.5
        x = first
    return x
