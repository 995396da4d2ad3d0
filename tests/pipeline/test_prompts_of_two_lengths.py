"""A prompt and a negative prompt of different lengths: each is attended to as if it were alone, unless the caller wants it filled up."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.guidance import Row
from sdrt.models.families import MicroConditions
from sdrt.pipeline.conditions import text
from tests.factories import normal, save_pipeline_folder

MICRO = MicroConditions(original_size=(64, 64), target_size=(64, 64))
ROWS: tuple[Row, ...] = ("negative", "prompt")
QUICK: dict[str, Any] = {"seed": 3, "num_inference_steps": 2}


def words(chunks: int, word: str) -> str:
    """A prompt of this many chunks: "red" and "blue" are single tokens of the tiny vocabulary."""
    return " ".join([word] * (75 * chunks - 5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1")


@pytest.fixture(scope="module")
def pipe(folder: Path) -> sdrt.Pipeline:
    return sdrt.load(folder, threads=1)


def states_of(pipe: sdrt.Pipeline, prompt: str, negative: str, rows: tuple[Row, ...] = ROWS, **options: Any) -> dict[Row, Any]:
    base = pipe._assembly.base
    settings = pipe.resolve(prompt, negative, **options)
    [tokenized] = base.tokenize([(("negative", (negative, negative)), ("prompt", (prompt, prompt)))], settings)
    encoded = base.encode(tokenized, settings, MICRO, rows)
    return {row: inputs["encoder_hidden_states"] for row, inputs in encoded.items()}


def predicted(pipe: sdrt.Pipeline, states: Any) -> Any:
    with pipe._assembly.base.networks.using("unet") as unet:
        sample, timestep = normal(0, 1, 4, 8, 8), np.array([500.0], np.float32)
        return unet(sample=sample, timestep=timestep, encoder_hidden_states=states)["noise_pred"]


@pytest.mark.parametrize(("chunks", "length"), [((2, 1), 2), ((2, 3), 6)])
def test_the_shorter_one_is_repeated_which_its_denoiser_does_not_see(pipe: sdrt.Pipeline, chunks: tuple[int, int], length: int) -> None:
    prompt, negative = words(chunks[0], "red"), words(chunks[1], "blue")
    together = states_of(pipe, prompt, negative)
    for row in ROWS:
        alone = predicted(pipe, states_of(pipe, prompt, negative, (row,))[row])
        assert together[row].shape[1] == 77 * length
        np.testing.assert_allclose(predicted(pipe, together[row]), alone, atol=2e-5 * np.abs(alone).max())
    shorter: Row = "negative" if chunks[1] < chunks[0] else "prompt"
    alone = predicted(pipe, states_of(pipe, prompt, negative, (shorter,))[shorter])
    filled = predicted(pipe, states_of(pipe, prompt, negative, long_prompts="pad")[shorter])
    assert np.abs(filled - alone).max() > 1e-2 * np.abs(alone).max(), "the comparison does not see empty chunks"


def test_rows_without_a_small_common_multiple_go_through_the_denoiser_apart(pipe: sdrt.Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt, negative = words(4, "red"), words(3, "blue")
    assert [states.shape[1] for states in states_of(pipe, prompt, negative).values()] == [3 * 77, 4 * 77]
    every: list[dict[str, Any]] = [{}, {"num_images": 2}, {"num_images": 2, "guidance_batching": "sequential"}]
    for options in every:
        apart = pipe.generate(prompt, negative, **QUICK, **options)
        with monkeypatch.context() as patch:
            patch.setattr(text, "_MOST_REPEATED", 12)
            repeated = pipe.generate(prompt, negative, **QUICK, **options)
        np.testing.assert_allclose(apart.latents, repeated.latents, atol=1e-4 * np.abs(repeated.latents).max())


def test_an_empty_negative_prompt_is_drawn_as_before(pipe: sdrt.Pipeline) -> None:
    """To fill up an empty prompt with empty chunks is to repeat it: the bytes are the same."""
    for prompt in (words(2, "red"), words(9, "red")):
        chunked, filled = (pipe.generate(prompt, **QUICK, long_prompts=choice) for choice in ("chunk", "pad"))
        assert chunked.latents.tobytes() == filled.latents.tobytes()
