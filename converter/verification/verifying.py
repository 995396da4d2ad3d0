"""Verify a package against the network that it was made from, on any system."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from converter.verification.cases import TIMESTEPS, Case, cases_of
from converter.verification.chain import Chain
from converter.verification.error_origins import ErrorOrigin, error_origins, measure_against_layers, measure_against_walk
from converter.verification.figures import allowed_error, psnr
from converter.verification.record import Row, Verification
from sdrt.arrays import Array
from sdrt.backends.coreml import describe
from sdrt.backends.coreml.executor import Precision
from sdrt.errors import ConversionError
from sdrt.metrics import max_error
from sdrt.models.coreml.names import Role

__all__ = ["Layers", "Reference", "verify"]

Reference: TypeAlias = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""The source network in float32; inputs and outputs have the package's names and shapes."""

Layers: TypeAlias = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""The outputs of the source network's layers for given inputs; see `module_layers`."""

_APART = 3.0  # dB: at least half of the error
_UNEXPLAINED = "the program itself differs from its source; pass sibling, the package before its compression, or layers to locate the error"


def verify(
    reference: Reference,
    packages: Sequence[Path],
    *,
    role: Role,
    min_psnr: float = 35.0,
    seed: int = 0,
    timesteps: Sequence[float] = TIMESTEPS,
    precisions: Sequence[Precision] = ("float32", "float16"),
    sibling: Sequence[Path] = (),
    layers: Layers | None = None,
    top: int = 0,
    on_case: Callable[[str], None] | None = None,
) -> Verification:
    """Compare a package with its source, on fixed and random inputs of every shape that it declares.

    Each call runs in sdrt's executor in float32, as the package defines it, and if the package computes in float16 also with every
    operation rounded to it, as the Neural Engine and GPUs do.

    Parameters
    ----------
    reference : callable
        The source network; receives each input as the package's declared type holds it, in float32 or int32.
    packages : sequence of Path
        One ``.mlpackage``, or its two halves in order.
    role : Role
        What the package computes.
    min_psnr : float
        The PSNR in dB that every output must reach; Apple's converter requires 35.
    seed : int
        The seed of the random inputs.
    timesteps : sequence of float
        For a network that takes a timestep; each is tried at the package's own size.
    precisions : sequence of "float32" or "float16"
        The precisions to run in. float16 is skipped for packages that compute in float32; float32 alone tests whether two programs are
        equal.
    sibling : sequence of Path
        A package of the same program with good weights, such as the one before compression, to locate the operation with.
    layers : callable or None
        The outputs of the source's layers, to locate the operation with if there is no such package.
    top : int
        How many operations to list by how much they let an error grow, even on success; on failure, at least one.
    on_case : callable or None
        Called with a description of the next computation.

    Returns
    -------
    Verification
        With ``passed``, ``require()`` and ``table()``.

    Raises
    ------
    ConversionError : no packages, inputs that cannot be made, or a reference whose outputs have other names or shapes
    ModelError : a damaged package, or an operation that the executor does not support
    """
    report = on_case or (lambda _: None)
    rows: list[Row] = []
    cases: list[Case] = []
    expected: list[Mapping[str, Array]] = []
    for precision in _usable_precisions(packages, precisions):
        with Chain(packages, precision) as chain:
            cases = cases or cases_of(chain, seed, timesteps)
            for index, case in enumerate(cases):
                if index == len(expected):
                    report(f"source, {case.name}")
                    expected.append(_reference_outputs(reference, case, chain))
                report(f"package in {precision}, {case.name}")
                rows += _rows(case, precision, chain.predict(case.inputs), expected[index])
    verification = Verification(package=" and ".join(path.name for path in packages), role=role, min_psnr=min_psnr, rows=tuple(rows))
    if verification.passed and not top:
        return verification
    report("each operation of the worst call")
    case = next(case for case in cases if case.name == verification.worst.case)
    origins, unexplained = _locate_error(verification, packages, case, sibling, layers)
    return Verification(
        package=verification.package,
        role=role,
        min_psnr=min_psnr,
        rows=verification.rows,
        error_origins=tuple(origins[: max(top, 1)]),
        unexplained=unexplained,
    )


def _usable_precisions(packages: Sequence[Path], precisions: Sequence[Precision]) -> list[Precision]:
    """Return the precisions to run a package in: float16 only if it computes in it somewhere."""
    if not packages:
        raise ConversionError("packages must be one package, or the halves of one, got none; pass its path")
    halved = any(function.precision != "float32" for path in packages for function in describe(path).functions)
    usable = [precision for precision in precisions if precision == "float32" or halved]
    if not usable:
        raise ConversionError(f"precisions of a package in float32 must include it, got {', '.join(precisions) or 'none'}; add 'float32'")
    return usable


def _reference_outputs(reference: Reference, case: Case, chain: Chain) -> Mapping[str, Array]:
    """Return the reference's outputs as copies, since its next call may overwrite their memory."""
    outputs = reference({name: value.copy() for name, value in case.inputs.items()})
    if missing := [name for name in chain.output_names if name not in outputs]:
        raise ConversionError(f"a reference must return the package's outputs, got no {', '.join(missing)}; name its outputs alike")
    return {name: np.array(outputs[name]) for name in chain.output_names}


def _rows(case: Case, precision: Precision, outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> list[Row]:
    rows = []
    for name, right in expected.items():
        value = outputs[name]
        if value.shape != right.shape:
            raise ConversionError(
                f"{name} must have its reference's shape, {list(right.shape)}, got {list(value.shape)} for {case.name}; compare the two"
            )
        rows.append(Row(case=case.name, precision=precision, output=name, psnr=psnr(value, right), max_error=max_error(value, right)))
    return rows


def _locate_error(
    verification: Verification, packages: Sequence[Path], case: Case, sibling: Sequence[Path], layers: Layers | None
) -> tuple[list[ErrorOrigin], str]:
    """Return operations by the growth of the error in the worst row, and the reason if there are none."""
    worst = verification.worst
    # An error that float32 has too, in the same place, does not come from rounding.
    meant = [row.psnr for row in verification.rows if (row.case, row.output, row.precision) == (worst.case, worst.output, "float32")]
    rounding = worst.precision == "float16" and all(psnr > worst.psnr + _APART for psnr in meant)
    with Chain(packages, worst.precision if rounding else "float32", fuse=False) as suspect:
        if rounding or sibling:
            with Chain(packages if rounding else sibling, fuse=False) as clean:
                measured = list(measure_against_walk(suspect, clean, case.inputs))
        elif layers is not None:
            measured = list(measure_against_layers(suspect, layers(case.inputs), case.inputs))
        else:
            return [], _UNEXPLAINED
        return error_origins(measured, suspect.output_names, allowed_error(verification.min_psnr)), ""
