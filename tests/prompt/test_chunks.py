"""Where a prompt is split, and the content of each row."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.prompt import chunk_prompt
from sdrt.tokenizer import ClipTokenizer
from tests.prompt.peers import words


def contents(text: str, tokenizer: ClipTokenizer, **options: Any) -> list[list[int]]:
    """Return the ids of each row between its start token and its first end token."""
    chunks = chunk_prompt(text, tokenizer, **options)
    assert chunks.input_ids.dtype == np.int32
    assert chunks.input_ids.shape == chunks.weights.shape
    rows = []
    for row in chunks.input_ids.tolist():
        assert (len(row), row[0]) == (77, tokenizer.bos_token_id)
        end = row.index(tokenizer.eos_token_id)
        assert set(row[end + 1 :]) <= {tokenizer.pad_token_id}
        rows.append(row[1:end])
    return rows


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, [0]), (1, [1]), (74, [74]), (75, [75]), (76, [75, 1]), (150, [75, 75]), (151, [75, 75, 1]), (400, [75] * 5 + [25])],
)
def test_a_row_holds_75_tokens(clip: ClipTokenizer, count: int, sizes: list[int]) -> None:
    assert [len(row) for row in contents(words(count), clip)] == sizes


@pytest.mark.parametrize("syntax", ["weighted", "plain"])
@pytest.mark.parametrize("long_prompts", ["chunk", "truncate"])
@given(text=st.text(st.sampled_from(list("ab é円:.,19-'!")), max_size=40))
def test_a_short_prompt_without_syntax_is_the_tokenizers_own_row(clip: ClipTokenizer, syntax: Any, long_prompts: Any, text: str) -> None:
    chunks = chunk_prompt(text, clip, syntax, long_prompts)
    np.testing.assert_array_equal(chunks.input_ids, clip.batch([text]).input_ids)
    assert (chunks.weights == 1).all()
    assert chunks.truncated == ""


@pytest.mark.parametrize("count", [75, 76, 200])
def test_truncating_is_what_the_tokenizer_does(clip: ClipTokenizer, count: int) -> None:
    text = words(count, "red circle,")
    chunks, batch = chunk_prompt(text, clip, "plain", "truncate"), clip.batch([text])
    np.testing.assert_array_equal(chunks.input_ids, batch.input_ids)
    assert (chunks.truncated,) == batch.truncated != ("",)


def test_each_section_is_truncated_for_itself(clip: ClipTokenizer) -> None:
    chunks = chunk_prompt(f"{words(76)} one BREAK {words(75, 'blue')} two", clip, "weighted", "truncate")
    assert len(chunks.input_ids) == 2
    assert chunks.truncated == "red one two"


@given(st.lists(st.sampled_from(["red", "blue", ",", "unbelievably", "a", "(circle:1.3)"]), max_size=250).map(" ".join))
@settings(max_examples=50)
def test_no_token_is_lost_and_none_is_moved(clip: ClipTokenizer, text: str) -> None:
    rows = contents(text, clip)
    assert [i for row in rows for i in row] == clip.encode(text.replace("(circle:1.3)", "circle"))[1:-1]
    assert all(rows) or rows == [[]]
    # Text moves at most the 20 tokens from the comma on.
    assert all(len(row) > 75 - 20 for row in rows[:-1])


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        # 56 + comma + 18: the full row's last 19 tokens contain the comma, so the phrase after it moves.
        (f"{words(56)}, {words(18)} blue", [57, 19]),
        # The comma is the 20th token from the end, the last that counts.
        (f"{words(55)}, {words(19)} blue", [56, 20]),
        (f"{words(54)}, {words(20)} blue", [75, 1]),
        # A comma at the end of the row, and a comma that itself does not fit.
        (f"{words(74)}, blue", [75, 1]),
        (f"{words(75)}, blue", [75, 2]),
        (f"{words(70)}, {words(4)}, blue", [75, 2]),
        # Nothing to do if the prompt fits.
        (f"{words(56)}, {words(18)}", [75]),
    ],
)
def test_a_full_row_ends_at_its_last_comma(clip: ClipTokenizer, text: str, sizes: list[int]) -> None:
    assert [len(row) for row in contents(text, clip)] == sizes


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("red BREAK blue circle", [1, 2]), ("BREAK red", [0, 1]), ("red BREAK", [1]), ("red BREAK BREAK blue", [1, 0, 1]), ("BREAK", [0])],
)
def test_break_starts_a_row(clip: ClipTokenizer, text: str, sizes: list[int]) -> None:
    assert [len(row) for row in contents(text, clip)] == sizes
    assert len(contents(text, clip, syntax="plain")) == 1


def test_weights_stand_at_their_tokens(clip: ClipTokenizer) -> None:
    chunks = chunk_prompt("a (red:1.3) [unbelievably] circle", clip)
    pieces = [len(clip.encode(text)) - 2 for text in ("a", "red", "unbelievably", "circle")]
    want = [1.0, *np.repeat([1.0, 1.3, 1 / 1.1, 1.0], pieces)]
    np.testing.assert_array_equal(chunks.weights[0], [*want, *[1.0] * (77 - len(want))])
    np.testing.assert_array_equal(chunks.input_ids, clip.batch(["a red unbelievably circle"]).input_ids)


def test_a_plain_prompt_keeps_its_brackets(clip: ClipTokenizer) -> None:
    text = r"a (red:1.3) [circle] \( BREAK"
    np.testing.assert_array_equal(chunk_prompt(text, clip, "plain").input_ids, clip.batch([text]).input_ids)


def test_vectors_of_one_embedding_stay_together(clip: ClipTokenizer) -> None:
    tokenizer = clip.with_embeddings({"<cat>": range(49408, 49412)})
    assert [len(row) for row in contents(f"{words(71)} <cat> red", tokenizer)] == [75, 1]
    assert [len(row) for row in contents(f"{words(72)} <cat> red", tokenizer)] == [72, 5]
    assert [len(row) for row in contents(f"{words(60)}, {words(11)} <cat>", tokenizer)] == [61, 15]
    assert [len(row) for row in contents(f"{words(72)} <cat> red", tokenizer, long_prompts="truncate")] == [75]
    assert chunk_prompt("(<cat>:1.5)", tokenizer).weights[0, :6].tolist() == [1, 1.5, 1.5, 1.5, 1.5, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("red", "a1111"), r"^syntax must be 'weighted' or 'plain', got 'a1111'"),
        (("red", "plain", "fold"), r"long_prompts must be 'chunk' or 'pad' or 'truncate', got 'fold'"),
        ((["red"],), r"a prompt must be a str, got list"),
    ],
)
def test_a_choice_that_is_none_is_named(clip: ClipTokenizer, arguments: tuple[Any, ...], message: str) -> None:
    text, *options = arguments
    with pytest.raises(ConfigError, match=message):
        chunk_prompt(text, clip, *options)
