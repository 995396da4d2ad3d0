"""The ids are those of transformers and of Rust tokenizers, for every character and for text made by hypothesis."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sdrt.testing.strategies import composed_texts, prompts
from sdrt.tokenizer import ClipTokenizer
from sdrt.tokenizer.normalize import nfc, normalize
from sdrt.tokenizer.split import words
from tests.tokenizer.peer import EOS, open_peer

CHARACTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]

# SHA-256 of the ids (little-endian int32, prompt after prompt) of every character alone and between two letters. It needs no peer, and so
# requires the same ids on every Python; the test after it compares them with the peer.
EVERY_CHARACTER = "70b9d87ea052ff58773938e030c1b24648ea893b067868e094c32873e95c2171"


def prompt_of(characters: list[str]) -> str:
    return " ".join(f"{c} a{c}b" for c in characters)


@pytest.fixture(scope="module")
def every_character(tokenizer: ClipTokenizer) -> dict[str, list[int]]:
    """Prompts of 128 characters each, with their ids."""
    texts = [prompt_of(CHARACTERS[start : start + 128]) for start in range(0, len(CHARACTERS), 128)]
    return {text: tokenizer.encode(text) for text in texts}


def test_every_character_has_its_recorded_ids(every_character: dict[str, list[int]]) -> None:
    """Independent of the Python version and its unicodedata."""
    ids = np.array([i for row in every_character.values() for i in row], "<i4")
    assert sha256(ids.tobytes()).hexdigest() == EVERY_CHARACTER


def test_every_character_has_the_ids_of_the_peer(every_character: dict[str, list[int]], tokenizer: ClipTokenizer, peer: Any) -> None:
    """1,112,064 characters, alone and between letters."""
    rust = peer.backend_tokenizer
    rust.no_truncation()  # a call that padded and cut leaves both enabled
    rust.no_padding()
    texts = list(every_character)
    chunks = (texts[start : start + 256] for start in range(0, len(texts), 256))  # the peer's encodings are large
    encodings = (encoding.ids for chunk in chunks for encoding in rust.encode_batch_fast(chunk))
    differing = [text for (text, ids), theirs in zip(every_character.items(), encodings, strict=True) if ids != theirs]
    alone = [prompt_of([c]) for text in differing for c in text]
    characters = {text[0] for text in alone if tokenizer.encode(text) != peer(text).input_ids}
    assert len(differing) == 0, f"{len(characters)} characters differ, such as {sorted(characters)[:20]!a}"


@settings(max_examples=1500)
@given(prompts())
@example("!<|ENDOFTEXT|>! <|EndOfText|>|> <|endoftext|>\u0301")
@example("\u03b1\u03a3 \u0130I\u0307 'S'\u017f <|st\u00e9rtoftext|>")
def test_encode_equals_transformers(tokenizer: ClipTokenizer, peer: Any, text: str) -> None:
    assert tokenizer.encode(text) == peer(text).input_ids


@settings(max_examples=1000)
@given(st.one_of(prompts(), composed_texts()))
@example("a\u030b\u0301")  # the first mark does not join the letter, and blocks the second, of its class, from it
@example("a\u0334\u0323\u0301")
def test_cleaning_equals_the_peers_normalizer(peer: Any, text: str) -> None:
    """Character by character, including white space."""
    assert normalize(text) == peer.backend_tokenizer.normalizer.normalize_str(text)


@settings(max_examples=500)
@given(prompts())
def test_words_are_those_of_the_peers_pattern(peer: Any, text: str) -> None:
    cleaned = normalize(text)
    first_stage = peer.backend_tokenizer.pre_tokenizer[0]
    assert words(cleaned) == [word for word, _ in first_stage.pre_tokenize_str(cleaned)]


@settings(max_examples=300)
@given(prompts())
def test_nfc_is_idempotent(text: str) -> None:
    assert nfc(nfc(text)) == nfc(text)


@settings(max_examples=500)
@given(st.one_of(prompts(), st.text("abc'|<!AB \u0301", max_size=30)))
def test_tiny_vocabulary_equals_transformers(tiny_folder: Path, text: str) -> None:
    """Unknown characters and merges of few tokens."""
    ours, peer = _tiny(tiny_folder)
    assert ours.encode(text) == peer(text).input_ids


_OPENED: dict[Path, tuple[ClipTokenizer, Any]] = {}


def _tiny(folder: Path) -> tuple[ClipTokenizer, Any]:
    if folder not in _OPENED:
        _OPENED[folder] = ClipTokenizer.load(folder), open_peer(folder)
    return _OPENED[folder]


@settings(max_examples=300)
@given(st.lists(st.integers(0, 49407), max_size=20), st.booleans())
@example([128, 129, 200, 49406], False)
@example([27, 14, 86, 29, 320], False)
def test_decode_equals_transformers(tokenizer: ClipTokenizer, peer: Any, ids: list[int], skip: bool) -> None:
    """Including bytes that are not UTF-8 and a split end-of-word mark."""
    assert tokenizer.decode(ids, skip_special_tokens=skip) == peer.decode(ids, skip_special_tokens=skip)


@settings(max_examples=300)
@given(prompts().filter(lambda text: "<|" not in text and "</w>" not in text))
def test_decoding_gives_the_cleaned_words_back(tokenizer: ClipTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == " ".join(words(normalize(text))).strip()


@pytest.mark.parametrize("length", [47, 48, 49, 200, 3000])
def test_long_words_equal_transformers(tokenizer: ClipTokenizer, peer: Any, length: int) -> None:
    """Around the length at which the merge loop changes to a heap, and far beyond it."""
    for word in ("a" * length, "supercalifragilistic" * (length // 20 + 1), "\u00e9" * length, "!?" * length):
        assert tokenizer.encode(word) == peer(word).input_ids


def test_long_words_in_time_that_grows_slowly(tokenizer: ClipTokenizer, peer: Any) -> None:
    """A word of 200,000 letters would take minutes with a list searched at each merge."""
    text = "ab" * 100_000 + EOS
    assert tokenizer.encode(text) == peer(text).input_ids
