"""The command line as a user meets it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.cli import main, parser
from sdrt.images.png import read_text

QUICK = ["--steps", "2", "--seed", "93"]


def errors(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that a failing command writes."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sdrt: ")
    assert err.count("\n") == 1
    return err


def test_generate_writes_a_picture_with_its_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "a red circle", *QUICK, "-o", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    file = tmp_path / "a_red_circle.93.png"
    assert out.strip() == str(file)
    # nobody looks at it
    assert err == ""
    with Image.open(file) as image:
        assert image.size == (128, 128)
    text = read_text(file)
    assert text["parameters"].startswith("a red circle\nSteps: 2, Sampler: ")
    settings = json.loads(text["sdrt"])
    assert (settings["seed"], settings["num_inference_steps"], settings["version"]) == (93, 2, sdrt.__version__)


def test_the_settings_inside_draw_the_picture_again(tmp_path: Path) -> None:
    assert main(["generate", "a red circle", *QUICK, "-n", "2", "--scheduler", "dpm++ 2m karras", "-q", "-o", str(tmp_path)]) == 0
    second = tmp_path / "a_red_circle.94.png"
    settings = sdrt.Settings.from_png(second)
    pipe = sdrt.load(settings.model, settings.backend, "float32")
    result = pipe.generate(**settings.options())
    assert result.settings == settings
    with Image.open(second) as saved:
        difference = np.abs(np.asarray(result.images[0], np.int16) - np.asarray(saved, np.int16)).max()
    # alone and in a batch the matrix products have other sizes, and round otherwise
    assert difference <= 1


def test_a_file_of_prompts_and_several_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red circle\n\n  a blue square  \n", encoding="utf-8")
    assert main(["generate", "--prompts", str(prompts), *QUICK, "-n", "2", "-q", "-o", str(tmp_path / "new" / "folder")]) == 0
    assert capsys.readouterr() == ("", "")
    names = sorted(file.name for file in (tmp_path / "new" / "folder").iterdir())
    assert names == ["a_blue_square.93.png", "a_blue_square.94.png", "a_red_circle.93.png", "a_red_circle.94.png"]


def test_output_may_name_the_file(tmp_path: Path) -> None:
    assert main(["generate", "a red circle", *QUICK, "-q", "-o", str(tmp_path / "dot.png")]) == 0
    assert main(["generate", "a red circle", *QUICK, "-q", "-n", "2", "-o", str(tmp_path / "dots.png")]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["dot.png", "dots.93.png", "dots.94.png"]
    # the name that was given is replaced, those that follow from it take no other file's place
    for _ in range(2):
        assert main(["generate", "a", *QUICK, "-q", "-o", str(tmp_path / "dot.png")]) == 0
    assert main(["generate", "a", *QUICK, "-q", "-n", "2", "-o", str(tmp_path / "dots.png")]) == 0
    assert len(list(tmp_path.iterdir())) == 5


def test_a_picture_of_other_settings_is_not_written_over(tmp_path: Path) -> None:
    for steps in ("2", "3"):
        assert main(["generate", "a red circle", "--seed", "93", "--steps", steps, "-q", "-o", str(tmp_path)]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a_red_circle.93-2.png", "a_red_circle.93.png"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["generate"], "a prompt must be given as text, in a file (--prompts) or in a picture (--from), got none; pass one of them"),
        (["generate", "a", "--model", "no/such"], "no/such: no such folder, nor in the Hub's cache"),
        (["generate", "a", "--backend", "abacus"], "backend must be numpy"),
        (["generate", "a", "--backend", "unet="], "--backend must be a name or component=name,component=name, got 'unet='"),
        (["generate", "a", "--backend", "u=numpy"], "got u; correct the name"),
        (["generate", "a", "--numerics", "float8"], "numerics must be 'float32' or 'float64' or 'exact', got 'float8'"),
        (["generate", "a", "--scheduler", "eular"], "eular"),
        (["generate", "a", "--rng", "dice"], "dice"),
        (["generate", "a", "--steps", "0"], "num_inference_steps must be a whole number of at least 1, got 0"),
        (["generate", "a", "--height", "100"], "height must be a multiple of 8 for this model, got 100; try 96"),
        (["generate", "--prompts", "no/such.txt"], "--prompts no/such.txt: cannot be read"),
        (
            ["generate", "a", "--fast", "--backend", "numpy"],
            "--fast chooses the torch backend, got --backend numpy too; leave one of them out",
        ),
        (
            ["generate", "a", "-o", "a.gif"],
            "-o must be a folder, or a file ending in .png, .jpg or .webp, got a.gif; those carry the settings",
        ),
        (["generate", "a", "-o", "no/such/a.png"], "no/such: no such folder"),
        (["inspect", "no/such.png"], "no/such.png: cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_error_is_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in errors(capsys, *argv)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["draw"], "argument COMMAND: invalid choice: 'draw'"),
        (["generate", "a", "--steps", "2.5"], "invalid int value: '2.5'; 'sdrt generate --help' shows what it takes"),
        (["generate", "a", "b"], "unrecognized arguments: b; 'sdrt --help' shows what it takes"),
        (["convert", "--model-version"], "expected one argument; 'sdrt convert --help' shows what it takes"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else None,
)
def test_arguments_that_cannot_be_read_are_one_line_too(capsys: pytest.CaptureFixture[str], argv: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith("sdrt: ")
    assert message in err
    assert err.count("\n") == 1


def test_an_empty_file_of_prompts_and_one_file_for_many_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n \n")
    assert "must hold a prompt on each line, got none" in errors(capsys, "generate", "--prompts", str(prompts))
    prompts.write_text("a\nb\n")
    assert "-o must be a folder for 2 prompts, got the file a.png; pass a folder" in errors(
        capsys, "generate", "--prompts", str(prompts), "-o", "a.png"
    )
    assert "got both" in errors(capsys, "generate", "a", "--prompts", str(prompts))


def test_ctrl_c_leaves_no_half_written_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(self: Image.Image, stream: Any, **_: object) -> None:
        stream.write(b"\x89PNG half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    assert main(["generate", "a red circle", *QUICK, "-q", "-o", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "sdrt: interrupted; pictures that were finished are kept\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "key", "value"),
    [
        (["--cfg", "sequential"], "--guidance-batching sequential", "guidance_batching", "sequential"),
        (["--emphasis", "no norm"], "--emphasis no_norm", "emphasis", "no_norm"),
    ],
)
def test_flags_of_0_1_0_are_taken_and_their_new_spelling_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, old: list[str], new: str, key: str, value: str
) -> None:
    with pytest.warns(DeprecationWarning, match=f"is deprecated; write {new}"):
        assert main(["generate", "a red circle", *QUICK, "-q", *old, "-o", str(tmp_path / "a.png")]) == 0
    assert [record.getMessage().partition("write ")[2] for record in caplog.records] == [new]
    assert json.loads(read_text(tmp_path / "a.png")["sdrt"])[key] == value


def test_inspect_shows_the_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "a red circle", *QUICK, "-q", "-o", str(tmp_path / "a.png")]) == 0
    assert main(["inspect", str(tmp_path / "a.png")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:3] == [["prompt", "a", "red", "circle"], ["negative_prompt"], ["seed", "93"]]
    config = lines.index(["scheduler_config"])
    assert lines[config + 1] == ["_class_name", "DPMSolverMultistepScheduler"]
    assert main(["inspect", "--json", str(tmp_path / "a.png")]) == 0
    assert json.loads(capsys.readouterr().out)["seed"] == 93


def test_inspect_reads_what_other_tools_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sdrt.images.png import save_png

    image = Image.new("RGB", (8, 8))
    save_png(image, tmp_path / "other.png", {"parameters": "a cat\nSteps: 20"})
    assert main(["inspect", str(tmp_path / "other.png")]) == 0
    assert capsys.readouterr().out == "parameters:\na cat\nSteps: 20\n"
    assert "must hold a record of sdrt, got none" in errors(capsys, "inspect", "--json", str(tmp_path / "other.png"))
    image.save(tmp_path / "bare.png")
    assert "must carry settings, got none" in errors(capsys, "inspect", str(tmp_path / "bare.png"))


def test_the_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends"]) == 0
    assert any(line.split() == ["numpy", "built", "in", "available"] for line in capsys.readouterr().out.splitlines())
    assert main(["schedulers"]) == 0
    assert "DPMSolverMultistepScheduler" in capsys.readouterr().out
    assert main(["models"]) == 0
    # what the Hub's cache holds stands below
    embedded = capsys.readouterr().out.partition("\n\n")[0]
    _, *rows = (re.split(r" {2,}", line) for line in embedded.splitlines())
    kinds = {
        "nano": "model",
        "nano-inpaint": "in-painting model",
        "nano-edges": "ControlNet",
        "nano-outline": "LoRA",
        "nano-quick": "VAE",
        "nano-upscale": "upscaler",
    }
    assert {row[0]: row[1] for row in rows} == kinds
    assert all(row[3:6] == ["128x128", "20", "2" if row[0] == "nano-edges" else "3"] for row in rows)


def test_version_and_module(tmp_path: Path) -> None:
    shown = subprocess.run([sys.executable, "-m", "sdrt", "--version"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert shown.stdout == f"sdrt {sdrt.__version__}\n"


def test_two_dashes_are_a_value_behind_an_equals_sign() -> None:
    typed = parser().parse_args(["apple", "pipeline", "--prompt=--", "-i=--", "-o=out", "--controlnet=--", "--controlnet-inputs=--"])
    assert (typed.prompt, typed.packages, typed.controlnet, typed.controlnet_inputs) == ("--", Path("--"), ["--"], [Path("--")])
    assert parser().parse_args(["swift", "--seed", "5", "--", "--"]).words == ["--"]
