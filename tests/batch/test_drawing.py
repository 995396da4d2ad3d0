"""A batch draws each picture once: after it was ended anywhere, and beside another that draws the same."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import sdrt
from sdrt.batch import Job, Outcome, RowError, draw_jobs, read_jobs
from sdrt.batch.manifest import MANIFEST, append_line, read_manifest
from sdrt.errors import ImageError
from sdrt.images import open_picture
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend

QUICK: dict[str, Any] = {"num_inference_steps": 2}


@pytest.fixture(scope="module")
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory, backend: FakeBackend) -> sdrt.Pipeline:
    return sdrt.load(save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1"), backend)


def job(number: int, prompt: str = "a", **options: Any) -> Job:
    return Job(number, prompt, "", {"seed": 7, **QUICK, **options})


JOBS = [job(1), job(2, "a red circle", seed=8), job(3, num_images=3, seed=20), job(4, guidance_scale=2.0)]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.name != MANIFEST}


def states(outcomes: Iterator[Outcome]) -> list[str]:
    return [outcome.state for outcome in outcomes]


def test_each_row_is_drawn_as_alone_and_told(pipe: sdrt.Pipeline, tmp_path: Path) -> None:
    outcomes = list(draw_jobs(pipe, JOBS, tmp_path / "out"))
    assert [outcome.state for outcome in outcomes] == ["drawn"] * 4
    assert [file.name for outcome in outcomes for file in outcome.files] == [
        "a.7.png",
        "a_red_circle.8.png",
        "a.20.png",
        "a.21.png",
        "a.22.png",
        "a.7-2.png",
    ]
    for outcome, each in zip(outcomes, JOBS, strict=True):
        assert outcome.job is each
        assert outcome.seeds == tuple(sdrt.Settings.from_file(file).seed for file in outcome.files)
        alone = pipe.generate(each.prompt, **each.options).save(tmp_path / f"{each.number}")
        assert [file.read_bytes() for file in alone] == [file.read_bytes() for file in outcome.files]
    manifest = read_manifest(tmp_path / "out")
    assert [entry["row"] for entry in manifest] == [1, 2, 3, 4]
    assert manifest[2]["files"] == ["a.20.png", "a.21.png", "a.22.png"]
    assert manifest[2]["seeds"] == [20, 21, 22]
    assert manifest[3]["options"] == {"prompt": "a", "negative_prompt": "", "seed": 7, **QUICK, "guidance_scale": 2.0}
    assert all(entry["error"] is None and entry["seconds"] >= 0 for entry in manifest)


def test_what_is_finished_is_known_by_its_record_and_not_drawn_again(pipe: sdrt.Pipeline, backend: FakeBackend, tmp_path: Path) -> None:
    list(draw_jobs(pipe, JOBS, tmp_path, format="jpeg"))
    # whatever their names are
    for k, file in enumerate(sorted(tmp_path.glob("*.jpg"))):
        file.rename(tmp_path / f"renamed{k}.jpg")
    before, calls = contents(tmp_path), len(backend.rows)
    assert states(draw_jobs(pipe, JOBS, tmp_path)) == ["finished"] * 4
    assert (contents(tmp_path), len(backend.rows)) == (before, calls)
    assert len(read_manifest(tmp_path)) == 4
    # what decides a pixel makes another picture
    assert states(draw_jobs(pipe, [job(1, num_inference_steps=3)], tmp_path)) == ["drawn"]


PICTURES = [{"a.7.png"}, {"a_red_circle.8.png"}, {"a.20.png", "a.21.png", "a.22.png"}, {"a.7-2.png"}]


@pytest.fixture(scope="module")
def whole(pipe: sdrt.Pipeline, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a batch that nothing ended."""
    folder = tmp_path_factory.mktemp("whole")
    list(draw_jobs(pipe, JOBS, folder))
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@settings(max_examples=8)
@given(lost=st.sets(st.sampled_from(sorted(set().union(*PICTURES)))), lines=st.integers(0, 4), cut=st.booleans())
def test_a_batch_goes_on_where_it_was_ended(
    tmp_path_factory: pytest.TempPathFactory, pipe: sdrt.Pipeline, whole: dict[str, bytes], lost: set[str], lines: int, cut: bool
) -> None:
    """Whichever pictures are there, and wherever the manifest was cut off: at the end all is as if nothing had happened."""
    folder = tmp_path_factory.mktemp("batch")
    for name, content in whole.items():
        if name not in lost:
            (folder / name).write_bytes(content)
    kept = whole[MANIFEST].splitlines(keepends=True)
    (folder / MANIFEST).write_bytes(b"".join(kept[:lines]) + (kept[3][:30] if cut and 0 < lines < 4 else b""))
    drawn = states(draw_jobs(pipe, JOBS, folder))
    assert drawn == ["drawn" if names & lost else "finished" for names in PICTURES]
    # rows 1 and 4 share a name, and the first free one is taken
    assert sorted(contents(folder).values()) == sorted(content for name, content in whole.items() if name != MANIFEST)
    assert sorted(entry["row"] for entry in read_manifest(folder)) == [1, 2, 3, 4]


def test_two_batches_at_once_draw_each_picture_once(pipe: sdrt.Pipeline, tmp_path: Path) -> None:
    jobs = [job(k, seed=100 + k) for k in range(12)]
    start, found = threading.Barrier(3), []

    def draw() -> None:
        start.wait()
        found.append(states(draw_jobs(pipe, jobs, tmp_path)))

    threads = [threading.Thread(target=draw) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(contents(tmp_path)) == sorted(f"a.{100 + k}.png" for k in range(12))
    drawn = [sum(each[k] == "drawn" for each in found) for k in range(12)]
    assert drawn == [1] * 12
    assert {entry["row"] for entry in read_manifest(tmp_path)} == set(range(12))


def test_a_row_that_fails_does_not_end_the_others(pipe: sdrt.Pipeline, tmp_path: Path) -> None:
    bad: list[Job | RowError] = [RowError(1, "jobs, row 1, column seed: must be"), job(2, height=63), job(3, scheduler="none"), job(4)]
    outcomes = list(draw_jobs(pipe, bad, tmp_path))
    assert [outcome.state for outcome in outcomes] == ["failed"] * 3 + ["drawn"]
    assert outcomes[0].error == "jobs, row 1, column seed: must be"
    assert "height must be a multiple of 8" in str(outcomes[1].error)
    manifest = read_manifest(tmp_path)
    assert [(entry["row"], entry["error"] is None) for entry in manifest] == [(1, False), (2, False), (3, False), (4, True)]
    assert list(contents(tmp_path)) == ["a.7.png"]


def test_a_call_that_is_cancelled_is_not_finished(pipe: sdrt.Pipeline, tmp_path: Path) -> None:
    def cancel(_: Job, steps: sdrt.Steps) -> None:
        next(steps)
        steps.cancel()

    [outcome] = draw_jobs(pipe, [job(1)], tmp_path, draw=cancel)
    assert (outcome.state, outcome.error) == ("failed", "a row: was cancelled; run the batch again to draw it")
    assert contents(tmp_path) == {}
    assert states(draw_jobs(pipe, [job(1)], tmp_path)) == ["drawn"]


def test_pictures_of_others_in_the_folder_are_left_alone(pipe: sdrt.Pipeline, tmp_path: Path) -> None:
    (tmp_path / "a.7.png").write_bytes(b"no picture")
    (tmp_path / "other.jpg").write_bytes(b"")
    assert states(draw_jobs(pipe, [job(1)], tmp_path)) == ["drawn"]
    assert (tmp_path / "a.7.png").read_bytes() == b"no picture"
    assert sdrt.Settings.from_file(tmp_path / "a.7-2.png").seed == 7


def test_a_place_that_cannot_be_written_is_refused(pipe: sdrt.Pipeline, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="cannot be made a folder"):
        next(draw_jobs(pipe, JOBS, tmp_path / "file"))
    with pytest.raises(ImageError, match="quality must be left out"):
        next(draw_jobs(pipe, JOBS, tmp_path, quality=3))


def test_a_row_may_start_from_pictures_and_hold_lists(tmp_path: Path) -> None:
    pipe = sdrt.load(save_pipeline_folder(tmp_path / "sd1"), threads=1)
    Image.effect_noise((64, 64), 90).convert("RGB").save(tmp_path / "start.png")
    rows = [
        {"prompt": "a", "seed": 1, "num_inference_steps": 2, "image": "start.png", "strength": 0.5},
        {"prompt": ["a", "b"], "seed": [5, 3], "num_inference_steps": 2},
        {"prompt": "a", "seed": 1, "num_inference_steps": 2, "image": "none.png"},
        {"prompt": "a", "seed": 2, "subseed": 7, "subseed_strength": 0.5, "num_images": 2, "num_inference_steps": 2},
        {"prompt": "a", "seed": 2, "subseed_strength": 0.5, "num_inference_steps": 2},
    ]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for state in ("drawn", "finished"):
        outcomes = list(draw_jobs(pipe, read_jobs(tmp_path / "jobs.jsonl"), tmp_path / "out"))
        assert [outcome.state for outcome in outcomes] == [state, state, "failed", state, state]
        assert "none.png: cannot be read (no such file)" in str(outcomes[2].error)
        assert [len(outcome.files) for outcome in outcomes] == [1, 2, 0, 2, 1]
    start = open_picture(tmp_path / "start.png")
    again = pipe.generate(**sdrt.Settings.from_file(outcomes[0].files[0]).options(image=start))
    assert again.images[0].tobytes() == open_picture(outcomes[0].files[0]).tobytes()
    assert [sdrt.Settings.from_file(file).prompt for file in outcomes[1].files] == ["a", "b"]
    assert [sdrt.Settings.from_file(file).subseed for file in outcomes[3].files] == [7, 8]


# ---- the manifest


def test_lines_of_many_writers_are_whole(tmp_path: Path) -> None:
    long = "x" * 20_000

    def write(k: int) -> None:
        for _ in range(20):
            append_line(tmp_path, {"row": k, "text": long})

    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / MANIFEST).read_text().splitlines()
    assert sorted(json.loads(line)["row"] for line in lines) == sorted([*range(4)] * 20)


def test_a_line_that_was_cut_off_goes(tmp_path: Path) -> None:
    append_line(tmp_path, {"row": 1})
    with (tmp_path / MANIFEST).open("ab") as stream:
        stream.write(b'{"row": 2, "opt')
    assert read_manifest(tmp_path) == [{"row": 1}]
    append_line(tmp_path, {"row": 3})
    assert read_manifest(tmp_path) == [{"row": 1}, {"row": 3}]
    (tmp_path / MANIFEST).write_bytes(b"something else")
    with pytest.raises(ImageError, match=r"must be the manifest of a batch, got another file; move it away"):
        append_line(tmp_path, {"row": 1})
