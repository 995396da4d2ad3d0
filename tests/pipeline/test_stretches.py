"""How a run is divided where its guidance, its prompts or its model change."""

from typing import Any, cast

import pytest

from sdrt.guidance import ClassifierFreeGuidance, Guidance, Unguided
from sdrt.pipeline.stretches import distinct_rows, lay_out_stretches

CFG, PLAIN = ClassifierFreeGuidance(5.0), Unguided()
ONE: Any = ((0, ("texts",)),)


def laid_out(guidances: Any, prompts: Any = ONE, refiner: int | None = None, at: int = 0) -> list[tuple[int, Guidance, int, bool]]:
    return [(s.begins, s.guidance, s.prompts, s.refines) for s in lay_out_stretches(guidances, prompts, refiner, at, 10)]


def test_a_plain_run_is_one_stretch() -> None:
    assert laid_out(((0, CFG),)) == [(0, CFG, 0, False)]
    assert laid_out(((0, CFG),), at=4) == [(0, CFG, 0, False)]


def test_each_change_begins_a_stretch() -> None:
    texts = ((0, "a"), (5, "b"), (6, "c"))
    assert laid_out(((0, CFG), (3, PLAIN), (6, CFG)), texts, refiner=8) == [
        (0, CFG, 0, False),
        (3, PLAIN, 0, False),
        (5, PLAIN, 1, False),
        (6, CFG, 2, False),
        (8, CFG, 2, True),
    ]


@pytest.mark.parametrize(("at", "first"), [(0, 0), (2, 0), (3, 3), (5, 5), (9, 8)])
def test_stretches_that_are_over_before_the_run_begins_are_left_out(at: int, first: int) -> None:
    found = laid_out(((0, CFG), (3, PLAIN)), ((0, "a"), (5, "b")), refiner=8, at=at)
    assert found[0][0] == first
    assert found[-1] == (8, PLAIN, 1, True)


def test_changes_behind_the_last_call_are_never_reached() -> None:
    assert laid_out(((0, CFG), (10, PLAIN), (12, CFG))) == [(0, CFG, 0, False)]


def test_the_rows_of_a_run_are_those_of_all_its_guidances() -> None:
    assert distinct_rows(((0, PLAIN), (4, CFG))) == ("prompt", "negative")
    assert distinct_rows(cast("Any", ((0, CFG), (4, PLAIN)))) == ("negative", "prompt")
