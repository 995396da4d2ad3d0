"""The U-Net of Stable Diffusion 1.5, converted for Core ML and run by the executor: time and peak memory of each.

    python -m benchmarks.conversion [--attention SPLIT_EINSUM] [--size 512] [--small] [--check] [--folder DIR] [--out conversion.json]

The weights are random, and in float16, as in checkpoints. Every stage is a separate process, so that its peak memory is its own: the
largest resident set reported by the system at its end, including Python and its libraries. Conversion is the command that users type;
without ``--check`` it does not compare its result. The executor then opens the package and runs it twice, on two rows at the requested
size: the first run prepares the weights. The same call of the numpy backend, on the source, is measured for comparison.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import machine, write
from sdrt.arrays import Array
from sdrt.models import path

__all__ = ["measure"]

_SD15: Mapping[str, Any] = {"cross_attention_dim": 768}  # otherwise diffusers' defaults are Stable Diffusion 1.5
# The same layers at a fifth of the width, to check that everything runs.
_SMALL: Mapping[str, Any] = {"cross_attention_dim": 768, "block_out_channels": (64, 128, 256, 256)}
_ATTENTIONS = ("ORIGINAL", "SPLIT_EINSUM", "SPLIT_EINSUM_V2")


def measure(folder: Path, attention: str, size: int, *, small: bool, check: bool) -> dict[str, Any]:
    """Measure seconds and MiB of conversion and of runs, and the difference between the two runs' outputs."""
    source, converted = folder / "source", folder / "converted"
    results: dict[str, Any] = {"attention": attention, "size": size, "small": small, "checked": check}
    _staged("write", source, size, small)
    results["source_mib"] = _mib(source / "unet")
    command = [sys.executable, "-m", "converter", "--model-version", str(source), "--convert-unet"]
    command += ["--attention-implementation", attention, "--sizes", f"{size}x{size}", "-o", str(converted)]
    command += ["--check-output-correctness" if check else "--no-check-output-correctness"]
    results["conversion"] = _watched(command)[0]
    [package] = converted.glob("*_unet.mlpackage")
    results["package_mib"] = _mib(package)
    for name, model in (("executor", package), ("numpy", source)):
        results[name] = _staged(name, model, size, small, folder / f"{name}.npy")
    output, reference = np.load(folder / "executor.npy"), np.load(folder / "numpy.npy")
    results["executor_over_numpy"] = results["executor"]["second_seconds"] / results["numpy"]["second_seconds"]
    results["psnr_db"] = float(20 * np.log10(np.abs(reference).max() / np.sqrt(np.mean(np.square(output - reference)))))
    return results


# ---- Stages, each in a separate process


def _staged(stage: str, model: Path, size: int, small: bool, out: Path | None = None) -> dict[str, Any]:
    """Run a stage of this file in a separate process; return what it prints, and its time and memory."""
    command = [sys.executable, "-m", "benchmarks.conversion", "--stage", stage, "--folder", str(model), "--size", str(size)]
    command += ["--small"] if small else []
    command += [] if out is None else ["--out", str(out)]
    took, printed = _watched(command)
    return {**took, **(json.loads(printed) if printed else {})}


def _watched(command: Sequence[str]) -> tuple[dict[str, float], str]:
    """Run a command to its end, and return its wall seconds, its peak memory and its output. Its standard error passes through."""
    with tempfile.TemporaryFile("w+") as printed:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=printed, cwd=Path(__file__).parents[1])
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        # The process has ended and been waited for, which its object does not know yet.
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)}: ended with status {process.returncode}")
        printed.seek(0)
        # Linux counts KiB, macOS bytes.
        memory = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        return {"process_seconds": seconds, "peak_memory_mib": memory}, printed.read()


def _write_source(folder: Path, size: int, *, small: bool) -> None:
    """Write a model folder: the embedded model's, with a U-Net of Stable Diffusion 1.5 instead of its own."""
    import torch
    from diffusers import UNet2DConditionModel

    shutil.copytree(path("nano"), folder, ignore=shutil.ignore_patterns("unet"))
    torch.manual_seed(0)
    config = _SMALL if small else _SD15
    unet = UNet2DConditionModel(**config, sample_size=size // 8).half()
    unet.save_pretrained(folder / "unet")
    _edit(folder / "sdrt.json", height=size, width=size)
    _edit(folder / "text_encoder" / "config.json", hidden_size=config["cross_attention_dim"])


def _edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes, indent=2) + "\n", encoding="utf-8")


def _run_executor(package: Path, size: int, *, small: bool) -> tuple[dict[str, float], Array]:
    from sdrt.backends.coreml import MLProgram

    sample, timestep, text = _inputs(size, small=small)
    start = time.perf_counter()
    with MLProgram(package) as model:
        opened = time.perf_counter()
        inputs = {"sample": sample, "timestep": timestep, "encoder_hidden_states": text.transpose(0, 2, 1)[:, :, None, :]}
        return _twice(lambda: model.predict(inputs)["noise_pred"], start, opened)


def _run_numpy(source: Path, size: int, *, small: bool) -> tuple[dict[str, float], Array]:
    from sdrt.backends import BackendOptions
    from sdrt.backends.numpy import NumpyBackend
    from sdrt.models import open_model

    sample, timestep, text = _inputs(size, small=small)
    start = time.perf_counter()
    network = NumpyBackend().open("unet", open_model(source), BackendOptions())
    opened = time.perf_counter()
    try:
        return _twice(lambda: network(sample=sample, timestep=timestep, encoder_hidden_states=text)["noise_pred"], start, opened)
    finally:
        network.close()


def _twice(call: Any, start: float, opened: float) -> tuple[dict[str, float], Array]:
    call()
    first = time.perf_counter()
    output: Array = call()
    second = time.perf_counter()
    return {"open_seconds": opened - start, "first_seconds": first - opened, "second_seconds": second - first}, output


def _inputs(size: int, *, small: bool) -> tuple[Array, Array, Array]:
    """Make inputs rounded to float16, the package's input type."""
    rng = np.random.default_rng(0)
    shapes = ((2, 4, size // 8, size // 8), (2, 77, (_SMALL if small else _SD15)["cross_attention_dim"]))
    sample, text = (rng.standard_normal(shape, np.float32).astype(np.float16).astype(np.float32) for shape in shapes)
    return sample, np.full(2, 501.0, np.float32), text


def _mib(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


def _run_stage(stage: str, folder: Path, size: int, *, small: bool, out: Path | None) -> None:
    if stage == "write":
        _write_source(folder, size, small=small)
        return
    took, output = (_run_executor if stage == "executor" else _run_numpy)(folder, size, small=small)
    if out is not None:
        np.save(out, output)
    print(json.dumps(took))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversion", description="Stable Diffusion 1.5's U-Net, converted and run.")
    parser.add_argument("--attention", choices=_ATTENTIONS, default="SPLIT_EINSUM", help="how attention is written (default SPLIT_EINSUM)")
    parser.add_argument("--size", type=int, default=512, help="edge of the picture (pixels; default 512)")
    parser.add_argument("--small", action="store_true", help="a narrow model, to see that everything runs")
    parser.add_argument("--check", action="store_true", help="let the converter compare the package with its source")
    parser.add_argument("--folder", type=Path, help="where source and package are written and stay (default: a temporary folder)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--stage", choices=("write", "executor", "numpy"), help=argparse.SUPPRESS)
    return parser


def main() -> None:
    """Run the command line; with ``--stage``, one of the processes that it starts."""
    arguments = _parser().parse_args()
    if arguments.stage is not None:
        _run_stage(arguments.stage, arguments.folder, arguments.size, small=arguments.small, out=arguments.out)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        results = measure(folder, arguments.attention, arguments.size, small=arguments.small, check=arguments.check)
    print(json.dumps({"machine": machine(), "results": results}, indent=2))
    if arguments.out is not None:
        write(arguments.out, "conversion", results)


if __name__ == "__main__":
    main()
