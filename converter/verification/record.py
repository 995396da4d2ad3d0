"""The result of a verification, as plain data and as a table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from converter.verification.error_origins import ErrorOrigin
from sdrt.backends.coreml.executor import Precision
from sdrt.errors import ConversionError
from sdrt.models.coreml.names import Role

__all__ = ["Row", "Verification"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """The figures of one output of one call.

    Parameters
    ----------
    case : str
        The name of the inputs.
    precision : "float32" or "float16"
        The precision of the executor: float32 is the package's meaning, float16 its result under half precision.
    output : str
    psnr : float
        dB against the reference; -inf if the output is not finite.
    max_error : float
    """

    case: str
    precision: Precision
    output: str
    psnr: float
    max_error: float


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The figures of a package against the network that it was made from.

    Parameters
    ----------
    package : str
        The file name of the package, or of its halves.
    role : Role
    min_psnr : float
        The PSNR that every output must reach, in dB.
    rows : tuple of Row
        Every output of every call in every precision.
    error_origins : tuple of ErrorOrigin
        Operations by how much they let the error of the worst row grow, the worst first. Empty if the verification passed and none were
        requested, or if there was nothing to compare with.
    unexplained : str
        The reason for missing ``error_origins``.
    """

    package: str
    role: Role
    min_psnr: float
    rows: tuple[Row, ...]
    error_origins: tuple[ErrorOrigin, ...] = ()
    unexplained: str = ""

    @property
    def worst(self) -> Row:
        """The row with the lowest PSNR."""
        return min(self.rows, key=lambda row: row.psnr)

    @property
    def passed(self) -> bool:
        """Whether every output reaches the required PSNR."""
        return self.worst.psnr >= self.min_psnr

    def require(self) -> None:
        """Return if the verification passed.

        Raises
        ------
        ConversionError : an output is below the bound; the message names the worst, its figure, and the operation where its error
        originates
        """
        if self.passed:
            return
        row = self.worst
        blame = f"the error originates in {_verdict(self.error_origins[0])}" if self.error_origins else self.unexplained
        raise ConversionError(
            f"{self.package}: {row.output} must reach {self.min_psnr:g} dB against its source, got {row.psnr:.1f} dB "
            f"({row.case}, computed in {row.precision}); {blame}"
        )

    def table(self) -> str:
        """Format the worst figure of each output in each precision, and the origins of its error, if known."""
        lines = [f"{self.package}: {self.role}, at least {self.min_psnr:g} dB: {'passed' if self.passed else 'FAILED'}"]
        lines += _aligned(("output", "computed in", "worst PSNR", "max error", "at"), map(_cells, self._worst_rows()))
        if self.error_origins:
            lines += ["", f"where the error of {self.worst.output} originates ({self.worst.case}, {self.worst.precision}):"]
            heads = ("operation", "value", "place", "error before", "error after", "growth")
            lines += _aligned(heads, map(_origin_cells, self.error_origins))
        return "\n".join(lines)

    def _worst_rows(self) -> list[Row]:
        worst: dict[tuple[str, str], Row] = {}
        for row in self.rows:
            key = (row.output, row.precision)
            if key not in worst or row.psnr < worst[key].psnr:
                worst[key] = row
        return list(worst.values())


def _verdict(origin: ErrorOrigin) -> str:
    if not origin.finite:
        return f"{origin}, the first whose result is not finite"
    return f"{origin}, whose relative error grows from {origin.error_in:.1e} to {origin.error_out:.1e}"


def _cells(row: Row) -> tuple[str, ...]:
    return (row.output, row.precision, f"{row.psnr:.1f} dB", f"{row.max_error:.1e}", row.case)


def _origin_cells(origin: ErrorOrigin) -> tuple[str, ...]:
    grown = f"{origin.growth:.1f}x" if origin.finite else "not finite"
    return (origin.operation, origin.name, origin.place, f"{origin.error_in:.1e}", f"{origin.error_out:.1e}", grown)


def _aligned(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    table = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
