"""Compute the same exact results under other BLAS kernels, thread counts, instructions, numpy versions and processors.

    python -m benchmarks.environments [--python NAME=PATH ...] [--only NAME ...] [--out benchmarks/results/environments.json]

Each environment is a process of its own that computes every check of ``sdrt verify``. Exact results must have one hash in all of them; the
picture in float32 beside them shows how far the environments really differ. ``--python`` adds interpreters with another numpy, or for
another processor under emulation; several settings of one, parted by commas, may follow its path: ``arm=/opt/arm/python,QEMU_CPU=max``.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.report import write

ROOT = Path(__file__).resolve().parents[1]
WORKER = Path(__file__).with_name("exact_worker.py")
# OpenBLAS' kernels, each with its own blocking: from SSE3 to AVX-512 with bfloat16.
CORES = ("Prescott", "Core2", "Nehalem", "Sandybridge", "Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids")
_QUICK = ("as it is", "OpenBLAS Nehalem, 2 threads", "no vector instructions")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A process in which results are computed."""

    name: str
    python: str = sys.executable
    threads: int = 1
    variables: Mapping[str, str] = field(default_factory=dict)


def environments(pythons: Mapping[str, str]) -> Iterator[Environment]:
    """Yield the environments of this machine, then those of other interpreters."""
    yield Environment(name="as it is")
    yield Environment(name="2 threads", threads=2)
    for core in CORES:
        yield Environment(name=f"OpenBLAS {core}", variables={"OPENBLAS_CORETYPE": core})
    yield Environment(name="OpenBLAS Nehalem, 2 threads", threads=2, variables={"OPENBLAS_CORETYPE": "Nehalem"})
    yield Environment(name="no vector instructions", variables={"NPY_DISABLE_CPU_FEATURES": dispatched(sys.executable)})
    for name, place in pythons.items():
        path, *settings = place.split(",")
        yield Environment(name=name, python=path, variables=dict(setting.split("=", 1) for setting in settings))


def dispatched(python: str) -> str:
    """Return the instructions that a numpy here would choose at run time."""
    code = (
        "from numpy._core._multiarray_umath import __cpu_dispatch__ as all, __cpu_features__ as has; print(*(f for f in all if has.get(f)))"
    )
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def compute(environment: Environment, sections: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what the worker found in an environment."""
    variables = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{environment.variables.get('PYTHONPATH', '')}"}
    variables |= {name: value for name, value in environment.variables.items() if name != "PYTHONPATH"}
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        variables[name] = str(environment.threads)
    command = [environment.python, "-W", "ignore", str(WORKER), str(environment.threads), *sections]
    began = time.perf_counter()
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"name": environment.name, "error": done.stderr.strip().splitlines()[-1:]}
    return {"name": environment.name, **json.loads(done.stdout), "seconds": round(time.perf_counter() - began, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.environments", description="Compute exact results in other environments.")
    parser.add_argument("--python", nargs="+", default=[], metavar="NAME=PATH[,VARIABLE=VALUE]", help="other interpreters")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="environments by name")
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(_QUICK)}")
    parser.add_argument("--sections", nargs="+", default=[], help="of the checks (default: all)")
    parser.add_argument("--out", type=Path, help="write everything here, as JSON")
    arguments = parser.parse_args()
    wanted = _QUICK if arguments.quick else arguments.only
    pythons = dict(each.split("=", 1) for each in arguments.python)
    found = []
    for environment in environments(pythons):
        if wanted is None or environment.name in wanted:
            found.append(compute(environment, tuple(arguments.sections)))
            row = found[-1]
            hashes = row.get("error") or [row[key][:12] for key in ("sha256", "latents", "pixels", "png", "float32")]
            print(f"{row['name']:32}", row.get("numpy", ""), row.get("kernels", ""), *hashes, row.get("seconds", ""), flush=True)
    different = {row.get("sha256") for row in found}
    print(f"{len(found)} environments, {len(different)} exact hash{'es' if len(different) > 1 else ''}, ", end="")
    print(f"{len({row.get('float32') for row in found})} in float32")
    if arguments.out is not None:
        write(arguments.out, "environments", {"environments": found})
    return int(len(different) > 1)


if __name__ == "__main__":
    sys.exit(main())
