"""How far the same prompt and seed are apart on each backend and in each precision, measured against the numpy backend in float64.

    python -m benchmarks.seeds_differ [--device cuda] [--only NAME ...] [--out benchmarks/results/seeds_differ.json]

Draws two images with a deterministic and with a stochastic sampler, in 20 and in 50 steps. Models: ``nano``, which is trained, and a small
one of Stable Diffusion 1's shape with random weights. Packages are converted on the fly. Rows that a file of results has already, and that
are not measured now, stay in it; each says which commit it was measured with.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import sdrt
from benchmarks.report import machine, write
from converter.conversion import convert
from converter.options import ConvertOptions
from sdrt.arrays import Float
from sdrt.metrics import psnr
from sdrt.pipeline.pipeline import Pipeline
from tests.factories import save_pipeline_folder

PROMPT, SEED, IMAGES = "a red circle on a blue background", 93, 2
SAMPLERS = ("dpm++ 2m karras", "euler a")
STEPS = (20, 50)
_PARTS = ("unet", "text_encoder", "vae_decoder")


@dataclass(frozen=True)
class Variant:
    """One way to draw.

    Parameters
    ----------
    name : str
    options : mapping
        For `sdrt.load`.
    packages : mapping or None
        For `ConvertOptions`, where the model is converted first.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    packages: Mapping[str, Any] | None = None


TRUTH = Variant("numpy float64", {"backend": "numpy", "numerics": "float64"})
VARIANTS = (
    Variant("numpy float32", {"backend": "numpy"}),
    Variant("numpy float32, one thread", {"backend": "numpy", "threads": 1}),
    Variant("numpy exact", {"backend": "numpy", "numerics": "exact"}),
    Variant("torch float64", {"backend": "torch", "numerics": "float64"}),
    Variant("torch float32", {"backend": "torch"}),
    Variant("torch float32, compiled", {"backend": "torch", "compile": True}),
    Variant("torch bfloat16", {"backend": "torch", "dtype": "bfloat16"}),
    Variant("OpenVINO float32", {"backend": "openvino"}),
    Variant("Core ML float32", {"backend": "coreml", "precision": "float32"}, {"precision": "float32", "float32_weights": True}),
    Variant("Core ML float16", {"backend": "coreml", "precision": "float16"}, {}),
)


@dataclass(frozen=True)
class Drawn:
    """The latents after each step, and the pictures."""

    latents: Sequence[Float]
    pictures: Float


def draw(pipe: Pipeline, sampler: str, steps: int) -> Drawn:
    """Draw the images of one case."""
    run = pipe.steps(PROMPT, seed=SEED, num_images=IMAGES, scheduler=sampler, num_inference_steps=steps)
    latents = [step.latents.astype(np.float64) for step in run]
    return Drawn(latents, np.stack([np.asarray(image, np.float64) for image in run.result().images]))


def distance(drawn: Drawn, true: Drawn) -> dict[str, Any]:
    """Return the figures of a case against the truth: PSNR of each image, null where it is equal; the largest difference of latents."""
    count = len(true.latents)
    places = {"after_1": 0, "after_half": count // 2 - 1, "after_all": count - 1}
    found = [psnr(one, other, 255.0) for one, other in zip(drawn.pictures, true.pictures, strict=True)]
    return {
        "psnr": [round(each, 2) if np.isfinite(each) else None for each in found],
        "largest_pixel": int(np.abs(drawn.pictures - true.pictures).max()),
        **{name: float(np.abs(drawn.latents[k] - true.latents[k]).max()) for name, k in places.items()},
    }


@contextmanager
def opened(variant: Variant, model: str) -> Iterator[Pipeline]:
    """Open a model in a variant's way."""
    with tempfile.TemporaryDirectory() as folder:
        if variant.packages is not None:
            convert(ConvertOptions(model=model, out=Path(folder), parts=_PARTS, check=False, **variant.packages))
            model = folder
        with sdrt.load(model, **variant.options) as pipe:
            yield pipe


def measure(model: str, variants: Sequence[Variant], report: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of each case and variant; what cannot run here is there with its reason."""
    cases = [(sampler, steps) for sampler in SAMPLERS for steps in STEPS]
    true: dict[tuple[str, int], Drawn] = {}
    rows: dict[str, Any] = {}
    for variant in (TRUTH, *variants):
        began = time.perf_counter()
        try:
            with opened(variant, model) as pipe:
                drawn = {case: draw(pipe, *case) for case in cases}
        except sdrt.SdrtError as error:
            rows[variant.name] = {"not_run": str(error)}
            report(f"{variant.name}: not run: {error}")
            continue
        report(f"{variant.name}: {time.perf_counter() - began:.0f} s")
        if variant is TRUTH:
            true = drawn
        else:
            figures = {f"{sampler}, {steps} steps": distance(drawn[sampler, steps], true[sampler, steps]) for sampler, steps in cases}
            rows[variant.name] = {"commit": machine()["commit"], **figures}
    return rows


def variants_of(device: str | None, only: Sequence[str], without: Sequence[str]) -> list[Variant]:
    """Return the variants to measure, those of a graphics card where one is named."""
    more = [
        Variant(f"torch {dtype}, {device}", {"backend": "torch", "device": device, "dtype": dtype})
        for dtype in ("float32", "float16", "bfloat16")
        if device is not None
    ]
    chosen = [each for each in (*VARIANTS, *more) if not only or any(name in each.name for name in only)]
    return [each for each in chosen if not any(name in each.name for name in without)]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seeds_differ", description="The same seed on each backend.")
    parser.add_argument("--device", help="also torch on this device, such as cuda")
    parser.add_argument("--only", nargs="*", default=[], help="variants whose names hold one of these")
    parser.add_argument("--without", nargs="*", default=[], help="not the variants whose names hold one of these")
    parser.add_argument("--models", nargs="*", default=[], help="models whose names hold one of these")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    variants = variants_of(arguments.device, arguments.only, arguments.without)
    results = _known(arguments.out) or {"prompt": PROMPT, "seed": SEED, "images": IMAGES, "against": TRUTH.name, "models": {}}
    with tempfile.TemporaryDirectory() as folder:
        models = {"nano": "nano", "random, shape of SD 1": str(save_pipeline_folder(Path(folder) / "tiny", "sd1"))}
        for name, model in models.items():
            if arguments.models and not any(each in name for each in arguments.models):
                continue
            print(name, flush=True)
            rows = measure(model, variants, lambda line: print(f"  {line}", flush=True))
            results["models"][name] = results["models"].get(name, {}) | rows
    print(json.dumps(results, indent=2))
    if arguments.out is not None:
        write(arguments.out, "seeds_differ", results)


def _known(out: Path | None) -> dict[str, Any] | None:
    """Return the results that a file has already, of the same prompt, seed and images."""
    if out is None or not out.exists():
        return None
    results: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))["results"]
    return results if (results["prompt"], results["seed"], results["images"]) == (PROMPT, SEED, IMAGES) else None


if __name__ == "__main__":
    main()
