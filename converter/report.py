"""What a conversion made."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from sdrt.models.coreml.names import Role

if TYPE_CHECKING:
    from converter.verification import Verification

__all__ = ["Outcome", "Report", "Status"]

# Converted, only cut in two, or there already with the same options.
Status: TypeAlias = Literal["made", "chunked", "kept"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One network.

    Parameters
    ----------
    role : Role
    packages : tuple of Path
        The whole, then what it was cut into.
    status : Status
    verifications : tuple of (str, Verification)
        What was compared, in words, and what came of it.
    unverified : str
        Why nothing was compared; empty if it was, or was not asked for.
    """

    role: Role
    packages: tuple[Path, ...]
    status: Status
    verifications: "tuple[tuple[str, Verification], ...]" = ()
    unverified: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """One conversion.

    Parameters
    ----------
    outcomes : tuple of Outcome
    resources : Path or None
        The folder for Swift's package, where it was asked for.
    """

    outcomes: tuple[Outcome, ...]
    resources: Path | None = None

    @property
    def packages(self) -> tuple[Path, ...]:
        """Every package, in the order in which they were made."""
        return tuple(package for outcome in self.outcomes for package in outcome.packages)
