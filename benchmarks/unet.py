"""Networks on numpy beside the same networks in torch, in one process: the U-Net of Stable Diffusion 1.5, and the embedded model.

    python -m benchmarks.unet [--out unet.json]

Calls alternate between the two, so that other load on the machine affects both equally. Torch runs in float32, eagerly, uncompiled.
"""

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from benchmarks.report import main
from sdrt.arrays import Array
from sdrt.backends import BackendOptions
from sdrt.backends.numpy import NumpyBackend
from sdrt.models import open_model, path

__all__ = ["measure"]

_SD15: Mapping[str, Any] = {"cross_attention_dim": 768}  # otherwise diffusers' defaults are Stable Diffusion 1.5
_FOLDERS = ("text_encoder", "vae", "tokenizer", "scheduler")


def measure() -> dict[str, Any]:
    """Measure each network: min and median seconds of a call, largest difference over the largest value, memory in MiB."""
    results: dict[str, Any] = {"threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as folder:
        results["sd15_unet_2x64x64"] = _stable_diffusion(Path(folder))
    results["nano_unet_2x16x16"] = _nano_unet()
    results["nano_vae_decoder_1x16x16"] = _nano_decoder()
    return results


def _stable_diffusion(folder: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**_SD15).eval().requires_grad_(False)
    for name in _FOLDERS:
        (folder / name).mkdir()
    unet.save_pretrained(folder / "unet")
    before = _peak_memory()
    start = time.perf_counter()
    network = NumpyBackend().open("unet", open_model(folder), BackendOptions())
    opened = time.perf_counter() - start
    sample, timestep, condition = _inputs(64, 768)
    bound = network.bind(encoder_hidden_states=condition)
    first = bound(sample=sample, timestep=timestep)["noise_pred"]
    memory = _peak_memory() - before
    arrays = [torch.from_numpy(x) for x in (sample, timestep, condition)]
    timing = _race(lambda: bound(sample=sample, timestep=timestep)["noise_pred"], lambda: unet(*arrays).sample.numpy(), 5)
    network.close()
    del first
    return timing | {"open_seconds": opened, "numpy_memory_mib": memory}


def _nano_unet() -> dict[str, Any]:
    folder = path("nano")
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").float().requires_grad_(False)
    sample, timestep, condition = _inputs(16, unet.config.cross_attention_dim)
    network = NumpyBackend().open("unet", open_model(folder), BackendOptions()).bind(encoder_hidden_states=condition)
    arrays = [torch.from_numpy(x) for x in (sample, timestep, condition)]
    return _race(lambda: network(sample=sample, timestep=timestep)["noise_pred"], lambda: unet(*arrays).sample.numpy(), 50)


def _nano_decoder() -> dict[str, Any]:
    folder = path("nano")
    vae = AutoencoderKL.from_pretrained(folder / "vae").float().requires_grad_(False)
    z = np.random.default_rng(0).standard_normal((1, 4, 16, 16), dtype=np.float32)
    network = NumpyBackend().open("vae_decoder", open_model(folder), BackendOptions())
    latents = torch.from_numpy(z)
    return _race(lambda: network(z=z)["image"], lambda: vae.decode(latents).sample.numpy(), 20)


def _inputs(size: int, width: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    sample = rng.standard_normal((2, 4, size, size), dtype=np.float32)
    return sample, np.full(2, 500.0, np.float32), rng.standard_normal((2, 77, width), dtype=np.float32)


def _race(ours: Callable[[], Array], theirs: Callable[[], Array], repeats: int) -> dict[str, Any]:
    """Run both once without measuring, then alternately."""
    with torch.inference_mode():
        output, reference = ours(), theirs()
        seconds: dict[str, list[float]] = {"numpy": [], "torch": []}
        for _ in range(repeats):
            for name, run in (("numpy", ours), ("torch", theirs)):
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
    timing = {name: {"min": min(values), "median": statistics.median(values)} for name, values in seconds.items()}
    ratio = {key: timing["numpy"][key] / timing["torch"][key] for key in ("min", "median")}
    return {**timing, "numpy_over_torch": ratio, "relative_difference": float(np.abs(output - reference).max() / np.abs(reference).max())}


def _peak_memory() -> float:
    """Return the MiB that the process has held at most so far; Linux counts KiB, macOS bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main("unet", measure)
