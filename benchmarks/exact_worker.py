"""Compute the checks of ``sdrt verify`` in this process, and print their hashes as JSON: for `benchmarks.environments`.

PYTHONPATH=CHECKOUT python exact_worker.py THREADS [SECTION ...]
"""

import ctypes
import hashlib
import json
import platform
import sys
from pathlib import Path

import numpy as np

import sdrt
from sdrt.verification.digests import total
from sdrt.verification.verifying import all_checks, compute


def kernels() -> str:
    """Return the name of OpenBLAS' kernels, or of another BLAS."""
    blas = str(np.show_config(mode="dicts")["Build Dependencies"].get("blas", {}).get("name", "none"))
    for file in Path(np.__file__).parent.parent.glob("numpy.libs/*openblas*"):
        name = ctypes.CDLL(str(file)).scipy_openblas_get_corename64_
        name.restype = ctypes.c_char_p
        return f"{blas} {name().decode()}"
    return blas


def float32(threads: int) -> str:
    """Return the hash of a picture's latents in float32."""
    with sdrt.load("nano", threads=threads) as pipe:
        latents = pipe.generate("a red circle on a blue background", seed=93, num_inference_steps=4).latents
    return hashlib.sha256(latents.tobytes()).hexdigest()


def main() -> None:
    threads, sections = int(sys.argv[1]), sys.argv[2:]
    checks = {check.key: compute(check) for check in all_checks(threads) if not sections or {check.section, check.key} & {*sections}}
    found = {
        "numpy": np.__version__,
        "python": platform.python_version(),
        "processor": platform.machine(),
        "kernels": kernels(),
        "simd": np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", []),
        "sha256": total({key: total(stages) for key, stages in checks.items()}),
        "float32": float32(threads),
    }
    for name, stage in {"latents": "latents", "pixels": "pixels", "png": "PNG"}.items():
        found[name] = total({key: stages[stage] for key, stages in checks.items() if stage in stages})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
