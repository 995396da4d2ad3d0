"""Find out what differences probably are: try wrong hypotheses, and take the fewest that explain all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sdrt.testing.fault import Fault

__all__ = ["Hypothesis", "explain"]

T = TypeVar("T")


@dataclass(frozen=True)
class Hypothesis(Generic[T]):
    """Something that a port may do wrong.

    Parameters
    ----------
    kind : str
        Of the fault.
    text : str
        What it does, as the beginning of the fault's message.
    predicts : function
        Whether a port that does this gives the numbers of a case; None where the hypothesis says nothing of the case.
    """

    kind: str
    text: str
    predicts: Callable[[T], bool | None]


def explain(
    differing: Sequence[T],
    agreeing: Sequence[T],
    hypotheses: Sequence[Hypothesis[T]],
    describe: Callable[[T], str],
    last_resorts: Sequence[Hypothesis[T]] = (),
) -> list[Fault]:
    """Return one fault for each hypothesis that is needed, and one for what none explains.

    The hypothesis that explains most of what is left goes first; of equal ones the one that is wrong about fewer of the cases in which the
    port agrees with the original, then the one that stands earlier.

    Parameters
    ----------
    differing, agreeing : sequences of cases
        In which the port differs from the original, or agrees with it.
    describe : function
        What a case is and by how much it differs, for the message.
    last_resorts : sequence of hypotheses
        For what the others do not explain; one that explains everything alone is taken in place of several others.
    """
    faults, left = _covered(list(differing), agreeing, hypotheses, describe)
    if not left:
        return faults
    whole = next((each for each in last_resorts if all(each.predicts(case) for case in differing)), None)
    if whole is not None:
        return [Fault(whole.kind, _message(whole.text, differing, describe))]
    further, left = _covered(left, agreeing, last_resorts, describe)
    rest = [Fault("unexplained", _message("no known mistake gives these numbers", left, describe))] if left else []
    return [*faults, *further, *rest]


def _covered(
    left: list[T], agreeing: Sequence[T], hypotheses: Sequence[Hypothesis[T]], describe: Callable[[T], str]
) -> tuple[list[Fault], list[T]]:
    """Return the faults that explain most, and the cases that none explains."""
    faults: list[Fault] = []
    scored = _scored(left, agreeing, hypotheses) if left else []
    while left:
        covers = [(each, [case for case in left if id(case) in explained]) for each, explained in scored]
        most = max((len(cover) for _, cover in covers), default=0)
        if not most:
            break
        best, cover = min((found for found in covers if len(found[1]) == most), key=lambda found: _contradictions(found[0], agreeing))
        faults.append(Fault(best.kind, _message(best.text, cover, describe)))
        done = {id(case) for case in cover}
        left = [case for case in left if id(case) not in done]
    return faults, left


def _scored(differing: Sequence[T], agreeing: Sequence[T], hypotheses: Sequence[Hypothesis[T]]) -> list[tuple[Hypothesis[T], set[int]]]:
    """Return which cases each hypothesis explains; one that explains all, and is right about the others, ends the search."""
    scored = []
    for each in hypotheses:
        explained = {id(case) for case in differing if each.predicts(case)}
        scored.append((each, explained))
        if len(explained) == len(differing) and not _contradictions(each, agreeing):
            break
    return scored


def _contradictions(hypothesis: Hypothesis[T], agreeing: Sequence[T]) -> int:
    return sum(hypothesis.predicts(case) is False for case in agreeing)


def _message(text: str, cases: Sequence[T], describe: Callable[[T], str]) -> str:
    more = f" (and in {len(cases) - 1} more)" if len(cases) > 1 else ""
    return f"{text}; {describe(cases[0])}{more}"
