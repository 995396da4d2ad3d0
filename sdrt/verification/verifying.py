"""Run all checks and compare them with the table."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sdrt.verification.check import Check
from sdrt.verification.digests import total
from sdrt.verification.foundations import foundations
from sdrt.verification.networks import networks
from sdrt.verification.pictures import pictures
from sdrt.verification.schedules import schedules
from sdrt.verification.table import Table, read_table

__all__ = ["Outcome", "Verification", "all_checks", "compute", "verify"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one check.

    Parameters
    ----------
    section, name : str
        Of the check.
    sha256 : str
        Of the digests of all its stages.
    departs_at : str or None
        The first stage whose digest is not the table's; None: all are equal.
    seconds : float
    """

    section: str
    name: str
    sha256: str
    departs_at: str | None
    seconds: float

    @property
    def equal(self) -> bool:
        """Whether every stage is the table's."""
        return self.departs_at is None


@dataclass(frozen=True)
class Verification:
    """What came of all checks, in their order: each stands on those before it."""

    outcomes: tuple[Outcome, ...]

    @property
    def equal(self) -> bool:
        """Whether this machine computes what every machine should."""
        return all(outcome.equal for outcome in self.outcomes)

    @property
    def first_departure(self) -> Outcome | None:
        """The first check that departs: what to look at, since others may follow from it."""
        return next((outcome for outcome in self.outcomes if not outcome.equal), None)

    @property
    def sha256(self) -> str:
        """One digest of everything, which is the table's own where all is equal."""
        return total({f"{outcome.section}: {outcome.name}": outcome.sha256 for outcome in self.outcomes})

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        first = self.first_departure
        return {
            "equal": self.equal,
            "sha256": self.sha256,
            "first_departure": None if first is None else {"section": first.section, "check": first.name, "stage": first.departs_at},
            "checks": [
                {
                    "section": outcome.section,
                    "check": outcome.name,
                    "sha256": outcome.sha256,
                    "verdict": "equal" if outcome.equal else "departs",
                    **({} if outcome.equal else {"stage": outcome.departs_at}),
                    "seconds": round(outcome.seconds, 3),
                }
                for outcome in self.outcomes
            ],
        }


def all_checks(threads: int | None = None) -> Iterator[Check]:
    """Yield every check, each after those that it stands on."""
    yield from foundations()
    yield from schedules()
    yield from networks(threads)
    yield from pictures(threads)


def compute(check: Check) -> dict[str, str]:
    """Return the digest of each stage of a check."""
    return dict(check.stages())


def verify(
    threads: int | None = None, on_check: Callable[[int, int], object] = lambda *_: None, table: Table | None = None
) -> Verification:
    """Compute every check here and compare it with the table that ships with sdrt.

    Parameters
    ----------
    threads : int or None
        Of the networks; None: all cores. Results do not depend on it.
    on_check : callable
        Told how many checks are done, and of how many.
    table : Table or None
        None: the one that ships with sdrt.
    """
    golden = read_table() if table is None else table
    checks = list(all_checks(threads))
    outcomes = []
    for done, check in enumerate(checks):
        on_check(done, len(checks))
        began = time.perf_counter()
        stages = compute(check)
        departs = _first_departure(stages, dict(golden.get(check.key, {})))
        seconds = time.perf_counter() - began
        outcomes.append(Outcome(section=check.section, name=check.name, sha256=total(stages), departs_at=departs, seconds=seconds))
    on_check(len(checks), len(checks))
    return Verification(tuple(outcomes))


def _first_departure(stages: dict[str, str], golden: dict[str, str]) -> str | None:
    for name, found in stages.items():
        if golden.get(name) != found:
            return name
    return next((name for name in golden if name not in stages), None)
