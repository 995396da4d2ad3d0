"""RRDBNet: dense blocks with residuals around three of them, and upsamplings by nearest neighbours.

Source: Wang et al. 2018, ESRGAN (arXiv:1809.00219), section 3.1; XPixelGroup/BasicSR 1.4.2 ``archs/rrdbnet_arch.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.conv import Conv3x3, padded_copy, padded_like
from sdrt.backends.numpy.framed_winograd import Blocks, Finish, Frame, convolve, into, worth_framing
from sdrt.backends.numpy.pixels import RectifiedConv, mirrored, unshuffle
from sdrt.backends.numpy.resnet import Upsample
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.models.components.upscaler import CHANNELS, scale_of

__all__ = ["DenseBlock", "RrdbNet"]

_SLOPE = 0.2  # of every rectifier
_SHARE = 0.2  # of what a block computes, in the sum with what it was given
_CONVS, _DENSE_BLOCKS = 5, 3


@dataclass(frozen=True)
class DenseBlock:
    """Five convolutions, each of which sees the input and what all convolutions before it gave; a share of the last, plus the input."""

    convs: tuple[Conv3x3, ...]

    @classmethod
    def load(cls, source: Source, width: int, growth: int) -> Self:
        rectified = [
            RectifiedConv.rectified(source.at(f"conv{index + 1}"), width + index * growth, growth, _SLOPE) for index in range(_CONVS - 1)
        ]
        return cls((*rectified, Conv3x3.load(source.at(f"conv{_CONVS}"), width + (_CONVS - 1) * growth, width)))

    def __call__(self, team: ThreadTeam, x: Float) -> Float:
        """float[n, h, w, width] -> the same."""
        if worth_framing(self.convs[0], x.shape, x.dtype):
            return self._by_winograd(team, x)
        seen = [x]
        for conv in self.convs:
            whole, inside = padded_like(team, (*x.shape[:3], sum(each.shape[3] for each in seen)), x.dtype)
            np.concatenate(seen, axis=3, out=inside)
            seen.append(conv(team, whole))
        return _shared(seen[-1], x)

    def _by_winograd(self, team: ThreadTeam, x: Float) -> Float:
        first, last = Frame.holding(team, "dense 0", x), self.convs[-1]
        blocks = Blocks.of(team, x.shape, len(last.winograd.weight[0]))
        frame, seen = first, 0
        for index, conv in enumerate(self.convs[:-1], 1):
            given = Frame.of(team, f"dense {index}", (*x.shape[:3], len(conv.bias)))
            blocks.convolve(team, conv.winograd.weight, frame, into(conv, given), seen)
            given.clear()
            seen, frame = seen + frame.whole.shape[3], given
        out = Frame.new(x.shape)
        blocks.convolve(team, last.winograd.weight, frame, _sharing(last, out, first), seen)
        return out.inside


def _sharing(conv: Conv3x3, out: Frame, first: Frame) -> Finish:
    """Return what finishes tiles, and puts their share plus what the block was given into pictures."""

    def finish(y: Float, image: int, rows: range) -> None:
        conv.finish(y)
        y *= y.dtype.type(_SHARE)
        np.add(y.transpose(2, 0, 3, 1, 4), first.tiles(image, rows), out=out.tiles(image, rows))

    return finish


def _shared(y: Float, x: Float) -> Float:
    y *= y.dtype.type(_SHARE)
    y += x
    return y


@dataclass(frozen=True)
class RrdbNet:
    """`image` float[n, 3, h, w] -> `upscaled` float[n, 3, s h, s w]."""

    conv_first: Conv3x3
    blocks: tuple[tuple[DenseBlock, ...], ...]
    conv_body: Conv3x3
    ups: tuple[Upsample, ...]
    conv_hr: RectifiedConv
    conv_last: Conv3x3
    unshuffle: int
    scale: int

    @classmethod
    def load(cls, source: Source, config: Mapping[str, Any]) -> Self:
        width, growth, factor = config["num_feat"], config["num_grow_ch"], config["unshuffle"]
        return cls(
            conv_first=Conv3x3.load(source.at("conv_first"), CHANNELS * factor**2, width),
            blocks=tuple(
                tuple(DenseBlock.load(source.at("body", index, f"rdb{part + 1}"), width, growth) for part in range(_DENSE_BLOCKS))
                for index in range(config["num_block"])
            ),
            conv_body=Conv3x3.load(source.at("conv_body"), width, width),
            ups=tuple(
                Upsample(RectifiedConv.rectified(source.at(f"conv_up{index + 1}"), width, width, _SLOPE))
                for index in range(config["upsamplings"])
            ),
            conv_hr=RectifiedConv.rectified(source.at("conv_hr"), width, width, _SLOPE),
            conv_last=Conv3x3.load(source.at("conv_last"), width, CHANNELS),
            unshuffle=factor,
            scale=scale_of(config),
        )

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        height, width = inputs["image"].shape[2:]
        image = unshuffle(mirrored(inputs["image"].transpose(0, 2, 3, 1), self.unshuffle), self.unshuffle)
        features = self.conv_first(team, padded_copy(team, image))
        x = features
        for block in self.blocks:
            before = x
            for dense in block:
                x = dense(team, x)
            x = _shared(x, before)
        x = self.conv_body(team, padded_copy(team, x), residual=features)
        x = self._enlarged(team, x)
        kept = x[:, : height * self.scale, : width * self.scale]
        return {"upscaled": np.ascontiguousarray(kept.transpose(0, 3, 1, 2))}

    def _enlarged(self, team: ThreadTeam, x: Float) -> Float:
        """Features -> colours, at the size of the result."""
        if not worth_framing(self.conv_hr, x.shape, x.dtype):
            for up in self.ups:
                x = up(team, x)
            return self.conv_last(team, padded_copy(team, self.conv_hr(team, padded_copy(team, x))))
        frame = Frame.holding(team, "enlarged", x)
        for up in self.ups:
            frame = convolve(team, up.conv, Frame.holding(team, "larger", frame.inside, 2), "enlarged")
        frame = convolve(team, self.conv_hr, frame, "larger")
        return self.conv_last(team, padded_copy(team, frame.inside))
