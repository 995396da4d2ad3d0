"""RRDBNet and SRVGGNetCompact as torch modules, under the names of BasicSR, which are canonical.

Source: Wang et al. 2018, ESRGAN (arXiv:1809.00219), section 3.1; XPixelGroup/BasicSR 1.4.2 ``archs/rrdbnet_arch.py`` and
``archs/srvgg_arch.py``.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sdrt.backends.torch.adapter import Adapter
from sdrt.models.components.upscaler import CHANNELS, is_compact, scale_of

__all__ = ["Compact", "Rrdb", "build_upscaler"]

_SLOPE = 0.2
_SHARE = 0.2


def build_upscaler(config: Mapping[str, Any], row_by_row: bool) -> Adapter:
    """Build the module of a complete configuration."""
    return Compact(config, row_by_row) if is_compact(config) else Rrdb(config, row_by_row)


class _PictureNetwork(Adapter):
    """A network of one picture or many."""

    def __init__(self, row_by_row: bool) -> None:
        super().__init__()
        self.row_by_row = row_by_row

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows = torch.split(image, 1) if self.row_by_row else (image,)
        return (torch.cat([self.enlarge(each) for each in rows]),)

    def enlarge(self, image: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class Compact(_PictureNetwork):
    """The compact form."""

    def __init__(self, config: Mapping[str, Any], row_by_row: bool) -> None:
        super().__init__(row_by_row)
        width, self.scale = config["num_feat"], config["upscale"]
        layers: list[nn.Module] = []
        for index in range(config["num_conv"] + 1):
            layers += [_conv(width if index else CHANNELS, width), _activation(config["act_type"], width)]
        self.body = nn.Sequential(*layers, _conv(width, CHANNELS * self.scale**2))

    def enlarge(self, image: torch.Tensor) -> torch.Tensor:
        nearest = functional.interpolate(image, scale_factor=self.scale, mode="nearest")
        shuffled: torch.Tensor = functional.pixel_shuffle(self.body(image), self.scale)
        return shuffled + nearest


class _DenseBlock(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for index in range(1, 5):
            self.add_module(f"conv{index}", _conv(width + (index - 1) * growth, growth))
        self.conv5 = _conv(width + 4 * growth, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = x
        for index in range(1, 5):
            given = functional.leaky_relu(self.get_submodule(f"conv{index}")(seen), _SLOPE)
            seen = torch.cat([seen, given], 1)
        return torch.add(x, self.conv5(seen), alpha=_SHARE)


class _Block(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (_DenseBlock(width, growth) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=_SHARE)


class Rrdb(_PictureNetwork):
    """ESRGAN's network."""

    def __init__(self, config: Mapping[str, Any], row_by_row: bool) -> None:
        super().__init__(row_by_row)
        width, self.unshuffle, self.scale = config["num_feat"], config["unshuffle"], scale_of(config)
        self.ups = range(1, config["upsamplings"] + 1)
        self.conv_first = _conv(CHANNELS * self.unshuffle**2, width)
        self.body = nn.Sequential(*(_Block(width, config["num_grow_ch"]) for _ in range(config["num_block"])))
        self.conv_body = _conv(width, width)
        for index in self.ups:
            self.add_module(f"conv_up{index}", _conv(width, width))
        self.conv_hr = _conv(width, width)
        self.conv_last = _conv(width, CHANNELS)

    def enlarge(self, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[2:]
        x = _mirrored(_mirrored(image, 2, self.unshuffle), 3, self.unshuffle)
        x = self.conv_first(functional.pixel_unshuffle(x, self.unshuffle))
        x = x + self.conv_body(self.body(x))
        for index in self.ups:
            larger = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = functional.leaky_relu(self.get_submodule(f"conv_up{index}")(larger), _SLOPE)
        x = functional.leaky_relu(self.conv_hr(x), _SLOPE)
        upscaled: torch.Tensor = self.conv_last(x)
        return upscaled[:, :, : height * self.scale, : width * self.scale]


def _conv(size_in: int, size_out: int) -> nn.Conv2d:
    return nn.Conv2d(size_in, size_out, 3, padding=1)


def _activation(kind: str, width: int) -> nn.Module:
    return nn.PReLU(width) if kind == "prelu" else nn.LeakyReLU(0.1 if kind == "leakyrelu" else 0.0)


def _mirrored(x: torch.Tensor, dim: int, multiple: int) -> torch.Tensor:
    """Continue pictures by their mirror image to a multiple; a side that is too short for it by its first pixel."""
    side = x.shape[dim]
    more = -side % multiple
    if not more:
        return x
    places = [*range(side), *(max(0, side - 2 - step) for step in range(more))]
    return x.index_select(dim, torch.tensor(places, device=x.device))
