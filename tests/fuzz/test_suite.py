"""The suite itself: it counts each kind of misbehaviour in its column, draws the same case again, and outlives a crash."""

import sys
from pathlib import Path

import pytest

from tests.fuzz import judging
from tests.fuzz.damage import damaged, damaged_json
from tests.fuzz.drawing import Draw
from tests.fuzz.judging import CLEAN, CONTROL, FINE, LINES, LONG, MEMORY, OTHER, SILENT, TIME
from tests.fuzz.materials import Materials
from tests.fuzz.running import run_case
from tests.fuzz.values import FLAG, NUMBER, WHOLE, any_value, ascii_of, wrong_kinds
from tests.fuzz.workers import cases_of, run_all

HOME = "tests.fuzz.misbehaving"
EXPECTED = {
    "clean": CLEAN,
    "fine": FINE,
    "other_exception": OTHER,
    "exits": OTHER,
    "several_lines": LINES,
    "control_characters": CONTROL,
    "long": LONG,
    "silent": SILENT,
}
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")


def column(tmp_path: Path, function: str) -> str:
    return run_case(f"{HOME}:{function}/1/0", Materials(tmp_path)).outcome.column


@pytest.mark.parametrize(("function", "expected"), EXPECTED.items())
def test_each_misbehaviour_is_counted_in_its_column(tmp_path: Path, function: str, expected: str) -> None:
    assert column(tmp_path, function) == expected


def test_a_case_writes_nothing_into_the_folder_of_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert column(tmp_path, "litters") == FINE
    assert not any(tmp_path.iterdir())


@LINUX
def test_memory_that_was_taken_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MOST_BYTES", 2**26)
    assert column(tmp_path, "over_memory") == MEMORY


@LINUX
def test_memory_that_was_asked_for_is_counted(tmp_path: Path) -> None:
    assert column(tmp_path, "far_over_memory") == MEMORY


@LINUX
@pytest.mark.parametrize("function", ["over_time", "waits"])
def test_what_computes_or_waits_for_too_long_is_stopped(tmp_path: Path, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MOST_SECONDS", 0.2)
    monkeypatch.setattr(judging, "MOST_WAITING", 0.4)
    assert column(tmp_path, function) == TIME


@LINUX
def test_a_reader_that_swallows_the_stop_is_stopped_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MOST_SECONDS", 0.2)
    assert column(tmp_path, "swallows_every_exception") == TIME


def test_a_process_that_dies_is_counted_and_the_others_go_on(tmp_path: Path) -> None:
    cases = [f"{HOME}:crash/1/0", f"{HOME}:fine/1/0", f"{HOME}:clean/1/0"]
    found = {finished.name: finished.outcome for finished in run_all(cases, tmp_path, processes=1)}
    assert {name.partition(":")[2]: outcome.column for name, outcome in found.items()} == {"crash": OTHER, "fine": FINE, "clean": CLEAN}
    assert "process died" in found[f"{HOME}:crash"].detail


def test_a_case_draws_the_same_again(tmp_path: Path) -> None:
    def drawn(case: str) -> list[object]:
        draw = Draw(case, tmp_path, Materials(tmp_path))
        content = {"a": 1, "b": [1.0, "x"], "c": {"d": True}}
        return [ascii_of(any_value(draw)), damaged(draw, bytes(range(256))), damaged_json(draw, content)[0], draw.notes]

    assert drawn("x/1/0") == drawn("x/1/0") != drawn("x/1/1")


def test_cases_are_dealt_to_the_generators_in_turn() -> None:
    assert list(cases_of(["a", "b"], seed=3, count=3)) == ["a/3/0", "b/3/0", "a/3/1"]


def test_values_of_other_kinds_are_told() -> None:
    declared = {"flag": FLAG, "whole": WHOLE, "number": NUMBER}
    assert wrong_kinds({"flag": True, "whole": 3, "number": 2.5, "other": object()}, declared) is None
    assert wrong_kinds({"flag": None, "whole": None, "number": None}, declared) is None
    for wrong in (
        {"flag": 1},
        {"flag": "true"},
        {"whole": True},
        {"whole": 2.0},
        {"number": "2"},
        {"number": float("nan")},
        {"number": True},
    ):
        assert wrong_kinds(wrong, declared), wrong
