"""The table of golden digests, and what a machine that departs from it is told."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sdrt import __version__, models
from sdrt.arrays import Array
from sdrt.cli import main
from sdrt.schedulers import class_names, sampler_from_name
from sdrt.verification import schedules, verifying
from sdrt.verification.check import Check
from sdrt.verification.networks import networks
from sdrt.verification.table import FILE, Table, read_table, table_text
from sdrt.verification.verifying import Outcome, Verification, all_checks, compute, verify

# Of the pictures, one for each way through the pipeline; all of them are drawn by the test that is marked slow.
PICTURES = ("text to image", "in-painting", "ControlNet, guess mode", "LoRA")
WRITE_IT_ANEW = "if exact results were meant to change, run python -m benchmarks.golden, and say so in the changelog"


def few_checks(threads: int | None = None) -> Iterator[Check]:
    return (check for check in all_checks(threads) if check.section != "pictures" or check.name in PICTURES)


def test_the_table_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "all_checks", few_checks)
    found = verify(threads=1)
    assert found.equal, (found.first_departure, WRITE_IT_ANEW)


@pytest.mark.slow
def test_the_whole_table_is_up_to_date() -> None:
    checks = {check.key: compute(check) for check in all_checks(threads=2)}
    assert table_text(__version__, checks) == FILE.read_text(encoding="utf-8"), WRITE_IT_ANEW


def test_the_table_has_every_check_and_no_other() -> None:
    keys = Counter(check.key for check in all_checks())
    assert max(keys.values()) == 1
    assert list(read_table()) == list(keys)
    assert json.loads(FILE.read_text(encoding="utf-8"))["sdrt"] == __version__


def test_every_class_of_schedulers_is_checked() -> None:
    named = {check.name for check in schedules.schedules()}
    classes = {sampler_from_name(row, {}).name for row in named if row not in (*class_names(), "noise schedules")}
    assert set(class_names()) <= classes | named


def test_a_wrong_weight_is_found_at_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """One weight in a thousand of one tensor, changed by a thousandth."""

    def changed(stored: Array) -> Array:
        weight: Array = stored.astype(np.float32)
        weight.reshape(-1)[:: max(1, weight.size // 3)] *= np.float32(1.001)
        return weight

    model = models.open_model("nano").with_changes({"unet": {"mid_block.resnets.0.conv2.weight": changed}})
    monkeypatch.setattr(models, "open_model", lambda _: model)
    [check] = [check for check in networks(1) if check.key == "networks: nano unet"]
    monkeypatch.setattr(verifying, "all_checks", lambda _: iter([check]))
    first = verify().first_departure
    assert first is not None
    assert first.departs_at in ("mid_block.resnets.0.conv2", "mid_block.resnets.0")


def verified(table: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Verification:
    checks = [Check("noise", "a", lambda: iter([("one", "11"), ("two", "22")])), Check("pictures", "b", lambda: iter([("one", "33")]))]
    monkeypatch.setattr(verifying, "all_checks", lambda _: iter(checks))
    told: list[tuple[int, int]] = []
    found = verify(on_check=lambda *counts: told.append(counts), table=table)
    assert told == [(0, 2), (1, 2), (2, 2)]
    return found


RIGHT = {"noise: a": {"one": "11", "two": "22"}, "pictures: b": {"one": "33"}}


@pytest.mark.parametrize(
    ("table", "departs"),
    [
        (RIGHT, None),
        ({**RIGHT, "noise: a": {"one": "11", "two": "23"}}, ("noise", "a", "two")),
        ({**RIGHT, "noise: a": {"one": "10", "two": "23"}}, ("noise", "a", "one")),
        ({**RIGHT, "noise: a": {"one": "11"}}, ("noise", "a", "two")),
        ({**RIGHT, "noise: a": {"one": "11", "two": "22", "three": "4"}}, ("noise", "a", "three")),
        ({"noise: a": RIGHT["noise: a"]}, ("pictures", "b", "one")),
    ],
)
def test_the_first_stage_that_departs_is_named(
    table: dict[str, dict[str, str]], departs: tuple[str, str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = verified(table, monkeypatch)
    first = found.first_departure
    assert (None if first is None else (first.section, first.name, first.departs_at)) == departs
    assert found.equal == (departs is None)
    assert found.to_dict()["equal"] == found.equal
    assert [each["verdict"] for each in found.to_dict()["checks"]].count("departs") == (departs is not None)


def found_by(*departs: str | None) -> Verification:
    names = ("torch", "nv")
    each = zip(names, departs, strict=True)
    return Verification(tuple(Outcome(section="noise", name=name, sha256="ab", departs_at=at, seconds=0.1) for name, at in each))


@pytest.mark.parametrize("departs", [None, "seed 93"])
def test_the_command_says_what_departs(departs: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sdrt.verification.verify", lambda *_: found_by(None, departs))
    assert leaves(["verify"]) == (0 if departs is None else 1)
    captured = capsys.readouterr()
    if departs is None:
        assert captured.out.startswith("noise: all 2 equal\n2 checks in")
    else:
        assert captured.out.startswith("noise: 1 of 2 equal\n  nv departs at seed 93\n")
        assert "sdrt: this machine departs from the table, first in noise, nv, at seed 93; please report" in captured.err


def test_the_command_prints_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sdrt.verification.verify", lambda *_: found_by(None, "seed 93"))
    assert leaves(["verify", "--json"]) == 1
    found: Any = json.loads(capsys.readouterr().out)
    assert found["first_departure"] == {"section": "noise", "check": "nv", "stage": "seed 93"}
    assert {"processor", "system", "python", "versions", "blas", "simd"} <= found["machine"].keys()


def leaves(argv: list[str]) -> int:
    try:
        return main(argv)
    except SystemExit as leave:
        return int(leave.code or 0)


def test_a_table_is_read_back(tmp_path: Any) -> None:
    table: Table = {"noise: a": {"one": "11"}, "tokens: 漢": {'"': "22"}}
    (tmp_path / "t.json").write_text(table_text("1.0", table), encoding="utf-8")
    assert read_table(tmp_path / "t.json") == table
