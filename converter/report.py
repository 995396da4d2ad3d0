"""The result of a conversion."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from sdrt.models.coreml.names import Role

if TYPE_CHECKING:
    from converter.verification import Verification

__all__ = ["Outcome", "Report", "Status"]

# Converted; only cut in two; or kept, because it was made with the same options.
Status: TypeAlias = Literal["made", "chunked", "kept"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result for one network.

    Parameters
    ----------
    role : Role
    packages : tuple of Path
        The whole network, then its halves.
    status : Status
    verifications : tuple of (str, Verification)
        The name and result of each comparison.
    unverified : str
        The reason for no comparison; empty if there was one, or none was requested.
    """

    role: Role
    packages: tuple[Path, ...]
    status: Status
    verifications: "tuple[tuple[str, Verification], ...]" = ()
    unverified: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of one conversion.

    Parameters
    ----------
    outcomes : tuple of Outcome
    resources : Path or None
        The folder for Swift's package, if requested.
    remarks : mapping of str to str
        What was assumed or left out, by its topic; each is logged too.
    """

    outcomes: tuple[Outcome, ...]
    resources: Path | None = None
    remarks: Mapping[str, str] = field(default_factory=dict)

    @property
    def packages(self) -> tuple[Path, ...]:
        """Every package, in the order of their making."""
        return tuple(package for outcome in self.outcomes for package in outcome.packages)
