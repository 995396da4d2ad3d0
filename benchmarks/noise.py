"""Time to draw noise: each stream of sdrt beside the program that it reproduces, for the latents of one 512x512 picture and for more."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import sdrt.rng
from benchmarks import report

_SHAPES = {"512x512 latent": (1, 4, 64, 64), "1024x1024 latents, 4": (4, 4, 128, 128)}
_SEED = 93


def _contenders(shape: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    ours = {name: sdrt.rng.stream(name, _SEED) for name in sdrt.rng.names()}
    generator, state = torch.Generator().manual_seed(_SEED), np.random.RandomState(_SEED)
    a100, pcg64 = sdrt.rng.stream("nv", _SEED, threads=108 * 2048), np.random.default_rng(_SEED)
    return {
        "sdrt torch": lambda: ours["torch"].normal(shape),
        "sdrt torch, seeded each time": lambda: sdrt.rng.stream("torch", _SEED).normal(shape),
        "torch": lambda: torch.randn(shape, generator=generator),
        "sdrt torch, float64": lambda: ours["torch"].normal(shape, "float64"),
        "torch, float64": lambda: torch.randn(shape, generator=generator, dtype=torch.float64),
        "sdrt torch, float16": lambda: ours["torch"].normal(shape, "float16"),
        "torch, float16": lambda: torch.randn(shape, generator=generator, dtype=torch.float16),
        "sdrt torch-scalar": lambda: ours["torch-scalar"].normal(shape),
        "sdrt nv": lambda: ours["nv"].normal(shape),
        "sdrt nv, threads of an A100": lambda: a100.normal(shape),
        "sdrt numpy": lambda: ours["numpy"].normal(shape),
        "numpy": lambda: state.randn(*shape).astype(np.float32),
        "sdrt generator": lambda: ours["generator"].normal(shape),
        "numpy, generator": lambda: pcg64.standard_normal(shape, dtype=np.float32),
    }


def measure(repeats: int = 50) -> dict[str, Any]:
    """Measure the seconds for one draw of each shape from each stream."""
    return {
        label: {name: report.timed(run, repeats, warm_up=5) for name, run in _contenders(shape).items()} for label, shape in _SHAPES.items()
    }


if __name__ == "__main__":
    report.main("noise", measure)
