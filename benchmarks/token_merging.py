"""What token merging gains in time and costs in decibels.

    python -m benchmarks.token_merging [--out token_merging.json]

The U-Net of Stable Diffusion 1.5 with random weights gets one row of 64x64 latents; its networks of all ratios share their weights, are
called in turn, and are timed in seconds of the processor on one thread, so that other load on the machine hardly shows. Decibels are those
of finished pictures of the embedded model against the same without merging: it attends to 64 pixels at most, so each that is merged tells.
It takes 8 GiB of memory.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import sdrt
from benchmarks.exact import stable_diffusion
from benchmarks.report import main
from sdrt.backends import BackendOptions, ComponentOptions, registry
from sdrt.metrics import psnr
from sdrt.models import Model

__all__ = ["measure"]

_RATIOS = (0.0, 0.25, 0.5, 0.75)
_REPEATS = 3
_SEEDS = range(93, 101)
_SIDE = 64


def measure() -> dict[str, Any]:
    """Measure seconds a call on both backends, and decibels of pictures."""
    with tempfile.TemporaryDirectory() as folder:
        model = stable_diffusion(Path(folder))
        seconds = {f"sd15_unet_1x{_SIDE}x{_SIDE}_{backend}": _seconds(model, backend) for backend in ("numpy", "torch")}
    return {**seconds, "nano_pictures": _decibels()}


def _seconds(model: Model, backend: str) -> dict[str, Any]:
    """Return minimum and median seconds of a call at each ratio, and how many times faster than without merging the fastest is."""
    first: Any = registry.get(backend).open("unet", model, BackendOptions(threads=1))
    networks = {ratio: first.with_options(ComponentOptions(token_merging=ratio)) for ratio in _RATIOS}
    rng = np.random.default_rng(0)
    inputs = {
        "sample": rng.standard_normal((1, 4, _SIDE, _SIDE), np.float32),
        "timestep": np.full(1, 500.0, np.float32),
        "encoder_hidden_states": rng.standard_normal((1, 77, 768), np.float32),
    }
    taken: dict[float, list[float]] = {ratio: [] for ratio in _RATIOS}
    for _ in range(_REPEATS):
        for ratio, network in networks.items():
            start = time.process_time()
            network(**inputs)
            taken[ratio].append(time.process_time() - start)
    for network in (first, *networks.values()):
        network.close()
    without = min(taken[0.0])
    return {
        str(ratio): {"min": min(each), "median": statistics.median(each), "speed_up": without / min(each)} for ratio, each in taken.items()
    }


def _decibels() -> dict[str, Any]:
    """Return the mean and the least PSNR of pictures at each ratio."""
    found: dict[str, Any] = {}
    with sdrt.load("nano") as pipe:

        def drawn(seed: int, ratio: float) -> Any:
            [image] = pipe.generate("a red circle on a blue background", seed=seed, token_merging=ratio).images
            return np.asarray(image, np.float64)

        for ratio in _RATIOS[1:]:
            each = [psnr(drawn(seed, 0.0), drawn(seed, ratio), 255.0) for seed in _SEEDS]
            found[str(ratio)] = {"mean_psnr": statistics.mean(each), "least_psnr": min(each)}
    return found


if __name__ == "__main__":
    main("token_merging", measure)
