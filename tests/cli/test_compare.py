"""``sdrt compare`` on the command line."""

import json
from pathlib import Path

import pytest

import sdrt
from sdrt.cli import main
from sdrt.compare import record

CALL = ("--prompt", "a red circle", "--seed", "93", "--steps", "2")


def test_equal_runs_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "numpy", "nano", *CALL, "--fail-below", "1000"]) == 0
    out, err = capsys.readouterr()
    assert "equal: the same numbers at each step" in out
    assert "picture: equal" in out
    assert err.splitlines() == ["sdrt: a: numpy", "sdrt: b: nano"]


def test_json_is_all_of_standard_output(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    arguments = ["--json", "--html", str(page), "--teacher-forced", "--truth", "-q", "--numerics-b", "float64", "--scheduler", "euler"]
    assert main(["compare", "numpy", "nano", *CALL, *arguments]) == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert err == ""
    assert (record["format"], record["version"]) == ("sdrt comparison", 1)
    assert record["first_departure"] is None
    assert record["equal"] is False
    assert record["b"]["precision"] == "float64"
    assert record["settings"]["scheduler"] == "euler"
    assert {row["nearer"] for row in record["truth"]} <= {"b"}
    assert {row["component"] for row in record["networks"]} == {"text_encoder", "unet", "scheduler", "vae_decoder"}
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_gate_ends_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    """bfloat16 is some 50 dB from float32; what was found is printed all the same."""
    with pytest.raises(SystemExit) as leaving:
        main(["compare", "numpy", "torch", "--dtype-b", "BFLOAT16", *CALL, "--fail-below", "90", "-q"])
    assert leaving.value.code == 1
    out, err = capsys.readouterr()
    assert "picture: " in out
    assert err.startswith("sdrt: pictures must be at least 90 dB alike, got ")
    assert len(err.splitlines()) == 1
    assert main(["compare", "numpy", "torch", "--dtype-b", "bfloat16", *CALL, "--fail-below", "20", "-q"]) == 0


def test_a_recording_needs_no_prompt(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pipe = sdrt.load("nano")
    with record(tmp_path / "run.sdrt", pipe):
        pipe.generate("a red circle", seed=93, num_inference_steps=2)
    assert main(["compare", str(tmp_path / "run.sdrt"), "numpy", "-q"]) == 0
    assert "equal: the same numbers at each step" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["numpy", "nano", "--seed", "1"], "prompt must be given where neither side is a recording"),
        (["numpy", "nano", "--prompt", "x"], "seed must be given, so that both sides draw from the same"),
        (["numpy", "nano", "--backend-a", "torch", *CALL], "a side must have one backend, got 'numpy' and 'torch'"),
        (["numpy", "nano", "--fail-below", "nan", *CALL], "--fail-below must be a number of dB, got nan"),
        (["numpy", "nano", "--compute-unit-b", "all", "--dtype-b", "float32", *CALL], "unknown option dtype"),
        (["numpy", "missing-folder", *CALL], "missing-folder"),
        (["numpy", "nano", *CALL, "--html", "run.sdrt"], "--html must be the page's file, got run.sdrt; write --html page.html"),
        (["numpy", "nano", *CALL, "--html", "."], "--html must be the page's file"),
        (["numpy", "nano", *CALL, "--html", "missing/page.html"], "missing/page.html: cannot be written (no such folder)"),
    ],
)
def test_refusals_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["compare", "-q", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert message in err
