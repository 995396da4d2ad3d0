"""How other programs read prompts: transformers' padding token, and Apple's tokenizer against a transcript of its Swift."""

import pickle
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import sdrt
from sdrt.errors import ConfigError
from sdrt.pipeline.conditions.text import tokenize
from sdrt.prompt import chunk_prompt
from sdrt.testing.strategies import prompts
from sdrt.tokenizer import ClipTokenizer, SwiftTokenizer, in_dialect
from sdrt.tokenizer.clip_vocabulary import ClipVocabulary
from sdrt.tokenizer.graphemes import graphemes
from tests.tokenizer.peer import EOS

VOCABULARY = {token: i for i, token in ClipVocabulary().tokens.items()}
MERGES = {pair: rank for rank, pair in enumerate(ClipVocabulary().merge_tokens)}


# ---- the padding token "!" of Stable Diffusion 2.x and of the second text encoder of SDXL


@pytest.mark.parametrize(
    ("text", "ids"), [("!", [256]), ("!!", [748]), ("!!!", [995]), ("a cat!", [320, 2368, 256]), ("a!b", [320, 256, 321])]
)
def test_an_exclamation_mark_has_the_ids_that_open_clip_trained_on(text: str, ids: list[int]) -> None:
    """The token of CLIP's merges: ids are positions in its vocabulary."""
    for tokenizer in (ClipTokenizer.clip(pad_token="!"), ClipTokenizer.clip()):  # noqa: S106
        assert tokenizer.encode(text)[1:-1] == ids
    assert VOCABULARY["!</w>"] == 256


def test_transformers_takes_it_for_padding() -> None:
    padded = ClipTokenizer.clip(pad_token="!")  # noqa: S106
    assert in_dialect(padded, "diffusers").encode("a!! b")[1:-1] == [320, 0, 0, 321]
    assert padded.batch(["a!"]).input_ids[0, :5].tolist() == [49406, 320, 256, 49407, 0]
    assert padded.decode([320, 256, 0]) == "a !"


def test_other_padding_stays_a_token(tokenizer: ClipTokenizer) -> None:
    assert tokenizer.as_transformers() is tokenizer
    assert tokenizer.encode(f"a {EOS}") == [49406, 320, 49407, 49407]


def test_embeddings_and_copies_keep_the_dialect() -> None:
    padded = ClipTokenizer.clip(pad_token="!")  # noqa: S106
    for dialect in (padded, padded.as_transformers(), SwiftTokenizer.of(padded)):
        embedded = dialect.with_embeddings({"<cat>": range(49408, 49410)})
        assert type(embedded) is type(dialect)
        assert embedded.encode("a! <CAT>") == [*dialect.encode("a!")[:-1], 49408, 49409, 49407]
        assert pickle.loads(pickle.dumps(embedded)).encode("a! <cat>") == embedded.encode("a! <cat>")  # noqa: S301


# ---- Apple's


def swift_update(tokens: list[str], first: str, second: str) -> list[str]:
    """BPETokenizer.update, with its bound checked at the match."""
    merged: list[str] = []
    index = 0
    while index < len(tokens):
        if first not in tokens[index:]:
            return [*merged, *tokens[index:]]
        match = tokens.index(first, index)
        merged += tokens[index:match]
        if match + 1 < len(tokens) and tokens[match + 1] == second:
            merged.append(first + second)
            index = match + 2
        else:
            merged.append(first)
            index = match + 1
    return merged


def swift_encode(text: str) -> list[int]:
    """BPETokenizer.encode over characters that are one code point each."""
    ids = [VOCABULARY["<|startoftext|>"]]
    for word in filter(None, text.strip().lower().split(" ")):
        tokens = [*word[:-1], word[-1] + "</w>"]
        while pairs := [pair for pair in pairwise(tokens) if pair in MERGES]:
            tokens = swift_update(tokens, *min(pairs, key=MERGES.__getitem__))
        ids += [VOCABULARY.get(token, VOCABULARY[EOS]) for token in tokens]
    return [*ids, VOCABULARY[EOS]]


@settings(max_examples=300)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
@example("it's a cat, 4k; (masterpiece:1.2) don't")
@example("aaaaaaa!!!!!!??!")
@example("<|endoftext|> </w>")
def test_ascii_equals_the_transcript_of_swift(tokenizer: ClipTokenizer, text: str) -> None:
    assert SwiftTokenizer.of(tokenizer).encode(text) == swift_encode(text)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        # StableDiffusionTests.swift
        ("a photo of an astronaut riding a horse on mars", [320, 1125, 539, 550, 18376, 6765, 320, 4558, 525, 7496]),
        ("Apple CoreML developer tools on a Macbook Air are fast", [3055, 19622, 5780, 10929, 5771, 525, 320, 20617, 1922, 631, 1953]),
        # what Apple's package was seen to give
        ("a cat, sitting on a mat", [320, 1481, 267, 4919, 525, 320, 9063]),
        ("日本の山", [49407] * 4),
        # one character, composed or not; é is the symbol of a byte
        ("cafe\u0301", [3471, 421]),
        ("caf\u00e9", [3471, 421]),
        ("\U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea", [49407] * 2),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", [49407]),
        ("a\tb\n", [64, 49407, 321]),
    ],
)
def test_apples_ids(tokenizer: ClipTokenizer, text: str, ids: list[int]) -> None:
    assert in_dialect(tokenizer, "apple").encode(text) == [49406, *ids, 49407]


@settings(max_examples=200)
@given(prompts())
def test_any_text_has_ids(tokenizer: ClipTokenizer, text: str) -> None:
    assert "".join(graphemes(text)) == text
    ids = SwiftTokenizer.of(tokenizer).encode(text)
    assert ids[0] == 49406
    assert ids[-1] == 49407
    assert 0 <= min(ids) <= max(ids) < 49408


@pytest.mark.parametrize("words", [74, 75, 76, 77, 100])
def test_a_row_of_apples_that_is_cut_has_no_end(tokenizer: ClipTokenizer, words: int) -> None:
    swift = SwiftTokenizer.of(tokenizer)
    batch = swift.batch(["x " * words])
    expected = ([49406, *[343] * words, 49407] + [49407] * 77)[:77]
    assert batch.input_ids[0].tolist() == expected
    assert batch.truncated == (" ".join("x" * max(0, words - 76)),)
    chunks = chunk_prompt("x " * words, swift, "plain", "truncate")
    assert chunks.input_ids[0].tolist() == expected
    assert chunks.truncated == batch.truncated[0]


def test_apples_padding() -> None:
    """ "!" for a second text encoder, the end token for every first one, Stable Diffusion 2.x included."""
    padded = ClipTokenizer.clip(pad_token="!")  # noqa: S106
    assert in_dialect(padded, "apple", first=True).batch(["a"]).input_ids[0, -1] == 49407
    assert in_dialect(padded, "apple", first=False).batch(["a"]).input_ids[0, -1] == 0


def test_a_lone_surrogate_is_named_there_too(tokenizer: ClipTokenizer) -> None:
    with pytest.raises(ConfigError, match=r"lone surrogate U\+DC80 at 2; "):
        SwiftTokenizer.of(tokenizer).encode("ab\udc80")


def test_a_word_of_any_length_takes_little_time(tokenizer: ClipTokenizer) -> None:
    swift = SwiftTokenizer.of(tokenizer)
    for text in ("ab" * 50_000, "a\u0323" * 50_000, "\u0323" * 100_000, " " * 100_000 + "a", "\U0001f1eb" * 100_000):
        assert len(swift.encode(text)) > 2


def test_the_pipeline_reads_prompts_as_the_program_that_compat_names() -> None:
    padded: dict[Any, ClipTokenizer] = {"text_encoder": ClipTokenizer.clip(), "text_encoder_2": ClipTokenizer.clip("!")}
    with sdrt.load("nano") as pipe:
        settings = pipe.resolve("a cat!")
    own, transformers = [320, 2368, 256], [320, 2368, 0]
    for compat, wanted in ((None, (own, own)), ("diffusers", (own, transformers)), ("apple", ([320, 1481, 256], [320, 1481, 256]))):
        [rows] = tokenize(padded, [(("prompt", ("a cat!", "a cat!")),)], replace(settings, compat=compat))
        for component, ids in zip(padded, wanted, strict=True):
            assert rows[component].rows["prompt"].input_ids[0, :5].tolist() == [49406, *ids, 49407]


def test_a_program_without_weights_and_chunks_takes_plain_text_and_cuts_it() -> None:
    pndm = {"_class_name": "PNDMScheduler", "prediction_type": "epsilon", "skip_prk_steps": True, "steps_offset": 1}
    with sdrt.load("nano") as pipe:
        for compat in ("diffusers", "apple"):
            settings = pipe.resolve("a (cat:1.2)", scheduler=pndm, compat=compat)
            assert (settings.prompt_syntax, settings.long_prompts) == ("plain", "truncate")
