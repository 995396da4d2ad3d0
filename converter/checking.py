"""A package against what it was made of."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.jobs import Job
from sdrt.backends.coreml import MLProgram

if TYPE_CHECKING:
    from converter.verification import Verification

__all__ = ["check_halves", "check_package", "room_to_check"]

# A cut moves no number; what the two programs may part by is the order of additions, where the executor fuses other operations.
_SAME = 60.0
_SEED = 93


def check_package(job: Job, package: Path, *, minimum_psnr: float, sibling: Sequence[Path] = ()) -> "Verification":
    """Compare a package with the source's own network in torch float32.

    Parameters
    ----------
    job : Job
    package : Path
    minimum_psnr : float
    sibling : sequence of Path
        The package before it was compressed, to find the operation by where an error is born.

    Raises
    ------
    ConversionError : it is farther away than it may be
    """
    from converter.parts.part import called
    from converter.verification import verify

    part = job.build(False)
    names = [tensor.name for tensor in part.inputs]

    def reference(inputs: Any) -> Any:
        return called(part.module, {name: inputs[name] for name in names}, part.outputs)

    found = verify(reference, [package], role=job.role, minimum_psnr=minimum_psnr, seed=_SEED, sibling=sibling)
    found.require()
    return found


def check_halves(whole: Path, halves: Sequence[Path]) -> "Verification":
    """Compare what a package was cut into with the package; torch is not needed.

    Raises
    ------
    ConversionError : they are not the same network
    """
    from converter.verification import verify

    with MLProgram(whole) as model:
        found = verify(model.predict, list(halves), role="unet", minimum_psnr=_SAME, seed=_SEED)
    found.require()
    return found


def room_to_check(module: Any) -> bool:
    """Whether memory has room for a network in torch and in the executor, both in float32, and what they compute with."""
    needed: int = 3 * sum(parameter.numel() * 4 for parameter in module.parameters())
    return needed < _free_memory()


def _free_memory() -> int:
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        # no Linux: half of what the machine has
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
