"""SRVGGNetCompact: convolutions at the size of the input, and a pixel shuffle whose result is added to the nearest neighbours.

Source: XPixelGroup/BasicSR 1.4.2 ``archs/srvgg_arch.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.conv import Conv3x3, padded_copy
from sdrt.backends.numpy.framed_winograd import Frame, convolve, worth_framing
from sdrt.backends.numpy.pixels import RectifiedConv, shuffle
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.models.components.upscaler import CHANNELS

__all__ = ["CompactNet"]

_SLOPES = {"relu": 0.0, "leakyrelu": 0.1}


@dataclass(frozen=True)
class CompactNet:
    """`image` float[n, 3, h, w] -> `upscaled` float[n, 3, s h, s w]."""

    body: tuple[RectifiedConv, ...]
    last: Conv3x3
    scale: int

    @classmethod
    def load(cls, source: Source, config: Mapping[str, Any]) -> Self:
        width, count, scale = config["num_feat"], config["num_conv"] + 1, config["upscale"]

        def slope(index: int) -> Float | float:
            kind = config["act_type"]
            return source.at("body", 2 * index + 1).take("weight", width) if kind == "prelu" else _SLOPES[kind]

        body = tuple(
            RectifiedConv.rectified(source.at("body", 2 * index), width if index else CHANNELS, width, slope(index))
            for index in range(count)
        )
        return cls(body, Conv3x3.load(source.at("body", 2 * count), width, CHANNELS * scale**2), scale)

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        image = np.ascontiguousarray(inputs["image"].transpose(0, 2, 3, 1))
        x = self._features(team, self.body[0](team, padded_copy(team, image)))
        added = shuffle(self.last(team, padded_copy(team, x)), self.scale)
        added += image.repeat(self.scale, 1).repeat(self.scale, 2)
        return {"upscaled": np.ascontiguousarray(added.transpose(0, 3, 1, 2))}

    def _features(self, team: ThreadTeam, x: Float) -> Float:
        """All convolutions between the first and the last."""
        inner = self.body[1:]
        if inner and worth_framing(inner[0], x.shape, x.dtype):
            frame = Frame.holding(team, "features 0", x)
            for index, conv in enumerate(inner, 1):
                frame = convolve(team, conv, frame, f"features {index % 2}")
            return frame.inside
        for conv in inner:
            x = conv(team, padded_copy(team, x))
        return x
