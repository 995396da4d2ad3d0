"""One denoising step of Stable Diffusion 1.5 on every backend, compared with diffusers as its users run it.

    python -m benchmarks.backends [--size 512] [--repeats 5] [--only numpy,torch] [--small] [--out backends.json]

The U-Net has random weights; a step is two rows (classifier-free guidance). Each candidate is opened alone and alternates with diffusers in
float32, so that other load on the machine affects both equally: compare ratios, not seconds of different candidates. Memory is the largest
resident set while a candidate is opened and run, above the resident memory before.
"""

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from benchmarks.report import machine, write
from sdrt.arrays import Array
from sdrt.backends import BackendOptions, registry
from sdrt.errors import SdrtError
from sdrt.models import open_model

__all__ = ["measure"]

_SD15: Mapping[str, Any] = {"cross_attention_dim": 768}  # otherwise diffusers' defaults are Stable Diffusion 1.5
# The same layers at a fifth of the width, to check that everything runs.
_SMALL: Mapping[str, Any] = {"cross_attention_dim": 768, "block_out_channels": (64, 128, 256, 256)}
_FOLDERS = ("text_encoder", "vae", "tokenizer", "scheduler")

_Step = Callable[[], Array]


@dataclass(frozen=True)
class Candidate:
    """A backend and the options to open it with; None is diffusers' own module, called as in its pipeline."""

    backend: str | None
    options: Mapping[str, Any]
    low_memory: bool = False


_CANDIDATES: Mapping[str, Candidate] = {
    "diffusers bfloat16": Candidate(None, {"dtype": torch.bfloat16}),
    "torch float32": Candidate("torch", {}),
    "torch float32 channels first": Candidate("torch", {"channels_last": False}),
    "torch float32 compiled": Candidate("torch", {"compile": True}),
    "torch bfloat16": Candidate("torch", {"dtype": "bfloat16"}),
    "torch bfloat16 compiled": Candidate("torch", {"dtype": "bfloat16", "compile": True}),
    "openvino float32": Candidate("openvino", {"cache_dir": None}),
    "openvino bfloat16": Candidate("openvino", {"cache_dir": None, "dtype": "bfloat16"}),
    "numpy": Candidate("numpy", {}),
    "numpy low memory": Candidate("numpy", {}, low_memory=True),
    "torch float32 low memory": Candidate("torch", {}, low_memory=True),
}


def measure(size: int, repeats: int, names: list[str], small: bool) -> Iterator[dict[str, Any]]:
    """Measure each candidate: seconds of a step, and of diffusers float32 alternating with it, ratio, error, memory and preparation.

    Results so far are yielded after each candidate: all candidates take an hour, and an interrupted run keeps what it has. Each result
    carries the commit it was measured at.
    """
    results: dict[str, Any] = {"size": size, "threads": torch.get_num_threads(), "small": small}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        unet = UNet2DConditionModel(**(_SMALL if small else _SD15)).eval().requires_grad_(False)
        for component in _FOLDERS:
            (folder / component).mkdir()
        unet.save_pretrained(folder / "unet")
        inputs = _inputs(size // 8)
        reference = _diffusers_step(unet, inputs)
        for candidate in names:
            print(candidate, flush=True)
            try:
                found = _race(_CANDIDATES[candidate], folder, inputs, reference, repeats)
                results[candidate] = {**found, "commit": machine()["commit"]}
            except SdrtError as error:
                results[candidate] = {"skipped": str(error)}
            yield results


def _race(candidate: Candidate, folder: Path, inputs: Mapping[str, Array], reference: _Step, repeats: int) -> dict[str, Any]:
    """Run both once without measuring, then alternately."""
    before = _reset_peak_memory()
    start = time.perf_counter()
    with _opened(candidate, folder, inputs) as step:
        found = step()
        prepared = time.perf_counter() - start
        step()
        memory = _peak_memory() - before
        wanted = reference()
        seconds: dict[str, list[float]] = {"candidate": [], "diffusers_float32": []}
        for _ in range(repeats):
            for name, run in (("candidate", step), ("diffusers_float32", reference)):
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
    timing: dict[str, Any] = {name: {"min": min(values), "median": statistics.median(values)} for name, values in seconds.items()}
    return {
        **timing,
        "over_diffusers_float32": timing["candidate"]["min"] / timing["diffusers_float32"]["min"],
        "relative_difference": float(np.abs(found - wanted).max() / np.abs(wanted).max()),
        "open_and_first_step_seconds": prepared,
        "memory_mib": memory,
    }


@contextmanager
def _opened(candidate: Candidate, folder: Path, inputs: Mapping[str, Array]) -> Iterator[_Step]:
    if candidate.backend is None:
        own = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=candidate.options["dtype"])
        yield _diffusers_step(own.eval().requires_grad_(False), inputs)
        return
    backend = registry.get(candidate.backend)
    network = backend.open("unet", open_model(folder), BackendOptions(extra=candidate.options, low_memory=candidate.low_memory))
    bound = network.bind(encoder_hidden_states=inputs["encoder_hidden_states"])
    try:
        yield lambda: bound(sample=inputs["sample"], timestep=inputs["timestep"])["noise_pred"]
    finally:
        network.close()


def _diffusers_step(unet: Any, inputs: Mapping[str, Array]) -> _Step:
    sample, condition = (torch.from_numpy(inputs[name]).to(unet.dtype) for name in ("sample", "encoder_hidden_states"))
    timestep = torch.tensor(float(inputs["timestep"][0]))

    def step() -> Array:
        with torch.no_grad():
            found: Array = unet(sample, timestep, encoder_hidden_states=condition, return_dict=False)[0].float().numpy()
        return found

    return step


def _inputs(size: int) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    sample, condition = rng.standard_normal((2, 4, size, size), np.float32), rng.standard_normal((2, 77, 768), np.float32)
    return {"sample": sample, "timestep": np.full(2, 500.0, np.float32), "encoder_hidden_states": condition}


def _reset_peak_memory() -> float:
    """Reset the peak to the current memory, and return that in MiB; Linux allows a process to reset its own peak."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak_memory() -> float:
    return _status("VmHWM")


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 2**10


def _kept(path: Path, small: bool, size: int) -> dict[str, Any]:
    """Return the results that an earlier run on this machine, with these versions, has written."""
    if not path.is_file():
        return {}
    earlier, here = json.loads(path.read_text(encoding="utf-8")), machine()
    same = all(earlier["machine"].get(key) == here[key] for key in ("processor", "cores", "python", "versions"))
    results: dict[str, Any] = earlier["results"]
    return results if same and (results["small"], results["size"]) == (small, size) else {}


def _names(text: str) -> list[str]:
    """Return candidates in the requested order, so that the slowest may come last."""
    requested = [name.strip() for name in text.split(",") if name.strip()]
    return [name for each in requested for name in _CANDIDATES if each in (name, name.split()[0])] if requested else list(_CANDIDATES)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backends", description="One denoising step on every backend.")
    parser.add_argument("--size", type=int, default=512, help="edge of the picture (pixels; default 512)")
    parser.add_argument("--repeats", type=int, default=5, help="turns that are timed (default 5)")
    parser.add_argument("--only", default="", help="candidates by name or by first word, between commas; default all")
    parser.add_argument("--small", action="store_true", help="a narrow model, to see that everything runs")
    parser.add_argument("--out", type=Path, help="JSON file to write; what is there of this machine and these versions is kept")
    arguments = parser.parse_args()
    out: Path | None = arguments.out
    found = {} if out is None else _kept(out, arguments.small, arguments.size)
    for measured in measure(arguments.size, arguments.repeats, _names(arguments.only), arguments.small):
        found |= measured
        if out is not None:
            write(out, "backends", found)
    print(json.dumps({"machine": machine(), "results": found}, indent=2))
