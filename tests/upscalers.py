"""Small upscalers with random weights, every tensor random, in each spelling of the names; and the same networks in torch.

The networks are written from the papers' figures as plain functions of a mapping of tensors, so that they share nothing with the product's.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional

from sdrt.arrays import Array

__all__ = ["compact", "compact_tensors", "rrdb", "rrdb_tensors", "save_upscaler", "to_old_names", "to_second_names"]

Tensors = Mapping[str, torch.Tensor]


def _random(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, torch.Tensor]:
    """Matrices with deviation 1/sqrt(fan-in), slopes and biases around 0.1."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator) / float(np.prod(shape[1:]) ** 0.5 if len(shape) > 1 else 5) + (len(shape) == 1) * 0.1
        for name, shape in shapes.items()
    }


def rrdb_tensors(
    *, width: int = 16, growth: int = 8, blocks: int = 2, upsamplings: int = 2, unshuffle: int = 1, seed: int = 0
) -> dict[str, torch.Tensor]:
    """The tensors of an RRDBNet under Real-ESRGAN's names."""
    sizes = {"conv_first": (3 * unshuffle**2, width)}
    for block in range(blocks):
        for part in (1, 2, 3):
            for index in range(5):
                sizes[f"body.{block}.rdb{part}.conv{index + 1}"] = (width + index * growth, width if index == 4 else growth)
    sizes |= dict.fromkeys(("conv_body", *(f"conv_up{index + 1}" for index in range(upsamplings)), "conv_hr"), (width, width))
    sizes["conv_last"] = (width, 3)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (size_in, size_out) in sizes.items():
        shapes |= {f"{name}.weight": (size_out, size_in, 3, 3), f"{name}.bias": (size_out,)}
    return _random(shapes, seed)


def compact_tensors(
    *, width: int = 16, convs: int = 3, scale: int = 4, activation: str = "prelu", seed: int = 0
) -> dict[str, torch.Tensor]:
    """The tensors of an SRVGGNetCompact."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index in range(convs + 2):
        size_in, size_out = (width if index else 3), (3 * scale**2 if index == convs + 1 else width)
        shapes |= {f"body.{2 * index}.weight": (size_out, size_in, 3, 3), f"body.{2 * index}.bias": (size_out,)}
        if activation == "prelu" and index <= convs:
            shapes[f"body.{2 * index + 1}.weight"] = (width,)
    return _random(shapes, seed)


def to_old_names(tensors: Tensors) -> dict[str, torch.Tensor]:
    """The names of ESRGAN's first code: a flat list of modules, in which nearest neighbours and activations have numbers too."""
    blocks = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("body."))
    ups = sum(name.startswith("conv_up") for name in tensors) // 2
    places = {"conv_first": "model.0", "conv_body": f"model.1.sub.{blocks}"}
    places |= {f"conv_up{index}": f"model.{3 * index}" for index in range(1, ups + 1)}
    places |= {"conv_hr": f"model.{3 * ups + 2}", "conv_last": f"model.{3 * ups + 4}"}
    renamed = {}
    for name, tensor in tensors.items():
        module, _, end = name.rpartition(".")
        if module.startswith("body."):
            _, block, dense, conv = module.split(".")
            place = f"model.1.sub.{block}.{dense.upper()}.{conv}.0"
        else:
            place = places[module]
        renamed[f"{place}.{end}"] = tensor
    return renamed


def to_second_names(tensors: Tensors) -> dict[str, torch.Tensor]:
    """The names of ESRGAN's second code, BSRGAN and RealSR."""
    exchanged = [("conv_body", "trunk_conv"), ("body.", "RRDB_trunk."), (".rdb", ".RDB"), ("conv_up", "upconv"), ("conv_hr", "HRconv")]
    renamed = {}
    for stored, tensor in tensors.items():
        name = stored
        for old, new in exchanged:
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


def save_upscaler(file: Path, tensors: Tensors | None = None) -> Path:
    """Write tensors, by default those of a small RRDBNet of scale 4, and return the file."""
    save_file({name: tensor.contiguous() for name, tensor in (tensors or rrdb_tensors()).items()}, file)
    return file


def rrdb(tensors: Tensors, image: Array) -> Array:
    """An RRDBNet, float64[n,3,H,W] -> float64[n,3,sH,sW]: figure 4 of Wang et al. 2018 (arXiv:1809.00219)."""
    weights = {name: tensor.double() for name, tensor in tensors.items()}
    packed = int((weights["conv_first.weight"].shape[1] / 3) ** 0.5)
    x = torch.from_numpy(image).double()
    height, width = x.shape[2:]
    x = functional.pad(x, (0, -width % packed, 0, -height % packed), mode="reflect")
    x = torch.cat(
        [x[:, [channel], row::packed, column::packed] for channel in range(3) for row in range(packed) for column in range(packed)], 1
    )

    def conv(name: str, y: torch.Tensor, slope: float = 1.0) -> torch.Tensor:
        y = functional.conv2d(y, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)
        return torch.where(y > 0, y, slope * y)

    first = y = conv("conv_first", x)
    block = 0
    while f"body.{block}.rdb1.conv1.weight" in weights:
        outer = y
        for part in ("rdb1", "rdb2", "rdb3"):
            path, features = f"body.{block}.{part}", [y]
            for index in (1, 2, 3, 4):
                features.append(conv(f"{path}.conv{index}", torch.cat(features, 1), 0.2))
            y = y + 0.2 * conv(f"{path}.conv5", torch.cat(features, 1))
        y = outer + 0.2 * y
        block += 1
    y = first + conv("conv_body", y)
    up, scale = 1, 1.0 / packed
    while f"conv_up{up}.weight" in weights:
        y = conv(f"conv_up{up}", y.repeat_interleave(2, 2).repeat_interleave(2, 3), 0.2)
        up, scale = up + 1, 2 * scale
    y = conv("conv_last", conv("conv_hr", y, 0.2))
    return y[:, :, : int(height * scale), : int(width * scale)].numpy()


def compact(tensors: Tensors, image: Array, slope: float | None = None) -> Array:
    """An SRVGGNetCompact, float64[n,3,H,W] -> float64[n,3,sH,sW]; ``slope`` of activations without weights."""
    weights = {name: tensor.double() for name, tensor in tensors.items()}
    x = y = torch.from_numpy(image).double()
    last = max(int(name.split(".")[1]) for name in weights)
    for index in range(0, last + 1, 2):
        y = functional.conv2d(y, weights[f"body.{index}.weight"], weights[f"body.{index}.bias"], padding=1)
        if index < last:
            slopes = weights[f"body.{index + 1}.weight"][:, None, None] if slope is None else slope
            y = torch.where(y > 0, y, slopes * y)
    scale = int((y.shape[1] / 3) ** 0.5)
    n, _, height, width = y.shape
    squares = y.reshape(n, 3, scale, scale, height, width).permute(0, 1, 4, 2, 5, 3)
    return (squares.reshape(n, 3, height * scale, width * scale) + x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)).numpy()
