"""Compare a package with the network that it was made from."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.jobs import Job
from sdrt.backends.coreml import MLProgram
from sdrt.host import available_memory
from sdrt.models.coreml.names import Role

if TYPE_CHECKING:
    from converter.verification import Verification

__all__ = ["check_halves", "check_package", "memory_suffices"]

# A cut changes no number; the two programs may only differ in the order of additions, where the executor fuses different operations.
_SAME = 90.0
_SEED = 93


def check_package(
    job: Job, package: Path, report: Callable[[str], None], *, min_psnr: float, sibling: Sequence[Path] = ()
) -> "Verification":
    """Compare a package with the source's own network in torch float32.

    Parameters
    ----------
    job : Job
    package : Path
    report : callable
        Called with a description of the next computation.
    min_psnr : float
        In dB.
    sibling : sequence of Path
        The package before its compression, which locates the operation where an error originates.

    Raises
    ------
    ConversionError : an output below ``min_psnr``
    """
    from converter.parts.traceable import call_module
    from converter.verification import verify

    part = job.as_source()
    names = [tensor.name for tensor in part.inputs]

    def reference(inputs: Any) -> Any:
        return call_module(part.module, {name: inputs[name] for name in names}, part.outputs)

    verification = verify(reference, [package], role=job.role, min_psnr=min_psnr, seed=_SEED, sibling=sibling, on_case=report)
    verification.require()
    return verification


def check_halves(whole: Path, halves: Sequence[Path], role: Role, report: Callable[[str], None]) -> "Verification":
    """Compare the halves of a package with the package; torch is not needed.

    Raises
    ------
    ConversionError : they are not the same network
    """
    from converter.verification import verify

    with MLProgram(whole) as model:
        # In float16 the halves round, and the whole, their reference, does not.
        verification = verify(
            model.predict, list(halves), role=role, min_psnr=_SAME, seed=_SEED, precisions=("float32",), sibling=[whole], on_case=report
        )
    verification.require()
    return verification


def memory_suffices(module: Any) -> bool:
    """Return whether memory can hold a network in torch and in the executor, both in float32, with their intermediate values."""
    needed: int = 3 * sum(parameter.numel() * 4 for parameter in module.parameters())
    return needed < available_memory()
