"""Where pictures go, where prompts come from, and what is said beside."""

import errno
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import sdrt
from sdrt.cli import main
from sdrt.cli.prompts import prompt_text
from sdrt.images import read_text
from tests.cli.programs import start
from tests.factories import save_pipeline_folder

QUICK = ["--steps", "1", "--seed", "1", "-q"]


@pytest.fixture
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a model fails: all that is refused is refused before."""

    def load(*_: object, **__: object) -> None:
        raise AssertionError("it was refused too late")

    monkeypatch.setattr("sdrt.pipeline.loading.load", load)


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["generate", *argv]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), err[:6]) == ("", 1, "sdrt: ")
    return err


@pytest.mark.usefixtures("_undrawn")
@pytest.mark.parametrize("ending", ["gif", "bmp", "tiff", "avif", "heic", "jxl", "pdf", "ppm"])
def test_pictures_of_other_kinds_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str) -> None:
    assert "-o must be a folder, or a file ending in .png, .jpg or .webp, got" in refused(capsys, "a", "-o", str(tmp_path / f"a.{ending}"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_undrawn")
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-o", "a.jpg", "--format", "png"], "--format must be that of the file, got png for a.jpg; leave it out"),
        (["--format", "gif"], "format must be 'png' or 'jpeg' or 'webp', got 'gif'"),
        (["--quality", "90"], "quality must be left out for PNG"),
        (["-o", "a.webp", "--quality", "101"], "quality must be a whole number from 1 to 100"),
    ],
)
def test_formats_that_cannot_be_are_refused_before_drawing(capsys: pytest.CaptureFixture[str], flags: list[str], message: str) -> None:
    assert message in refused(capsys, "a", *flags)


@pytest.mark.usefixtures("_undrawn")
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("folder.png", "folder.png: cannot be written (it is a folder)"),
        ("none/a.png", "none: no such folder"),
        ("file", "file: cannot be made a folder (File exists)"),
        ("file/inside", "cannot be made a folder (Not a directory)"),
        ("x" * 300, "cannot be made a folder (File name too long)"),
        ("x" * 300 + ".png", "cannot be written (File name too long)"),
        ("x" * 5000 + ".gif", "must be a folder, or a file ending in .png"),
        ("loop/a", "cannot be made a folder"),
        ("-", "pictures are not written to standard output"),
    ],
)
def test_a_place_that_cannot_be_written_is_found_out_before_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(tmp_path.iterdir())
    assert message in refused(capsys, "a", "-o", place)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("_undrawn")
def test_a_folder_without_the_right_to_write_is_found_out_before_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = Path.open

    def protected(self: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
        if "x" in mode:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return plain(self, mode, *more, **options)

    monkeypatch.setattr(Path, "open", protected)
    for place in (tmp_path, tmp_path / "a.png"):
        assert "cannot be written (Permission denied); choose another place" in refused(capsys, "a", "-o", str(place))


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "abacus" in refused(capsys, "a", "--backend", "abacus", "-o", str(tmp_path / "new" / "folder"))
    assert list(tmp_path.iterdir()) == []


def test_commands_at_once_leave_a_file_each(tmp_path: Path) -> None:
    running = [start("generate", "a", *QUICK, "-o", "out", cwd=tmp_path) for _ in range(4)]
    assert {process.communicate(timeout=120) for process in running} == {("", "")}
    assert {process.returncode for process in running} == {0}
    names = {"a.1.png"} | {f"a.1-{k}.png" for k in range(2, 5)}
    assert {file.name for file in (tmp_path / "out").iterdir()} == names


def test_prompts_may_be_commented(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_bytes(b"\xef\xbb\xbf# of circles\na red circle\n\n  # and squares\n a square # 2\n")
    assert main(["generate", "--prompts", str(tmp_path / "prompts.txt"), *QUICK, "-o", str(tmp_path / "out")]) == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a_red_circle.1.png", "a_square_2.1.png"]


def test_prompts_may_come_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("größer\nein Kreis".encode())))
    assert main(["generate", "--prompts", "-", *QUICK, "-o", str(tmp_path)]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ein_kreis.1.png", "größer.1.png"]


@pytest.mark.usefixtures("_undrawn")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_prompts_that_cannot_be_read_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "comments").write_text("# a\n")
    (tmp_path / "utf-16").write_text("a red circle", encoding="utf-16")
    for name, message in {
        "pipe": "must be a file of text, got a pipe or a device",
        "": "must be a file of text, got a folder",
        "none": "cannot be read (No such file or directory)",
        "comments": "must hold a prompt on each line, got none",
        "utf-16": "cannot be read (not UTF-8 at byte 0)",
        "x" * 300: "cannot be read (File name too long)",
    }.items():
        assert message in refused(capsys, "--prompts", str(tmp_path / name))
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input: is closed" in refused(capsys, "--prompts", "-")


def test_a_prompt_may_have_a_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--prompt", "a red circle", *QUICK, "-o", str(tmp_path)]) == 0
    assert main(["generate", "--prompt=-x", *QUICK, "-o", str(tmp_path)]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["-x.1.png", "a_red_circle.1.png"]
    assert "got both; leave one of them out" in refused(capsys, "a", "--prompt", "a")


def test_a_seed_that_was_drawn_is_said_where_no_name_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "a", "--steps", "1", "-o", str(tmp_path / "a.png")]) == 0
    seed = json.loads(read_text(tmp_path / "a.png")["sdrt"])["seed"]
    assert capsys.readouterr().err == f"sdrt: the seed was drawn: {seed}\n"
    assert main(["generate", "a", "--steps", "1", "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""
    assert main(["generate", "a", "--steps", "1", "--seed", "0", "-o", str(tmp_path / "a.png")]) == 0
    assert capsys.readouterr().err == ""


def test_several_seeds_are_several_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "a", "--seed", "9,1", "--steps", "1", "-o", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert ([Path(line).name for line in out.splitlines()], err) == (["a.9.png", "a.1.png"], "")
    assert [sdrt.Settings.from_file(line).seed for line in out.splitlines()] == [9, 1]
    assert main(["generate", "a", "--seed", "5", "--subseed-strength", "0.1", "--steps", "1", "-o", str(tmp_path)]) == 0
    [file] = capsys.readouterr().out.splitlines()
    assert Path(file).name == "a.5.png"
    subseed = sdrt.Settings.from_file(file).subseed
    assert main(["generate", "--from", file, "--steps", "1", "-q", "-o", str(tmp_path / "again.png")]) == 0
    assert sdrt.Settings.from_file(tmp_path / "again.png").subseed == subseed
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "a", "--seed", "1,x"])
    assert "must be a whole number, or several with commas between them, got '1,x'" in capsys.readouterr().err


def test_choices_are_taken_in_letters_of_either_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [
        "--guidance-batching",
        "Sequential",
        "--emphasis",
        "No_Norm",
        "--rng",
        "NumPy",
        "--numerics",
        "Float64",
        "--compute-unit",
        "all",
    ]
    assert main(["generate", "a", *QUICK, *flags, "-o", str(tmp_path / "a.png")]) == 0
    settings = sdrt.Settings.from_png(tmp_path / "a.png")
    assert (settings.guidance_batching, settings.emphasis, settings.rng, settings.numerics) == ("sequential", "no_norm", "numpy", "float64")
    assert "compute_unit" in refused(capsys, "a", "--compute-unit", "cpu_only")


def test_remarks_are_lines_of_their_own_and_quiet_silences_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = "red " * 100 + "circle\n\x1b[31m"
    argv = ["generate", prompt, "--steps", "1", "--seed", "1", "--long-prompts", "truncate", "-o", str(tmp_path / "a.png")]
    assert main(argv) == 0
    err = capsys.readouterr().err
    assert err.startswith("sdrt: ")
    assert "circle" in err
    assert "\x1b" not in err
    assert all(line.startswith("sdrt: ") for line in err.splitlines())
    assert main([*argv, "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_flagged_picture_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_pipeline_folder(tmp_path / "model", safety_checker=True)
    config = tmp_path / "model" / "safety_checker"
    argv = ["generate", "a", "--model", str(folder), "--safety-checker", "--steps", "1", "--seed", "1", "-n", "2"]
    tensors = load_file(config / "model.safetensors")
    for thresholds, lines in ((-2.0, 2), (2.0, 0)):
        save_file(
            {name: np.full_like(each, thresholds) if "embeds_weights" in name else each for name, each in tensors.items()},
            config / "model.safetensors",
        )
        assert main([*argv, "-o", str(tmp_path / "out")]) == 0
        out, err = capsys.readouterr()
        said = [line for line in err.splitlines() if "safety checker" in line]
        assert said == [f"sdrt: the picture of seed {seed} is black: the safety checker flagged it" for seed in (1, 2)][:lines]
        # its record says so too
        for file in out.splitlines():
            assert main(["inspect", file]) == 0
        assert ["flagged", "true" if lines else "false"] in [line.split() for line in capsys.readouterr().out.splitlines()]
        if lines:
            blurred = tmp_path / "blurred.png"
            assert main([*argv[:-2], "--flagged-pictures", "Blurred", "-o", str(blurred)]) == 0
            assert "sdrt: the picture of seed 1 is blurred: the safety checker flagged it" in capsys.readouterr().err
            assert main(["generate", "--from", str(blurred), "--model", str(folder), "-q", "-o", str(tmp_path / "again.png")]) == 0
            assert (tmp_path / "again.png").read_bytes() == blurred.read_bytes()


def test_inspect_shows_what_files_hold_as_escapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    from sdrt.images import save_png

    hostile = "a \x1b]0;title\x07\u202ecat\r\nSteps: 20\n"
    save_png(Image.new("RGB", (8, 8)), tmp_path / "other.png", {"parameters": hostile, "a\x1bb": "c"})
    assert main(["inspect", str(tmp_path / "other.png")]) == 0
    assert capsys.readouterr().out == "parameters:\na \\x1b]0;title\\x07\\u202ecat\nSteps: 20\na\\x1bb:\nc\n"
    # the last is a control character that JSON itself lets through
    record = {"prompt": hostile, "\x1b[31m": {"\n": "\x07"}, "seed": 5, "model": "a\x9bb"}
    save_png(Image.new("RGB", (8, 8)), tmp_path / "record.png", {"sdrt": json.dumps(record, ensure_ascii=False)})
    assert main(["inspect", str(tmp_path / "record.png")]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split(maxsplit=1) == ["prompt", "a \\x1b]0;title\\x07\\u202ecat\\r\\nSteps: 20\\n"]
    assert "\x1b" not in out
    assert main(["inspect", "--json", str(tmp_path / "record.png")]) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == record
    assert out.isprintable() or out.strip().isascii()


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.gif", "a.bmp", "a.tiff", "folder", "a.txt", "none.png"])
def test_inspect_says_in_one_line_what_has_no_record(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    from PIL import Image

    (tmp_path / "folder").mkdir()
    (tmp_path / "a.txt").write_text("no picture")
    if Path(name).suffix not in ("", ".txt") and name != "none.png":
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert main(["inspect", str(tmp_path / name)]) == 2
    err = capsys.readouterr().err
    assert (err.count("\n"), err.count(str(tmp_path / name)), err.count(";")) == (1, 1, 1)
    assert "cannot be read" in err if name == "none.png" else "must be a" in err or "must carry settings" in err


@pytest.mark.parametrize(
    "record", ["[" * 5000 + "]" * 5000, '{"seed": NaN}', '{"seed": 1, "seed": 2}', "", "[1]", '{"a": }', "\ufeff", "null"]
)
def test_a_damaged_record_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], record: str) -> None:
    from PIL import Image

    from sdrt.images import save_png

    save_png(Image.new("RGB", (8, 8)), tmp_path / "a.png", {"sdrt": record})
    for argv in (["inspect"], ["inspect", "--json"], ["generate", "--from"]):
        assert main([*argv, str(tmp_path / "a.png")]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "its record must be" in err


def test_weights_may_be_read_without_a_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sdrt.pipeline.loading as loading

    given = []
    plain = loading.load

    def load(*arguments: Any, **options: Any) -> Any:
        given.append(options.get("mmap"))
        return plain(*arguments, **options)

    monkeypatch.setattr(loading, "load", load)
    for flags in ([], ["--no-mmap"]):
        assert main(["generate", "a", *QUICK, *flags, "-o", str(tmp_path)]) == 0
    assert given == [None, False]


def test_a_prompt_in_a_locale_that_is_not_utf8_is_read_as_it_was_typed() -> None:
    assert prompt_text(os.fsencode("rotes ä").decode("ascii", "surrogateescape")) == "rotes ä"
    assert prompt_text("rotes ä") == "rotes ä"
    assert prompt_text("\udcff") == "\udcff", "no UTF-8: refused later, by its name"
