"""What a verification found, as plain data and as a table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from converter.verification.births import Birth
from sdrt.backends.coreml.executor import Precision
from sdrt.errors import ConversionError
from sdrt.models.coreml.names import Role

__all__ = ["Row", "Verification"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One output of one call.

    Parameters
    ----------
    case : str
        The inputs, in words.
    precision : "float32" or "float16"
        What was computed in: float32 is what the package means, float16 what half precision makes of it.
    output : str
    psnr : float
        dB against the reference; -inf where the output is not finite.
    max_error : float
    """

    case: str
    precision: Precision
    output: str
    psnr: float
    max_error: float


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Figures of a package against the network that it was made from.

    Parameters
    ----------
    package : str
        Its file, or the halves' files.
    role : Role
    minimum_psnr : float
        What every output has to reach, in dB.
    rows : tuple of Row
        Every output of every call in every precision.
    births : tuple of Birth
        Operations by how much they let the error of the worst row grow, the worst first. Empty where all is well and they were not asked
        for, or where there was nothing to compare with.
    unexplained : str
        Why ``births`` is empty where it was wanted.
    """

    package: str
    role: Role
    minimum_psnr: float
    rows: tuple[Row, ...]
    births: tuple[Birth, ...] = ()
    unexplained: str = ""

    @property
    def worst(self) -> Row:
        """The row with the lowest PSNR."""
        return min(self.rows, key=lambda row: row.psnr)

    @property
    def passed(self) -> bool:
        """Whether every output reaches what it has to."""
        return self.worst.psnr >= self.minimum_psnr

    def require(self) -> None:
        """Return if all is well.

        Raises
        ------
        ConversionError : an output is below the bound; the message names the worst, its figure, and the operation where its error is born
        """
        if self.passed:
            return
        row = self.worst
        blame = f"the error is born in {_verdict(self.births[0])}" if self.births else self.unexplained
        raise ConversionError(
            f"{self.package}: {row.output} is to reach {self.minimum_psnr:g} dB against its source and has {row.psnr:.1f} dB "
            f"({row.case}, computed in {row.precision}); {blame}"
        )

    def table(self) -> str:
        """The worst figure of each output in each precision, and the operations where its error is born, where they are known."""
        lines = [f"{self.package}: {self.role}, at least {self.minimum_psnr:g} dB: {'passed' if self.passed else 'FAILED'}"]
        lines += _aligned(("output", "computed in", "worst PSNR", "max error", "at"), map(_cells, self._worst_rows()))
        if self.births:
            lines += ["", f"where the error of {self.worst.output} is born ({self.worst.case}, {self.worst.precision}):"]
            heads = ("operation", "value", "place", "error before", "error after", "growth")
            lines += _aligned(heads, map(_birth_cells, self.births))
        return "\n".join(lines)

    def _worst_rows(self) -> list[Row]:
        worst: dict[tuple[str, str], Row] = {}
        for row in self.rows:
            key = (row.output, row.precision)
            if key not in worst or row.psnr < worst[key].psnr:
                worst[key] = row
        return list(worst.values())


def _verdict(birth: Birth) -> str:
    if not birth.finite:
        return f"{birth}, the first whose result is not finite"
    return f"{birth}, whose relative error grows from {birth.error_in:.1e} to {birth.error_out:.1e}"


def _cells(row: Row) -> tuple[str, ...]:
    return (row.output, row.precision, f"{row.psnr:.1f} dB", f"{row.max_error:.1e}", row.case)


def _birth_cells(birth: Birth) -> tuple[str, ...]:
    grown = f"{birth.growth:.1f}x" if birth.finite else "not finite"
    return (birth.operation, birth.name, birth.place, f"{birth.error_in:.1e}", f"{birth.error_out:.1e}", grown)


def _aligned(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    table = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
