"""Weights on hidden states, and whole weighted images compared with an encoding by transformers."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sdrt
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.prompt import chunk_prompt, emphasise, encode_prompts
from tests.factories import Form
from tests.pictures import psnr
from tests.prompt.peers import draw, hidden_states, open_peer, words

QUICK: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 5.0}


def encode(pipe: sdrt.Pipeline, text: str, emphasis: Any = "original") -> np.ndarray:
    """Encode the prompt's own rows with the public functions."""
    chunks, empty = (chunk_prompt(each, pipe.tokenizer) for each in (text, ""))
    states, _ = encode_prompts(encoder_of(pipe), [chunks], empty, emphasis)
    return states


def encoder_of(pipe: sdrt.Pipeline) -> Any:
    """Return the text encoder as a function of ids alone."""
    network = pipe._assembly.base.networks.get("text_encoder")

    def encode_ids(input_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = network(input_ids=input_ids)
        return outputs["last_hidden_state"], outputs["pooled"]

    return encode_ids


# The chunks and weights of each prompt, written by hand.
MEANT: dict[str, list[list[tuple[str, float]]]] = {
    "a (red:1.4) circle": [[("a", 1.0), ("red", 1.4), ("circle", 1.0)]],
    "a ((red)) [circle] (blue:0)": [[("a", 1.0), ("red", 1.1 * 1.1), ("circle", 1 / 1.1), ("blue", 0.0)]],
    "(un:1.5)believable": [[("un", 1.5), ("believable", 1.0)]],
    "red (circle BREAK blue:1.2) square": [[("red", 1.0), ("circle", 1.2)], [("blue", 1.2), ("square", 1.0)]],
    f"{words(80)} (circle:0.7)": [[(words(75), 1.0)], [(words(5), 1.0), ("circle", 0.7)]],
}


@pytest.mark.parametrize("form", ["sd1", "sd2"])
@pytest.mark.parametrize("emphasis", ["original", "no_norm"])
def test_hidden_states_equal_those_built_with_transformers(models: dict[Form, Path], form: Form, emphasis: Any) -> None:
    pipe, peer = sdrt.load(models[form]), open_peer(models[form])
    for text, rows in MEANT.items():
        want, got = hidden_states(peer, rows, keep_mean=emphasis == "original"), encode(pipe, text, emphasis)
        assert got.shape == want.shape
        # The text encoder's own bound; 2e-5 is measured, since the two means are summed in different precisions.
        assert np.abs(got - want).max() < 1e-4 * np.abs(want).max(), text
        unweighted = hidden_states(peer, [[(piece, 1.0) for piece, _ in row] for row in rows])
        assert np.abs(want - unweighted).max() > 0.05 * np.abs(want).max()


def test_a_weighted_picture_equals_diffusers_on_those_states(models: dict[Form, Path], pipe: sdrt.Pipeline) -> None:
    peer = open_peer(models["sd1"])
    prompt, negative = "red (circle BREAK blue:1.2) square", "a (blurry:0.5) circle"
    states = torch.from_numpy(hidden_states(peer, MEANT[prompt]))
    # the shorter prompt is repeated
    other = hidden_states(peer, [[("a", 1.0), ("blurry", 0.5), ("circle", 1.0)]] * 2)
    embeds = {"prompt_embeds": states, "negative_prompt_embeds": torch.from_numpy(other)}
    [want] = peer(generator=torch.Generator().manual_seed(7), **embeds, **QUICK).images
    [got] = pipe.generate(prompt, negative, seed=7, **QUICK).images
    assert psnr(got, want) >= 60
    [plain] = pipe.generate(prompt, negative, seed=7, prompt_syntax="plain", **QUICK).images
    assert psnr(got, plain) < 40


def test_syntax_as_text_equals_diffusers(models: dict[Form, Path], pipe: sdrt.Pipeline) -> None:
    peer = open_peer(models["sd1"])
    prompt, negative = f"a (red:1.3) [circle] BREAK {words(80, 'blue')}", r"\(blurry\)"
    want = draw(peer, prompt, negative, 7, **QUICK)
    [got] = pipe.generate(prompt, negative, seed=7, prompt_syntax="plain", long_prompts="truncate", **QUICK).images
    assert psnr(got, want) >= 60


@given(data=st.data(), chunks=st.integers(1, 3), dtype=st.sampled_from(["float32", "float64"]))
@settings(max_examples=30)
def test_the_mean_of_each_chunk_stays(data: st.DataObject, chunks: int, dtype: str) -> None:
    states = np.random.default_rng(chunks).normal(0.5, 1, (chunks, 7, 5)).astype(dtype)
    kept = states.copy()
    weights = np.array(data.draw(st.lists(st.lists(st.floats(0.1, 3), min_size=7, max_size=7), min_size=chunks, max_size=chunks)))
    result = emphasise(states, weights)
    assert result.dtype == states.dtype
    # The loss in a sum of 35 rounded terms of up to 10.
    np.testing.assert_allclose(result.mean(axis=(1, 2)), states.mean(axis=(1, 2)), atol=1e-5 if dtype == "float32" else 1e-13)
    ratios = result / (states * weights[:, :, None])
    np.testing.assert_allclose(ratios, np.broadcast_to(ratios[:, :1, :1], ratios.shape), rtol=1e-5)
    np.testing.assert_array_equal(states, kept)


def test_a_chunk_of_weight_one_keeps_its_bytes() -> None:
    states = np.random.default_rng(0).standard_normal((3, 7, 5)).astype(np.float32)
    weights = np.ones((3, 7))
    assert emphasise(states, weights) is states
    weights[1, 2] = 1.5
    result = emphasise(states, weights)
    assert result[[0, 2]].tobytes() == states[[0, 2]].tobytes()
    assert np.abs(result[1] - states[1]).max() > 0.1


def test_a_mean_that_cannot_be_restored_is_told() -> None:
    states = np.stack([np.full((1, 4), 1.0), np.full((1, 4), 0.5)], axis=1)
    weights = np.array([[-0.5, 1.0]])
    with pytest.raises(ConfigError, match=r"weighted hidden states must keep a mean to restore, got 0 from weights of -0\.5 to 1"):
        emphasise(states, weights)
    np.testing.assert_array_equal(emphasise(states, weights, "no_norm"), states * weights[:, :, None])


def test_prompts_of_other_lengths_are_padded_with_the_empty_prompt(pipe: sdrt.Pipeline) -> None:
    short, long, empty = (chunk_prompt(text, pipe.tokenizer) for text in ("red", words(160, "blue"), ""))
    states, pooled = encode_prompts(encoder_of(pipe), [short, long], empty)
    np.testing.assert_allclose(pooled[0], encoder_of(pipe)(short.input_ids)[1][0], atol=1e-5)
    assert states.shape == (2, 3 * 77, 32)
    want = np.concatenate([encode(pipe, "red"), encode(pipe, ""), encode(pipe, "")], axis=1)
    # A different number of rows in a matrix product rounds differently.
    np.testing.assert_allclose(states[:1], want, atol=1e-5)
    assert np.abs(states[0, 77:154] - states[1, 77:154]).max() > 0.1


@pytest.mark.parametrize(
    ("prompt", "negative"), [("(red:1.5) circle", "blue"), (words(100), "blue"), ("red BREAK blue", words(160)), ("", words(90)), ("", "")]
)
def test_an_image_of_a_batch_is_the_image_made_alone(pipe: sdrt.Pipeline, prompt: str, negative: str) -> None:
    batch = pipe.generate(prompt, negative, seed=3, num_images=3, **QUICK)
    for k, seed in enumerate(batch.seeds):
        alone = pipe.generate(prompt, negative, seed=seed, **QUICK)
        assert psnr(batch.images[k], alone.images[0]) >= 60
    assert psnr(batch.images[0], batch.images[1]) < 40
    assert batch.truncated == ("", "")


def test_what_stands_behind_75_tokens_moves_the_picture(pipe: sdrt.Pipeline) -> None:
    pictures = [pipe.generate(f"{words(75)} {last}", seed=3, **QUICK).images[0] for last in ("blue", "circle")]
    assert psnr(*pictures) < 40
    cut = [pipe.generate(f"{words(75)} {last}", seed=3, long_prompts="truncate", **QUICK) for last in ("blue", "circle")]
    assert psnr(cut[0].images[0], cut[1].images[0]) == float("inf")
    assert [each.truncated[0] for each in cut] == ["blue", "circle"]


def test_without_guidance_the_negative_prompts_length_does_not_matter(pipe: sdrt.Pipeline) -> None:
    off = QUICK | {"guidance_scale": 1.0}
    one, two = (pipe.generate("red", negative, seed=3, **off) for negative in ("", words(160)))
    assert one.latents.tobytes() == two.latents.tobytes()


def test_threads_share_a_pipeline(pipe: sdrt.Pipeline) -> None:
    jobs: list[dict[str, Any]] = [
        {"prompt": "a (red:1.5) circle", "clip_skip": 1},
        {"prompt": f"{words(90)} BREAK blue", "clip_skip": 0},
        {"prompt": "a (red:1.5) circle", "emphasis": "no_norm", "clip_skip": 2},
    ]
    alone = [pipe.generate(**job, seed=1, **QUICK).latents for job in jobs]
    fresh = sdrt.load(pipe.model.path)
    together: list[Any] = [None] * len(jobs)
    start = threading.Barrier(len(jobs))

    def run(k: int) -> None:
        start.wait()
        together[k] = fresh.generate(**jobs[k], seed=1, **QUICK).latents

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for got, want in zip(together, alone, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_syntax": "a1111"}, r"prompt_syntax must be 'full' or 'weighted' or 'plain', got 'a1111'"),
        ({"long_prompts": "fold"}, r"long_prompts must be 'chunk' or 'pad' or 'truncate', got 'fold'"),
        ({"emphasis": "loud"}, r"emphasis must be 'original' or 'no_norm', got 'loud'"),
    ],
)
def test_a_choice_that_is_none_is_named(pipe: sdrt.Pipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pipe.generate("red", **QUICK, **options)


# ---- the embedded model


def test_weights_draw_the_embedded_models_square_round() -> None:
    """Of two shapes the weighted one wins, and more so with a larger weight: the square fills less and less of its box."""
    nano = sdrt.load("nano")
    draws = {w: nano.generate(f"a red (circle:{w}) square", seed=93, num_inference_steps=12).images[0] for w in (1, 1.4, 1.7, 2)}
    [plain] = nano.generate("a red circle square", seed=93, num_inference_steps=12).images
    assert draws[1].tobytes() == plain.tobytes()
    likeness = [psnr(draws[w], plain) for w in (1, 1.4, 1.7, 2)]
    assert likeness == sorted(likeness, reverse=True)
    assert likeness[1] < 40
    filled = [_filled(np.asarray(image, np.int16)) for image in draws.values()]
    assert filled == sorted(filled, reverse=True)
    # A square fills its box, a circle pi/4 of it.
    assert filled[0] > 0.95
    assert filled[-1] < 0.9


def _filled(image: np.ndarray) -> float:
    """Return how much of its bounding box the red shape fills."""
    red = (image[:, :, 0] - image[:, :, 1:].max(axis=2)) > 80
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    return float(red.sum() / ((np.ptp(rows) + 1) * (np.ptp(columns) + 1)))


@pytest.mark.parametrize("weight", [1e300, float("nan"), float("inf")])
@pytest.mark.parametrize("emphasis", ["original", "no_norm"])
def test_weights_whose_result_is_not_finite_are_refused(weight: float, emphasis: Any) -> None:
    with pytest.raises(ConfigError, match="milder weights"):
        emphasise(np.ones((1, 2, 4), np.float32), np.array([[1.0, weight]]), emphasis)


@pytest.mark.parametrize(
    ("states", "weights"),
    [(None, np.ones((1, 2))), (np.ones((1, 2, 4), np.int32), np.ones((1, 2))), (np.ones((2, 4)), np.ones((1, 2)))]
    + [(np.ones((1, 2, 4)), weights) for weights in (None, [[1.0, 1.0]], np.ones((2, 1)), np.ones((1, 2), object))],
)
def test_arrays_of_other_kinds_are_refused(states: Any, weights: Any) -> None:
    with pytest.raises(ArrayContractError, match="must be float"):
        emphasise(states, weights)
