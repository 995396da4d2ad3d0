"""``sdrt record`` and ``sdrt replay``."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdrt.cli import main
from sdrt.compare import Recording

QUICK = ["--steps", "2", "--seed", "93", "--threads", "1"]


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_recorded_and_replayed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "a red circle", *QUICK, "-o", "run.sdrt", "--picture", "first.png"]) == 0
    assert capsys.readouterr().out == "first.png\nrun.sdrt\n"
    assert main(["replay", "run.sdrt", "-o", "second.png", "--threads", "1"]) == 0
    assert capsys.readouterr().out == "second.png\nthe recorded pictures and latents, byte for byte\n"
    recording = Recording.open("run.sdrt")
    recording.verify()
    (end,) = recording.events(kind="end")
    for file in ("first.png", "second.png"):
        assert np.array_equal(pixels(here / file), recording.arrays(end)["picture.0"])


def test_a_run_is_replayed_on_another_backend_and_on_a_recording(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "a red circle", *QUICK, "-q", "-o", "run.sdrt"]) == 0
    assert capsys.readouterr().out == ""
    assert not list(here.glob("*.png"))
    assert main(["replay", "run.sdrt", "--backend", "torch"]) == 0
    assert "from the recorded ones, latents at most" in capsys.readouterr().out
    assert main(["replay", "run.sdrt", "--model", "run.sdrt"]) == 0
    assert "byte for byte" in capsys.readouterr().out
    assert main(["generate", "a red circle", "--model", "run.sdrt", "--steps", "2", "--seed", "93", "-o", "played.png"]) == 0


def test_prompts_of_a_file_are_runs_of_one_recording(here: Path) -> None:
    (here / "prompts.txt").write_text("a red circle\na blue square\n")
    assert main(["record", "--prompts", "prompts.txt", *QUICK, "-q", "-o", "run.sdrt", "--keep", "hashes"]) == 0
    recording = Recording.open("run.sdrt")
    assert [recording.settings(run).prompt for run in recording.runs] == ["a red circle", "a blue square"]
    assert main(["replay", "run.sdrt", "--run", "1", "-q", "-o", "second.png", "--threads", "1"]) == 0
    assert (here / "second.png").is_file()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["record", "a", "-o", "run.png"], "-o must be the recording's file, got run.png; write -o run.sdrt, and --picture for pictures"),
        (["record", "a", "-o", "run.sdrt", "--format", "jpeg"], "--format and --quality must come with --picture"),
        (["record", "-o", "run.sdrt"], "a prompt must be given"),
        (["record", "a"], "the following arguments are required: -o/--output"),
        (["record", "a", "-o", "nowhere/run.sdrt"], "nowhere/run.sdrt: cannot be written (No such file or directory)"),
        (["replay", "none.sdrt"], "none.sdrt: must be a recording, got a name that is not there"),
        (["replay", "other.sdrt"], "other.sdrt: must be a recording, which begins with recording.json"),
    ],
)
def test_mistakes_are_one_line(here: Path, capsys: pytest.CaptureFixture[str], argv: list[str], said: str) -> None:
    (here / "other.sdrt").write_bytes(b"\x89PNG")
    try:
        status = main(argv)
    except SystemExit as ended:
        status = ended.code  # type: ignore[assignment]
    assert status == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert [file.name for file in here.iterdir()] == ["other.sdrt"]


def test_a_run_that_the_recording_lacks_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "a red circle", *QUICK, "-q", "-o", "run.sdrt"]) == 0
    assert main(["replay", "run.sdrt", "--run", "3"]) == 2
    assert "run.sdrt: has no beginning of run 3; its runs are [0]" in capsys.readouterr().err


def test_a_recording_is_inspected_and_checked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "a red circle", *QUICK, "-q", "-o", "run.sdrt"]) == 0
    assert main(["inspect", "run.sdrt"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("run.sdrt: recording, version 1, keep=all, written by sdrt ")
    assert out[1] == "run 0: finished, 2 steps, calls: text_encoder 1, unet 2, vae_decoder 1"
    assert "  prompt: a red circle" in out
    assert out[-1] == "every byte is as it was written"
    assert main(["inspect", "run.sdrt", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["lost"], about["runs"][0]["settings"]["seed"]) == (None, 93)
    content = (here / "run.sdrt").read_bytes()
    (here / "run.sdrt").write_bytes(content[: len(content) // 2])
    assert main(["inspect", "run.sdrt"]) == 2
    said = capsys.readouterr()
    assert "run 0: unknown, " in said.out
    assert "the first that is lost is " in said.err
