"""Upscalers on numpy beside the same networks in torch, in one process, and pictures in tiles beside the whole.

    python -m benchmarks.upscalers [--out upscalers.json]

Both have one thread, and calls alternate between the two: on a machine with other load torch's threads wait for each other in loops, and
several would be measured busy with that. Networks have the published widths and random weights. Torch runs in float32, eagerly, uncompiled,
channels innermost.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks.report import main
from sdrt.arrays import Array
from sdrt.backends import BackendOptions, registry
from sdrt.backends.torch.upscaler import build_upscaler
from sdrt.metrics import psnr
from sdrt.models import open_upscaler
from sdrt.upscaling import load_upscaler

__all__ = ["measure"]

_RRDB: Mapping[str, Any] = {"_class_name": "RRDBNet", "num_feat": 64, "num_grow_ch": 32, "upsamplings": 2}
_COMPACT: Mapping[str, Any] = {"_class_name": "SRVGGNetCompact", "num_feat": 64, "upscale": 4, "act_type": "prelu"}
# Of each its configuration and the side of the picture that it enlarges.
_NETWORKS: Mapping[str, tuple[dict[str, Any], int]] = {
    "RealESRGAN_x4plus": ({**_RRDB, "num_block": 23, "unshuffle": 1}, 64),
    "RealESRGAN_x2plus": ({**_RRDB, "num_block": 23, "unshuffle": 2}, 128),
    "RealESRGAN_x4plus_anime_6B": ({**_RRDB, "num_block": 6, "unshuffle": 1}, 96),
    "realesr-animevideov3": ({**_COMPACT, "num_conv": 16}, 128),
    "realesr-general-x4v3": ({**_COMPACT, "num_conv": 32}, 128),
}
_REPEATS = 3


def measure() -> dict[str, Any]:
    """Measure each network: seconds of a call, and the largest difference over the largest value; then tiles."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: _write(Path(folder) / f"{name}.safetensors", config) for name, (config, _) in _NETWORKS.items()}
        results: dict[str, Any] = {"threads": 1}
        results |= {f"{name}_{side}x{side}": _race(files[name], side) for name, (_, side) in _NETWORKS.items()}
        results["tiles_of_RealESRGAN_x4plus"] = _tiles(files["RealESRGAN_x4plus"])
    return results


def _write(file: Path, config: Mapping[str, Any]) -> Path:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(each.shape, generator=generator) / (float(each[0].numel()) ** 0.5 if each.ndim > 1 else 10.0)
        for name, each in build_upscaler(config, row_by_row=False).state_dict().items()
    }
    save_file(tensors, file)
    return file


def _race(file: Path, side: int) -> dict[str, Any]:
    """Run both once without measuring, then alternately."""
    image = np.random.default_rng(0).random((1, 3, side, side), dtype=np.float32)
    networks = {name: registry.get(name).open("upscaler", open_upscaler(file), BackendOptions(threads=1)) for name in ("numpy", "torch")}
    outputs = {name: network(image=image)["upscaled"] for name, network in networks.items()}
    wall: dict[str, list[float]] = {name: [] for name in networks}
    processor: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(_REPEATS):
        for name, network in networks.items():
            started = time.perf_counter(), time.process_time()
            network(image=image)
            wall[name].append(time.perf_counter() - started[0])
            processor[name].append(time.process_time() - started[1])
    for network in networks.values():
        network.close()
    of_wall, of_processor = (
        {f"{name}_{kind}": {"min": min(values), "median": statistics.median(values)} for name, values in seconds.items()}
        for kind, seconds in (("seconds", wall), ("processor_seconds", processor))
    )
    both = (("wall", wall), ("processor", processor))
    ratios = {f"numpy_over_torch_{kind}": min(seconds["numpy"]) / min(seconds["torch"]) for kind, seconds in both}
    difference = float(np.abs(outputs["numpy"] - outputs["torch"]).max() / np.abs(outputs["torch"]).max())
    return {**of_wall, **of_processor, **ratios, "relative_difference": difference}


def _tiles(file: Path) -> dict[str, Any]:
    """Compare the default tiles with the whole picture, all of the network's 23 blocks being random."""
    rows, columns = np.mgrid[:128, :260]
    waves = np.stack([np.sin(rows / 9 + columns / (11 + 4 * channel)) * 60 + 128 for channel in range(3)], 2)
    noisy = waves + np.where(rows > columns / 2, 40, -40)[..., None] + np.random.default_rng(0).normal(0, 4, waves.shape)
    picture = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    whole, tiled = (np.asarray(load_upscaler(file, tile=tile)(picture), float) for tile in (1000, None))
    return {"picture": "260x128", "psnr_db": psnr(whole, tiled, 255.0), "largest_difference": float(np.abs(whole - tiled).max())} | _steps(
        whole, tiled
    )


def _steps(whole: Array, tiled: Array) -> dict[str, float]:
    """Return how much the steps from column to column are changed at most, on average over a column, and how large they are."""
    changed = np.abs(np.diff(tiled, axis=1) - np.diff(whole, axis=1)).mean((0, 2))
    return {"largest_change_of_a_columns_step": float(changed.max()), "mean_step": float(np.abs(np.diff(whole, axis=1)).mean())}


if __name__ == "__main__":
    main("upscalers", measure)
