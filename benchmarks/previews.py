"""Time of a preview of each kind beside the model's own decoder: of nano at 128x128, and of Stable Diffusion 1.x's shapes at 256x256.

    python -m benchmarks.previews [--out previews.json]

One image, decoded to a picture of PIL, by the map of the latents, by a quick decoder (TAESD) and by the VAE, on numpy and on torch with one
thread. The networks of real shapes have random weights, which take as long. Times are of the processor, which other programs move less than
those of the clock.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from diffusers import AutoencoderKL, AutoencoderTiny

from benchmarks import report
from sdrt.arrays import F32
from sdrt.backends import BackendOptions, registry
from sdrt.backends.pool import NetworkPool
from sdrt.models import StoredModel, open_component
from sdrt.models.families import LatentFormat
from sdrt.models.families.latent_space import SD_LATENTS
from sdrt.pipeline.decoding import Decoder
from sdrt.pipeline.previews import latent_pictures

if TYPE_CHECKING:
    from PIL.Image import Image

_BACKENDS = ("numpy", "torch")
# Of Stable Diffusion 1.x and 2.x.
_REAL = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
_FOUR = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}


def _decoder(model: StoredModel, backend: str) -> Decoder:
    options = BackendOptions(threads=1)
    pool = NetworkPool(model, {"vae_decoder": registry.get(backend)}, {"vae_decoder": options})
    return Decoder(pool, LatentFormat.read(model.config("vae_decoder")))


def _measure(vae: StoredModel, quick: StoredModel, side: int, repeats: int) -> Mapping[str, Any]:
    """Return milliseconds of each kind for latents f32[1,4,side,side]."""
    latents: F32 = np.random.default_rng(0).standard_normal((1, 4, side, side), np.float32)
    pixels = LatentFormat.read(vae.config("vae_decoder")).pixels
    results: dict[str, Any] = {"latent": _milliseconds(lambda: list(latent_pictures(latents, SD_LATENTS, pixels)), repeats)}
    for backend in _BACKENDS:
        for kind, model in (("taesd", quick), ("vae", vae)):
            decoder = _decoder(model, backend)
            results[f"{kind} on {backend}"] = _milliseconds(partial(_decode, decoder, latents), repeats)
            decoder.networks.close()
        times = results[f"vae on {backend}"], results[f"taesd on {backend}"]
        results[f"vae / taesd on {backend}"] = times[0]["min_ms"] / times[1]["min_ms"]
    return results


def _decode(decoder: Decoder, latents: F32) -> "list[Image]":
    return list(decoder(latents, tiled=False))


def _milliseconds(run: Callable[[], object], repeats: int) -> dict[str, float]:
    run()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return {"min_ms": min(seconds) * 1e3, "median_ms": statistics.median(seconds) * 1e3}


def measure() -> Mapping[str, Any]:
    """Return the times of both sizes."""
    nano = _measure(open_component("nano", "vae_decoder"), open_component("nano-quick", "vae_decoder"), 16, repeats=10)
    with tempfile.TemporaryDirectory() as scratch:
        AutoencoderKL(**_REAL, **_FOUR).save_pretrained(Path(scratch) / "vae")
        AutoencoderTiny().save_pretrained(Path(scratch) / "taesd")
        vae, quick = (open_component(Path(scratch) / name, "vae_decoder") for name in ("vae", "taesd"))
        real = _measure(vae, quick, 64, repeats=2)
    return {"nano, 128x128": nano, "Stable Diffusion 1.x, 256x256": real}


if __name__ == "__main__":
    report.main("previews", measure)
