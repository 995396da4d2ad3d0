"""What ``numerics="exact"`` costs and what it loses: each network beside the same in float32, with float64 as the truth.

    python -m benchmarks.exact [--out exact.json]

Calls alternate between the two, and are timed in seconds of the processor on one thread, so that other load on the machine hardly shows.
Errors are relative to the largest value of the float64 output. The U-Net of Stable Diffusion 1.5 has random weights and gets 32x32 latents;
it takes 8 GiB of memory.
"""

import gc
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import main
from sdrt.arrays import Array, Numerics
from sdrt.backends import BackendOptions
from sdrt.backends.numpy import NumpyBackend
from sdrt.backends.numpy.network import NumpyNetwork
from sdrt.models import ComponentName, Model, open_model, path

__all__ = ["measure", "stable_diffusion"]

_FOLDERS = ("text_encoder", "vae", "tokenizer", "scheduler")


def measure() -> dict[str, Any]:
    """Measure each network: min and median seconds of a call, errors, memory held, and how many times float32's the first are."""
    nano = open_model(path("nano"))
    rng = np.random.default_rng(0)
    results: dict[str, Any] = {
        "nano_text_encoder_2x77": _race("text_encoder", nano, {"input_ids": rng.integers(0, 400, (2, 77)).astype(np.int32)}, 100),
        "nano_unet_2x16x16": _race("unet", nano, _denoiser_inputs(2, 16, nano.config("unet")["cross_attention_dim"]), 40),
        "nano_vae_decoder_1x16x16": _race("vae_decoder", nano, {"z": _normal(1, 4, 16, 16)}, 30),
        "nano_vae_encoder_1x128x128": _race("vae_encoder", nano, {"x": _normal(1, 3, 128, 128)}, 30),
    }
    with tempfile.TemporaryDirectory() as folder:
        model = stable_diffusion(Path(folder))
        results["sd15_unet_2x32x32"] = _race("unet", model, _denoiser_inputs(2, 32, 768), 5)
    return results


def stable_diffusion(folder: Path) -> Model:
    """Save the U-Net of Stable Diffusion 1.5 with random weights."""
    import torch
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    for name in _FOLDERS:
        (folder / name).mkdir()
    # otherwise diffusers' defaults are Stable Diffusion 1.5
    UNet2DConditionModel(cross_attention_dim=768).save_pretrained(folder / "unet")
    gc.collect()
    return open_model(folder)


def _race(component: ComponentName, model: Model, inputs: Mapping[str, Array], repeats: int) -> dict[str, Any]:
    """Run a network once in float64, then alternately in float32 and exact."""
    truth = _truth(component, model, inputs)
    networks: dict[str, NumpyNetwork] = {}
    memory, outputs = {}, {}
    for numerics in ("float32", "exact"):
        tracemalloc.start()
        networks[numerics] = _open(component, model, numerics)
        outputs[numerics] = networks[numerics](**inputs)
        memory[numerics] = tracemalloc.get_traced_memory()[0] / 2**20
        tracemalloc.stop()
    seconds: dict[str, list[float]] = {numerics: [] for numerics in networks}
    for _ in range(repeats):
        for numerics, network in networks.items():
            start = time.process_time()
            network(**inputs)
            seconds[numerics].append(time.process_time() - start)
    for network in networks.values():
        network.close()
    rows = {
        numerics: {
            "min": min(seconds[numerics]),
            "median": statistics.median(seconds[numerics]),
            "held_mib": memory[numerics],  # after a call, without the mapped file
            **_errors(outputs[numerics], truth),
        }
        for numerics in networks
    }
    ratios = {key: rows["exact"][key] / rows["float32"][key] for key in ("min", "median", "largest_error", "rms_error")}
    return {**rows, "exact_over_float32": ratios}


def _truth(component: ComponentName, model: Model, inputs: Mapping[str, Array]) -> dict[str, Array]:
    network = _open(component, model, "float64")
    outputs = network(**{name: x.astype(np.float64) if x.dtype == np.float32 else x for name, x in inputs.items()})
    network.close()
    return outputs


def _open(component: ComponentName, model: Model, numerics: Numerics) -> NumpyNetwork:
    return NumpyBackend().open(component, model, BackendOptions(numerics=numerics, threads=1))


def _errors(outputs: Mapping[str, Array], truth: Mapping[str, Array]) -> dict[str, float]:
    """Return the largest error over all outputs, and the largest root mean square."""
    apart = {name: np.abs(outputs[name] - truth[name]) / np.abs(truth[name]).max() for name in truth}
    return {
        "largest_error": max(float(each.max()) for each in apart.values()),
        "rms_error": max(float(np.sqrt(np.square(each).mean())) for each in apart.values()),
    }


def _denoiser_inputs(rows: int, side: int, width: int) -> dict[str, Array]:
    return {
        "sample": _normal(rows, 4, side, side),
        "timestep": np.full(rows, 500.0, np.float32),
        "encoder_hidden_states": _normal(rows, 77, width),
    }


def _normal(*shape: int) -> Array:
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


if __name__ == "__main__":
    main("exact", measure)
