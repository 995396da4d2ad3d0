"""A package against what it was made of."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.jobs import Job
from sdrt.backends.coreml import MLProgram
from sdrt.host import available_memory
from sdrt.models.coreml.names import Role

if TYPE_CHECKING:
    from converter.verification import Verification

__all__ = ["check_halves", "check_package", "room_to_check"]

# A cut moves no number; what the two programs may part by is the order of additions, where the executor fuses other operations.
_SAME = 90.0
_SEED = 93


def check_package(
    job: Job, package: Path, tell: Callable[[str], None], *, minimum_psnr: float, sibling: Sequence[Path] = ()
) -> "Verification":
    """Compare a package with the source's own network in torch float32.

    Parameters
    ----------
    job : Job
    package : Path
    tell : callable
        Told what is computed next.
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

    found = verify(reference, [package], role=job.role, minimum_psnr=minimum_psnr, seed=_SEED, sibling=sibling, on_case=tell)
    found.require()
    return found


def check_halves(whole: Path, halves: Sequence[Path], role: Role, tell: Callable[[str], None]) -> "Verification":
    """Compare what a package was cut into with the package; torch is not needed.

    Raises
    ------
    ConversionError : they are not the same network
    """
    from converter.verification import verify

    with MLProgram(whole) as model:
        # in float16 the halves round, and the whole that they are compared with does not: that is not what is asked here
        found = verify(model.predict, list(halves), role=role, minimum_psnr=0.0, seed=_SEED, on_case=tell)
    found = replace(found, rows=tuple(row for row in found.rows if row.precision == "float32"), minimum_psnr=_SAME)
    found.require()
    return found


def room_to_check(module: Any) -> bool:
    """Whether memory has room for a network in torch and in the executor, both in float32, and what they compute with."""
    needed: int = 3 * sum(parameter.numel() * 4 for parameter in module.parameters())
    return needed < available_memory()
