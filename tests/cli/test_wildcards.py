"""Wildcards on the command line: the words of each image's seed stand in its record, and no file outside the folder is read."""

import json
from pathlib import Path
from typing import Any

import pytest

from sdrt.cli import main
from sdrt.images.text import read_text

QUICK = ["--steps", "1", "--guidance-scale", "1", "-H", "64", "-W", "64", "-q"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    words = tmp_path / "words"
    (words / "deep").mkdir(parents=True)
    (words / "colour.txt").write_text("# colours\nred\n\n  blue  \ngreen\n", encoding="utf-8")
    (words / "deep" / "shape.txt").write_text("circle\n__colour__ star\n", encoding="utf-8-sig")
    (words / "empty.txt").write_text("# nothing\n\n")
    (words / "latin.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "secret.txt").write_text("secret\n")
    return words


def records(place: Path) -> list[dict[str, Any]]:
    return [json.loads(read_text(file)["sdrt"]) for file in sorted(place.glob("*.png"))]


def test_each_image_has_words_by_its_seed_and_its_record_needs_no_file(folder: Path, tmp_path: Path) -> None:
    argv = ["a __colour__ __deep/shape__", "--negative-prompt", "__colour__", "--wildcards", str(folder)]
    assert main(["generate", *argv, "--seed", "5", "--num-images", "4", *QUICK, "-o", str(tmp_path / "all")]) == 0
    drawn = {record["seed"]: record for record in records(tmp_path / "all")}
    assert sorted(drawn) == [5, 6, 7, 8]
    assert len({record["prompt"] for record in drawn.values()}) > 1
    assert all("_" not in record["prompt"] + record["negative_prompt"] for record in drawn.values())
    assert main(["generate", *argv, "--seed", "6", *QUICK, "-o", str(tmp_path / "one.png")]) == 0
    [one] = [record for record in records(tmp_path) if record["seed"] == 6]
    assert (one["prompt"], one["negative_prompt"]) == (drawn[6]["prompt"], drawn[6]["negative_prompt"])
    assert main(["generate", "--from", str(tmp_path / "one.png"), "-q", "-o", str(tmp_path / "two.png")]) == 0
    assert (tmp_path / "two.png").read_bytes() == (tmp_path / "one.png").read_bytes()


def test_a_seed_that_is_drawn_draws_the_words_too(folder: Path, tmp_path: Path) -> None:
    argv = ["generate", "a __colour__ circle", "--wildcards", str(folder), *QUICK]
    assert main([*argv, "-o", str(tmp_path / "first")]) == 0
    [first] = records(tmp_path / "first")
    assert main([*argv, "--seed", str(first["seed"]), "-o", str(tmp_path / "again")]) == 0
    assert records(tmp_path / "again")[0]["prompt"] == first["prompt"]


def test_a_batch_fills_its_rows_and_goes_on(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text('{"prompt": "a __colour__ circle", "seed": [1, 2]}\n{"prompt": "a __gone__ star"}\n{"prompt": "a ring"}\n')
    argv = ["batch", str(jobs), "--wildcards", str(folder), *[each for each in QUICK if each != "-q"], "-o", str(tmp_path / "out")]
    assert main(argv) == 2
    assert "row 2: " in (err := capsys.readouterr().err)
    assert "must have gone.txt" in err
    assert len(records(tmp_path / "out")) == 3
    assert main(argv) == 2
    assert "2 finished before" in capsys.readouterr().err
    assert len(records(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("__gone__", "must have gone.txt for '__gone__', got colour, deep/shape, empty, latin; add it"),
        ("__empty__", "empty.txt: must hold a line of words, got none; write some"),
        ("__latin__", "latin.txt: cannot be read (not UTF-8 at byte 3)"),
        ("__a/../../secret__", "a wildcard must name a file in the folder, got '__a/../../secret__'"),
        ("__a//secret__", "a wildcard must name a file in the folder"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_of_one_line(
    folder: Path, prompt: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", prompt, "--wildcards", str(folder), *QUICK]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_folder_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "a", "--wildcards", str(tmp_path / "no"), *QUICK]) == 2
    assert "--wildcards must be a folder of text files" in capsys.readouterr().err
