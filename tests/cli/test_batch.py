"""``sdrt batch`` as a user meets it: killed and started again, with rows that are wrong, and from prompts."""

import json
import os
import signal
from pathlib import Path

import pytest

import sdrt
from sdrt.batch.manifest import read_manifest
from sdrt.cli import main
from tests.cli.programs import run, start

STEPS = ["--steps", "1"]


def write(folder: Path, *rows: object) -> Path:
    file = folder / "jobs.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_a_batch_that_was_killed_goes_on(tmp_path: Path) -> None:
    write(tmp_path, *({"prompt": "a red circle", "seed": k, "num_inference_steps": 3} for k in range(3)))
    with start("batch", "jobs.jsonl", "-o", "out", cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "out/a_red_circle.0.png\n"
        process.send_signal(signal.SIGKILL)
    first = (tmp_path / "out" / "a_red_circle.0.png").stat()
    status, out, err = run("batch", "jobs.jsonl", "-o", "out", cwd=tmp_path)
    assert (status, err.splitlines()[-1].startswith("sdrt: of 3 rows: ")) == (0, True)
    assert "out/a_red_circle.0.png" not in out
    assert (tmp_path / "out" / "a_red_circle.0.png").stat().st_mtime_ns == first.st_mtime_ns
    pictures = [name for name in names(tmp_path / "out") if name.endswith(".png")]
    assert pictures == [f"a_red_circle.{k}.png" for k in range(3)]
    assert sorted(entry["row"] for entry in read_manifest(tmp_path / "out")) == [1, 2, 3]
    for k, name in enumerate(pictures):
        assert sdrt.Settings.from_file(tmp_path / "out" / name).seed == k


def test_a_wrong_row_is_one_line_and_the_others_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = write(tmp_path, {"prompt": "a", "seed": 1}, {"prompt": "b", "sed": 2}, {"prompt": "c", "height": 63}, {"prompt": "d", "seed": 4})
    argv = ["batch", str(jobs), "-o", str(tmp_path / "out"), *STEPS]
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert [Path(line).name for line in out.splitlines()] == ["a.1.png", "d.4.png"]
    assert err.splitlines() == [
        f"sdrt: {jobs}, row 2, column 'sed': must be an option of a row; write seed",
        f"sdrt: {jobs}, row 3: height must be a multiple of 8 for this model, got 63; try 64",
        "sdrt: of 4 rows: 2 drawn",
        f"sdrt: 2 of 4 rows failed; correct them, and run it again: {tmp_path / 'out' / 'manifest.jsonl'} says why",
    ]
    write(tmp_path, {"prompt": "c", "height": 63}, {"prompt": "e"})
    assert main([*argv, "--stop", "-q"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
    assert names(tmp_path / "out") == ["a.1.png", "d.4.png", "manifest.jsonl"]


@pytest.mark.parametrize(
    ("rows", "flags", "message"),
    [
        ([{"prompt": "a", "sed": 2}], ["--stop"], "row 1, column 'sed'"),
        ([{"prompt": "a", "sed": 2}], [], "none of the 1 rows can be drawn; correct them"),
        ([{"prompt": "a"}], ["-o", "a.jpg"], "-o must be a folder, got the file a.jpg; pass a folder, and --format jpeg"),
        ([{"prompt": "a"}], ["--prompts", "x"], "got both; pass one of them"),
        ([{"prompt": "a"}], ["--num-images", "0"], "num_images must be a whole number of at least 1, got 0"),
        (None, [], "the jobs must be a file, or prompts (--prompts), got none; pass one of them"),
    ],
)
def test_what_is_no_batch_is_refused_before_a_model_is_opened(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rows: list[object] | None,
    flags: list[str],
    message: str,
) -> None:
    monkeypatch.setattr("sdrt.pipeline.loading.load", lambda *_, **__: pytest.fail("it was refused too late"))
    monkeypatch.chdir(tmp_path)
    jobs = [] if rows is None else [str(write(tmp_path, *rows))]
    assert main(["batch", *jobs, *flags]) == 2
    assert message in capsys.readouterr().err


def test_prompts_are_a_batch_with_the_flags_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "prompts.txt").write_text("a red circle\n# none\na blue square\n")
    argv = ["batch", "--prompts", str(tmp_path / "prompts.txt"), "--seed", "3", *STEPS, "--format", "webp", "-o", str(tmp_path / "out")]
    for said in ("2 drawn", "2 finished before"):
        assert main(argv) == 0
        assert capsys.readouterr().err == f"sdrt: of 2 rows: {said}\n"
    assert names(tmp_path / "out") == ["a_blue_square.3.webp", "a_red_circle.3.webp", "manifest.jsonl"]
