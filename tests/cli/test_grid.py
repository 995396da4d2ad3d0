"""``sdrt grid`` as a user meets it: files, a sheet, and going on."""

from pathlib import Path

import pytest
from PIL import Image

import sdrt
from sdrt.cli import main
from sdrt.images import read_text

STEPS = ["--steps", "1", "--seed", "3"]


def test_each_picture_is_a_file_and_the_sheet_shows_them_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["grid", "a {red|blue} circle", "--y", "guidance_scale=1,4", *STEPS, "-o", str(tmp_path)]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    *files, sheet = map(Path, out.splitlines())
    assert err == "sdrt: of 4 pictures: 4 drawn\n"
    assert [file.name for file in files] == [f"{k:03}_a_{colour}_circle.3.png" for k, colour in enumerate(["red", "blue"] * 2, 1)]
    read = [sdrt.Settings.from_file(file) for file in files]
    assert [(each.prompt, each.guidance_scale, each.seed) for each in read] == [
        (f"a {colour} circle", scale, 3) for scale in (1, 4) for colour in ("red", "blue")
    ]
    assert sheet.name == "grid_of_a_red_blue_circle.3.png"
    assert read_text(sheet) == {"parameters": "a {red|blue} circle\nx: red, blue; y: guidance_scale: 1, guidance_scale: 4"}
    with Image.open(sheet) as whole, Image.open(files[3]) as last:
        assert whole.width > 2 * 128
        assert whole.crop((whole.width - 128, whole.height - 128, whole.width, whole.height)).tobytes() == last.convert("RGB").tobytes()
    # one more value: what is there is not drawn again
    assert main([*argv[:3], "guidance_scale=1,4,2", *argv[4:]]) == 0
    assert capsys.readouterr().err == "sdrt: of 6 pictures: 2 drawn, 4 finished before\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["a"], "a grid must have an axis of two values, got none"),
        (["a", "--x", "seed=1,x"], "the axis seed must be a whole number"),
        (["a|b", "--matrix", "-n", "2"], "num_images must be 1 for a grid"),
        (["a|b", "--matrix", "-o", "a.png"], "-o must be a folder, got the file a.png"),
    ],
)
def test_what_is_no_grid_is_refused_before_a_model_is_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    monkeypatch.setattr("sdrt.pipeline.loading.load", lambda *_, **__: pytest.fail("it was refused too late"))
    assert main(["grid", *argv]) == 2
    assert message in capsys.readouterr().err


def test_a_picture_that_cannot_be_drawn_leaves_no_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grid", "a", "--x", "height=64,63", "-W", "64", *STEPS, "-q", "-o", str(tmp_path)]) == 2
    assert "cell 2: height must be a multiple of 8" in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["001_a.3.png", "manifest.jsonl"]
