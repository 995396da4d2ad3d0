"""Recording a pipeline's runs."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import sdrt
from sdrt.compare import Recording, record
from sdrt.errors import ConfigError
from sdrt.pipeline.pipeline import Pipeline
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
