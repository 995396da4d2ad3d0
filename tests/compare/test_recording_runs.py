"""Recording a pipeline's runs."""

import errno
import itertools
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.arrays import Array
from sdrt.compare import Recording, record
from sdrt.errors import ConfigError, RecordingError
from sdrt.pipeline.pipeline import Pipeline
from sdrt.recordings import RecordingWriter
from sdrt.recordings.zip_writer import ZipWriter
from tests.fake_backend import FakeBackend


@pytest.fixture
def pipe() -> Pipeline:
    return sdrt.load("nano", backend=FakeBackend())


def test_every_event_of_a_run_is_in_the_file(tmp_path: Path, pipe: Pipeline) -> None:
    with record(tmp_path / "run.sdrt", pipe):
        result = pipe.generate("a red circle", "blue", seed=93, num_inference_steps=3, scheduler="euler_ancestral")
    recording = Recording.open(tmp_path / "run.sdrt")
    recording.verify()
    kinds = [(event.kind, event.step, event.component) for event in recording.events()]
    loop = [each for k in range(3) for each in (("network", k, "unet"), ("step", k, None))]
    assert kinds == [("begin", None, None), ("network", None, "text_encoder"), *loop, ("network", None, "vae_decoder"), ("end", None, None)]
    assert recording.settings() == result.settings
    assert recording.outcome() == "finished"
    begin, end = recording.beginning(), recording.events(kind="end")[0]
    assert np.array_equal(recording.arrays(end)["latents"], result.latents)
    assert np.array_equal(recording.arrays(end)["picture.0"], np.asarray(result.images[0]))
    tokens = recording.arrays(begin)["tokens.0.text_encoder.prompt"]
    assert tokens[0].tolist() == pipe.tokenizer.batch(["a red circle"]).input_ids[0].tolist()
    steps = recording.events(kind="step")
    for before, after in itertools.pairwise(steps):
        assert before.arrays["after.x"].identity == after.arrays["before.x"].identity
    assert [("noise" in event.arrays) for event in steps] == begin.values["draws"]


def test_a_recorded_run_draws_what_it_draws_otherwise(tmp_path: Path, pipe: Pipeline) -> None:
    plain = pipe.generate("a red circle", seed=93, num_inference_steps=3)
    with record(tmp_path / "run.sdrt", pipe):
        assert np.array_equal(pipe.generate("a red circle", seed=93, num_inference_steps=3).latents, plain.latents)


def test_a_watched_pipeline_is_not_recorded_again(tmp_path: Path, pipe: Pipeline) -> None:
    with record(tmp_path / "one.sdrt", pipe), pytest.raises(ConfigError, match="one observer"), record(tmp_path / "two.sdrt", pipe):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["one.sdrt"]


def test_several_calls_are_several_runs_and_threads_do_not_mix(tmp_path: Path, pipe: Pipeline) -> None:
    with record(tmp_path / "run.sdrt", pipe), ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda seed: pipe.generate("a red circle", seed=seed, num_inference_steps=3), range(3)))
    recording = Recording.open(tmp_path / "run.sdrt")
    recording.verify()
    assert list(recording.runs) == [0, 1, 2]
    seeds = [recording.settings(run).seed for run in recording.runs]
    assert sorted(seeds) == [0, 1, 2]
    for run, seed in enumerate(seeds):
        assert [event.step for event in recording.events(run, "step")] == [0, 1, 2]
        (end,) = recording.events(run, "end")
        assert np.array_equal(recording.arrays(end)["latents"], results[seed].latents)


def test_runs_that_fail_or_are_cancelled_are_recorded_as_such(tmp_path: Path, pipe: Pipeline) -> None:
    def broken(**inputs: Array) -> dict[str, Array]:
        raise ConfigError("no sun today")

    with record(tmp_path / "run.sdrt", pipe):
        assert pipe.generate("a", seed=1, num_inference_steps=3, on_step=lambda step: step.index < 1).cancelled
        next(pipe.steps("b", seed=1, num_inference_steps=3))
        pipe.resolve("c", seed=1)
    recording = Recording.open(tmp_path / "run.sdrt")
    assert [recording.outcome(run) for run in recording.runs] == ["cancelled", "cancelled"]
    assert [len(recording.events(run, "step")) for run in recording.runs] == [2, 1]

    failing = sdrt.load("nano", backend=FakeBackend({"vae_decoder": broken}))
    with record(tmp_path / "failed.sdrt", failing), pytest.raises(ConfigError, match="no sun"):
        failing.generate("a", seed=1, num_inference_steps=1)
    (end,) = Recording.open(tmp_path / "failed.sdrt").events(kind="end")
    assert end.values == {"outcome": "failed", "error": "ConfigError: no sun today"}


def test_an_error_of_the_callers_ends_the_file_and_the_run(tmp_path: Path, pipe: Pipeline) -> None:
    def fail(step: sdrt.Step) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError), record(tmp_path / "run.sdrt", pipe):
        pipe.generate("a", seed=1, num_inference_steps=3, on_step=fail)
    recording = Recording.open(tmp_path / "run.sdrt")
    assert recording.complete
    assert recording.events(kind="end")[0].values["error"] == "KeyError: 'mine'"


def test_an_error_before_the_first_run_leaves_an_older_recording(tmp_path: Path, pipe: Pipeline) -> None:
    file = tmp_path / "run.sdrt"
    for wrong in (tmp_path / "other.sdrt", file):
        with pytest.raises(ConfigError, match="num_inference_steps"), record(wrong, pipe):
            pipe.generate("a", seed=1, num_inference_steps=0)
        assert list(tmp_path.iterdir()) == ([] if wrong != file else [file])
        with record(file, pipe):
            pipe.generate("a", seed=1, num_inference_steps=1)
    assert len(Recording.open(file).events(kind="end")) == 1


def test_names_of_no_file_are_refused(pipe: Pipeline) -> None:
    with pytest.raises(RecordingError, match="no file can have this name"), record("/", pipe):
        pass


def test_a_run_that_goes_on_after_the_file_is_closed_is_left_alone(tmp_path: Path, pipe: Pipeline) -> None:
    with record(tmp_path / "run.sdrt", pipe):
        steps = pipe.steps("a", seed=1, num_inference_steps=3)
        next(steps)
    assert len(steps.result().images) == 1
    assert len(Recording.open(tmp_path / "run.sdrt").events(kind="step")) == 1


def test_a_preview_belongs_to_the_step_before_it(tmp_path: Path, pipe: Pipeline) -> None:
    with record(tmp_path / "run.sdrt", pipe):
        pipe.generate("a", seed=1, num_inference_steps=3, on_step=lambda step: bool(step.preview) if step.index == 1 else None)
    assert [event.step for event in Recording.open(tmp_path / "run.sdrt").events(component="vae_decoder")] == [1, None]


def test_a_process_that_is_killed_leaves_what_was_written(tmp_path: Path) -> None:
    code = (
        "import os, signal, sdrt\n"
        "with sdrt.compare.record('run.sdrt', sdrt.load('nano')) as pipe:\n"
        "    pipe.generate('a red circle', seed=1, num_inference_steps=4,\n"
        "                  on_step=lambda step: os.kill(os.getpid(), signal.SIGKILL) if step.index == 2 else None)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(sdrt.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False).returncode != 0
    (part,) = tmp_path.iterdir()
    recording = Recording.open(part)
    assert re.fullmatch(r"run\.sdrt\.[0-9a-f]{8}\.part", part.name)
    assert [event.step for event in recording.events(kind="step")] == [0, 1, 2]
    assert "the first that is lost is step 3 of run 0" in str(recording.lost)
    assert recording.outcome() == "unknown"


def test_clip_skip_is_kept_with_each_call(tmp_path: Path, pipe: Pipeline) -> None:
    """diffusers leaves it out of the negative prompt, also where both prompts are the same text."""
    with record(tmp_path / "run.sdrt", pipe):
        for prompt, negative in (("a", "b"), ("a", "a")):
            pipe.generate(prompt, negative, seed=1, num_inference_steps=1, clip_skip=1, compat="diffusers")
        pipe.generate("a", "b", seed=1, num_inference_steps=1, clip_skip=1)
    calls = [Recording.open(tmp_path / "run.sdrt").events(run, component="text_encoder") for run in range(3)]
    assert [[event.values["clip_skip"] for event in each] for each in calls] == [[0, 1], [0, 1], [1]]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")
@pytest.mark.parametrize("last", [False, True])
def test_a_stream_that_refuses_to_close_is_the_same_error(tmp_path: Path, last: bool) -> None:
    """What a buffer still holds cannot be written either when a stream of a full disk is closed."""
    writer = RecordingWriter(tmp_path / "run.sdrt", {})
    writer._stream.close()
    writer._zip._stream = writer._stream = Path("/dev/full").open("wb")  # noqa: SIM115 (the writer closes it)
    with pytest.raises(RecordingError, match=r"cannot be written \(No space left on device\)"):
        writer.close() if last else writer.add("end", 0, {"latents": np.ones(20_000)})
    assert writer.closed
    assert writer._stream.closed


def test_a_full_disk_is_one_error_and_leaves_what_was_written(tmp_path: Path, pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[str] = []
    add = ZipWriter.add

    def full(self: ZipWriter, name: str, pieces: Any) -> str:
        added.append(name)
        if name == "events/000003.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        return add(self, name, pieces)

    monkeypatch.setattr(ZipWriter, "add", full)
    with (
        pytest.raises(RecordingError, match=r"run\.sdrt: cannot be written \(No space left on device\)"),
        record(tmp_path / "run.sdrt", pipe),
    ):
        pipe.generate("a red circle", seed=1, num_inference_steps=3)
    assert added[-1] == "events/000003.safetensors"
    (part,) = tmp_path.iterdir()
    assert len(Recording.open(part).events()) == 3
