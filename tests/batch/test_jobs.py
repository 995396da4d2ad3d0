"""Rows of a file become jobs: from JSON lines and from tables alike, or one line that names row and column."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.batch import Job, RowError, jobs_of_prompts, read_jobs
from sdrt.errors import ConfigError
from sdrt.limits import Limits


def write(folder: Path, *lines: object, name: str = "jobs.jsonl") -> Path:
    file = folder / name
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return file


def jobs_in(file: Path, **defaults: Any) -> list[Job]:
    jobs = read_jobs(file, defaults)
    assert not [job for job in jobs if isinstance(job, RowError)]
    return [job for job in jobs if isinstance(job, Job)]


def test_a_row_is_a_call(tmp_path: Path) -> None:
    row = {
        "prompt": "a",
        "negative_prompt": "b",
        "name": "c",
        "seed": 5,
        "original_size": [512, 768],
        "scheduler": "euler a",
        "width": None,
    }
    [job] = jobs_in(write(tmp_path, "# a comment", "", row))
    assert (job.number, job.prompt, job.negative_prompt, job.name, job.files) == (1, "a", "b", "c", {})
    assert job.options == {"seed": 5, "original_size": (512, 768), "scheduler": "euler a"}


def test_what_is_nearer_to_a_row_says_more(tmp_path: Path) -> None:
    file = write(tmp_path, {"defaults": {"num_inference_steps": 20, "seed": 1}}, {"prompt": "a"}, {"prompt": "b", "seed": 2})
    jobs = jobs_in(file, num_inference_steps=5, guidance_scale=3.0)
    assert [job.options for job in jobs] == [{"num_inference_steps": 20, "guidance_scale": 3.0, "seed": seed} for seed in (1, 2)]
    assert [job.number for job in jobs] == [1, 2]


def test_pictures_lie_beside_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, {"prompt": "a", "mask_image": "mask.png", "control_image": ["one.png", "/two.png"]})
    [job] = jobs_in(file)
    assert job.files == {"mask_image": (tmp_path / "mask.png",), "control_image": (tmp_path / "one.png", Path("/two.png"))}


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda text: text.strip() and text.strip()[0] != "#"
)
rows = st.lists(
    st.fixed_dictionaries(
        {"prompt": words},
        optional={
            "negative_prompt": words,
            "seed": st.integers(0, 2**40),
            "guidance_scale": st.floats(-1e6, 1e6),
            "original_size": st.tuples(st.integers(0, 9999), st.integers(0, 9999)),
            "guidance_batching": st.sampled_from(["batched", "sequential"]),
            "controlnet_conditioning_scale": st.lists(st.floats(0, 2), min_size=2, max_size=3),
        },
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25)
@given(rows=rows)
def test_a_table_says_what_json_lines_say(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    folder = tmp_path_factory.getbasetemp()
    names = sorted({name for row in rows for name in row})
    stream = io.StringIO()
    table = csv.writer(stream)
    table.writerow(names)
    for row in rows:
        cells = [row.get(name, "") for name in names]
        table.writerow([" ".join(map(str, cell)) if isinstance(cell, list | tuple) else cell for cell in cells])
    (folder / "jobs.csv").write_bytes(stream.getvalue().encode("utf-8-sig"))
    by_lines, by_table = jobs_in(write(folder, *rows)), jobs_in(folder / "jobs.csv")
    assert [job.given for job in by_lines] == [job.given for job in by_table]


@settings(max_examples=25)
@given(rows=rows, place=st.integers(0, 4))
def test_a_row_keeps_its_seed_whatever_stands_before_it(tmp_path_factory: pytest.TempPathFactory, rows: list[Any], place: int) -> None:
    """So that a file to which rows were added goes on, and no two rows that say the same draw the same."""
    file = tmp_path_factory.getbasetemp() / "seeds.jsonl"
    rows = [{name: value for name, value in row.items() if name != "seed"} for row in rows]
    write(file.parent, *rows, name=file.name)
    before = {job.options["seed"] for job in jobs_in(file)}
    assert len(before) == len(rows)
    assert all(0 <= seed < 2**31 for seed in before)
    rows.insert(place, {"prompt": "another", "seed": -1})
    write(file.parent, *rows, name=file.name)
    assert before < {job.options["seed"] for job in jobs_in(file)}


def test_a_row_may_hold_a_list_for_each_image(tmp_path: Path) -> None:
    row = {"prompt": ["a", "b"], "negative_prompt": ["", "c"], "seed": [5, 1]}
    [job] = jobs_in(write(tmp_path, row))
    assert job.given == {"prompt": ("a", "b"), "negative_prompt": ("", "c"), "seed": (5, 1)}
    (tmp_path / "a.csv").write_text('prompt,seed\na,"5, 1"\nb,5 1\n')
    assert [job.options for job in jobs_in(tmp_path / "a.csv")] == [{"seed": (5, 1)}] * 2
    drawn, again = (jobs_in(write(tmp_path, {"prompt": "a", "seed": [-1, 5, -1]}))[0].options["seed"] for _ in range(2))
    assert (drawn, len(set(drawn)), -1 in drawn) == (again, 3, False)


def test_prompts_are_jobs() -> None:
    jobs = jobs_of_prompts(["a", "b"], {"seed": 3})
    assert [(job.number, job.prompt, job.options) for job in jobs if isinstance(job, Job)] == [(1, "a", {"seed": 3}), (2, "b", {"seed": 3})]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"prompt": ', r"line 2: not readable as JSON"),
        ([1], r"row 2: must be an object, got \[1\]"),
        ({"seed": 1}, r"row 2, column prompt: must say what to draw, got nothing; write a prompt"),
        ({"prompt": "a", "heigth": 8}, r"row 2, column 'heigth': must be an option of a row; write height"),
        ({"prompt": "a", "glitter": 8}, r"row 2, column 'glitter': must be an option of a row; the columns are prompt, "),
        ({"prompt": "a", "height": "8"}, r"row 2, column height: must be a whole number of at least 1, got '8'; correct it"),
        ({"prompt": 3}, r"row 2, column prompt: must be a Unicode string, or a list .*, got 3"),
        ({"prompt": "a", "name": ""}, r"row 2, column name: must be a Unicode string of 1 to 200 characters"),
        ({"prompt": "a", "mask_image": 3}, r"row 2, column mask_image: must be a Unicode string"),
        ({"prompt": "a", "rng": {"stream": "torch"}}, r"row 2, column rng: must be a Unicode string"),
        ({"prompt": "a", "sizes": {}}, r"row 2, column 'sizes': must be an option of a row"),
        ({"prompt": "a", "model": "x"}, r"row 2, column 'model': must be an option of a row"),
        ({"defaults": {}}, r"row 2, column 'defaults': must be an option of a row"),
    ],
)
def test_a_bad_row_is_one_line_and_the_others_are_jobs(tmp_path: Path, row: object, message: str) -> None:
    good = {"prompt": "a"}
    one, two, three = read_jobs(write(tmp_path, good, row, good))
    assert isinstance(one, Job)
    assert isinstance(three, Job)
    assert (one.number, three.number) == (1, 3)
    assert isinstance(two, RowError)
    with pytest.raises(ConfigError, match=rf"^\S*jobs\.jsonl, {message}"):
        raise ConfigError(two.error)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.csv", None, r"none\.csv: cannot be read \(No such file or directory\); pass a file of JSON lines or CSV"),
        ("", None, r"must be a file of jobs, got a folder"),
        ("a.jsonl", "", r"must hold a row, got none"),
        ("a.jsonl", '{"defaults": {"seed": 1}}', r"must hold a row, got none"),
        ("a.jsonl", '{"defaults": {"seed": "x"}}\n{"prompt": "a"}', r"a\.jsonl, defaults, column seed: must be a whole number"),
        ("a.jsonl", '{"defaults": 3}\n{"prompt": "a"}', r"a\.jsonl, defaults: must be an object, got 3"),
        ("a.csv", "prompt,heigth\na,8", r"a\.csv, column 'heigth': must be an option of a row; write height"),
        ("a.csv", "prompt,seed,seed\na,8,9", r"each column must have a name of its own"),
        ("a.csv", 'prompt\n"a', r"line \d: cannot be read as a table"),
        ("a.csv", "prompt,seed\n", r"must hold a row"),
    ],
)
def test_a_file_that_holds_no_jobs_is_one_line(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_jobs(tmp_path / name)


def test_a_file_is_bounded_and_a_row_with_too_many_cells_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"its bytes must be at most 10, got 11"):
        read_jobs(write(tmp_path, {"prompt": "abcdef"}), limits=Limits(json_bytes=10))
    (tmp_path / "a.csv").write_text("prompt,seed\na, red circle,5\n")
    [row] = read_jobs(tmp_path / "a.csv")
    assert isinstance(row, RowError)
    assert row.error.endswith("a.csv, row 1: must have at most 2 cells, got 3; quote commas")
