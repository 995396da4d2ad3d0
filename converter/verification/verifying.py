"""A package against the network that it was made from, on any system."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from converter.verification.births import Birth, births, measured_against_layers, measured_against_walk
from converter.verification.cases import TIMESTEPS, Case, cases_of
from converter.verification.chain import Chain
from converter.verification.figures import allowed_error, max_error, psnr
from converter.verification.record import Row, Verification
from sdrt.arrays import Array
from sdrt.backends.coreml import describe
from sdrt.backends.coreml.executor import Precision
from sdrt.errors import ConversionError
from sdrt.models.coreml.names import Role

__all__ = ["Layers", "Reference", "verify"]

Reference: TypeAlias = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""The source network in float32: inputs and outputs by the package's names, in its shapes."""

Layers: TypeAlias = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""What layers of the source network give for these inputs; see `module_layers`."""

_APART = 3.0  # dB: half of the error at least
_UNEXPLAINED = "the program itself differs from its source: pass sibling, the package before it was compressed, or layers to learn where"


def verify(
    reference: Reference,
    packages: Sequence[Path],
    *,
    role: Role,
    minimum_psnr: float = 35.0,
    seed: int = 0,
    timesteps: Sequence[float] = TIMESTEPS,
    precisions: Sequence[Precision] = ("float32", "float16"),
    sibling: Sequence[Path] = (),
    layers: Layers | None = None,
    top: int = 0,
    on_case: Callable[[str], None] | None = None,
) -> Verification:
    """Compare a package with its source on fixed and random inputs of every shape that it declares.

    Each call runs in sdrt's executor as the package means it, in float32, and where the package computes in float16 also with every
    operation rounded to it, which is what the Neural Engine and GPUs round.

    Parameters
    ----------
    reference : callable
        The source network; given what the package's declared types hold of each input, as float32 or int32.
    packages : sequence of Path
        One ``.mlpackage``, or its two halves in order.
    role : Role
        What the package is for.
    minimum_psnr : float
        dB that every output has to reach; Apple's converter asks for 35.
    seed : int
        Of the random inputs.
    timesteps : sequence of float
        Of a network that takes one, each tried at the package's own size.
    precisions : sequence of "float32" or "float16"
        What it runs in. float16 is left out for packages that compute in float32; float32 alone tells whether two programs are the same.
    sibling : sequence of Path
        A package of the same program with good weights, such as the one before it was compressed, to find the operation by.
    layers : callable or None
        The outputs of the source's layers, to find it by where there is no such package.
    top : int
        How many operations to list by how much they let an error grow, whether all is well or not; where it is not, at least one.
    on_case : callable or None
        Told what is computed next, for progress.

    Returns
    -------
    Verification
        With ``passed``, ``require()`` and ``table()``.

    Raises
    ------
    ConversionError : no packages, inputs that cannot be made, or a reference that gives other outputs or shapes than the package
    ModelError : a package is damaged, or uses an operation that the executor does not know
    """
    tell = on_case or (lambda _: None)
    rows: list[Row] = []
    cases: list[Case] = []
    wanted: list[Mapping[str, Array]] = []
    for precision in _computed(packages, precisions):
        with Chain(packages, precision) as chain:
            cases = cases or cases_of(chain, seed, timesteps)
            for index, case in enumerate(cases):
                if index == len(wanted):
                    tell(f"source, {case.name}")
                    wanted.append(_referred(reference, case, chain))
                tell(f"package in {precision}, {case.name}")
                rows += _rows(case, precision, chain.predict(case.inputs), wanted[index])
    found = Verification(package=" and ".join(path.name for path in packages), role=role, minimum_psnr=minimum_psnr, rows=tuple(rows))
    if found.passed and not top:
        return found
    tell("each operation of the worst call")
    case = next(case for case in cases if case.name == found.worst.case)
    blamed, unexplained = _blamed(found, packages, case, sibling, layers)
    return Verification(
        package=found.package,
        role=role,
        minimum_psnr=minimum_psnr,
        rows=found.rows,
        births=tuple(blamed[: max(top, 1)]),
        unexplained=unexplained,
    )


def _computed(packages: Sequence[Path], precisions: Sequence[Precision]) -> list[Precision]:
    """What a package is run in: in float16 only if it computes in it somewhere."""
    if not packages:
        raise ConversionError("a verification needs a package, or the halves of one; got none")
    halved = any(function.precision != "float32" for path in packages for function in describe(path).functions)
    found = [precision for precision in precisions if precision == "float32" or halved]
    if not found:
        raise ConversionError(f"a package that computes in float32 is verified in it; got precisions {', '.join(precisions) or 'none'}")
    return found


def _referred(reference: Reference, case: Case, chain: Chain) -> Mapping[str, Array]:
    """The reference's outputs, copied: it may hand out memory that its next call writes over."""
    found = reference({name: value.copy() for name, value in case.inputs.items()})
    if missing := [name for name in chain.output_names if name not in found]:
        raise ConversionError(f"the package gives {', '.join(missing)}, and its reference only {', '.join(found)}; name outputs alike")
    return {name: np.array(found[name]) for name in chain.output_names}


def _rows(case: Case, precision: Precision, found: Mapping[str, Array], wanted: Mapping[str, Array]) -> list[Row]:
    rows = []
    for name, right in wanted.items():
        one = found[name]
        if one.shape != right.shape:
            raise ConversionError(f"{name} of the package is {list(one.shape)}, and of its reference {list(right.shape)} ({case.name})")
        rows.append(Row(case=case.name, precision=precision, output=name, psnr=psnr(one, right), max_error=max_error(one, right)))
    return rows


def _blamed(
    found: Verification, packages: Sequence[Path], case: Case, sibling: Sequence[Path], layers: Layers | None
) -> tuple[list[Birth], str]:
    """Operations by the growth of the error in the worst row, and why there are none."""
    worst = found.worst
    # what float32 has in the same place too is no matter of rounding
    meant = [row.psnr for row in found.rows if (row.case, row.output, row.precision) == (worst.case, worst.output, "float32")]
    rounding = worst.precision == "float16" and all(psnr > worst.psnr + _APART for psnr in meant)
    with Chain(packages, worst.precision if rounding else "float32", fuse=False) as suspect:
        if rounding or sibling:
            with Chain(packages if rounding else sibling, fuse=False) as clean:
                measured = list(measured_against_walk(suspect, clean, case.inputs))
        elif layers is not None:
            measured = list(measured_against_layers(suspect, layers(case.inputs), case.inputs))
        else:
            return [], _UNEXPLAINED
        return births(measured, suspect.output_names, allowed_error(found.minimum_psnr)), ""
