"""Rows for a text encoder: padded, or cut with the end token kept and the cut text reported."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.testing.strategies import prompts
from sdrt.tokenizer import ClipTokenizer
from sdrt.tokenizer.bpe import WordCache
from sdrt.tokenizer.clip_vocabulary import ClipVocabulary
from tests.tokenizer.peer import BOS, EOS, clip_files, open_peer, write_folder


def rows(peer: Any, texts: list[str]) -> list[list[int]]:
    ids: list[list[int]] = peer(texts, padding="max_length", truncation=True, max_length=77).input_ids
    return ids


@pytest.mark.parametrize("tokens", [0, 1, 73, 74, 75, 76, 77, 78, 200])
def test_rows_around_the_limit_equal_transformers(tokens: int, tokenizer: ClipTokenizer, peer: Any) -> None:
    """Prompts of this many tokens, without start and end; 75 fit."""
    text = " ".join(f"w{'o' * (k % 3)}rd"[:1] for k in range(tokens))
    batch = tokenizer.batch([text])
    assert len(tokenizer.encode(text)) == tokens + 2
    assert batch.input_ids.tolist() == rows(peer, [text])
    assert batch.input_ids[0, min(tokens + 1, 76)] == tokenizer.eos_token_id
    assert batch.truncated == (" ".join(["w"] * max(0, tokens - 75)),)


@pytest.mark.parametrize("tokens", [75, 76, 77, 78, 200])
def test_prompts_of_so_many_ids_equal_transformers(tokens: int, tokenizer: ClipTokenizer, peer: Any) -> None:
    """The same, counted with start and end."""
    text = "cat " * (tokens - 2)
    assert len(tokenizer.encode(text)) == tokens
    assert tokenizer.batch([text]).input_ids.tolist() == rows(peer, [text])


def test_padding_of_stable_diffusion_2_in_transformers(tmp_path: Path) -> None:
    """It pads with "!" (id 0), so transformers takes each "!" in a prompt for that token."""
    peer = open_peer(write_folder(tmp_path, {**clip_files(), "tokenizer_config.json": {"pad_token": "!", "model_max_length": 77}}))
    ours = ClipTokenizer.clip(pad_token="!").as_transformers()  # noqa: S106
    texts = ["a cat!", "wow!!! a!b", "", "x " * 100 + "!"]
    assert ours.pad_token_id == 0
    assert ours.batch(texts).input_ids.tolist() == rows(peer, texts)
    assert ours.batch(["a cat"]).input_ids[0, 4:].tolist() == [0] * 73


@settings(max_examples=200)
@given(st.lists(prompts(), max_size=5))
def test_batches_equal_transformers(tokenizer: ClipTokenizer, peer: Any, texts: list[str]) -> None:
    batch = tokenizer.batch(texts)
    assert batch.input_ids.shape == (len(texts), 77)
    assert batch.input_ids.dtype == np.int32
    assert batch.input_ids.tolist() == (rows(peer, texts) if texts else [])
    assert len(batch.truncated) == len(texts)


def test_what_was_cut_continues_what_was_kept(tokenizer: ClipTokenizer) -> None:
    words = [
        f"{a}{b}" for a in "bcdfgh" for b in ("at", "og", "un", "ill", "ent", "est", "old", "ing", "ark", "ump", "ip", "ow", "ay", "ell")
    ]
    batch = tokenizer.batch([" ".join(words), "short"])
    kept = tokenizer.decode(batch.input_ids[0].tolist())
    assert f"{kept} {batch.truncated[0]}".replace(" ", "") == "".join(words)
    assert batch.truncated[0]
    assert batch.truncated[1] == ""


def test_rows_of_another_length() -> None:
    batch = ClipTokenizer.clip(model_max_length=5).batch(["a photo of a cat", "cat"])
    assert batch.input_ids.tolist() == [[49406, 320, 1125, 539, 49407], [49406, 2368, 49407, 49407, 49407]]
    assert batch.truncated == ("a cat", "")


def test_properties(tokenizer: ClipTokenizer) -> None:
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (49406, 49407, 49407)
    assert (tokenizer.model_max_length, tokenizer.vocab_size) == (77, 49408)
    assert tokenizer.encode("") == [49406, 49407]
    assert tokenizer.encode(f"a{EOS}{BOS}") == [49406, 320, 49407, 49406, 49407]


def test_a_lone_surrogate_is_named(tokenizer: ClipTokenizer) -> None:
    for text in ("ab\udc80", "\u00e9b\udc80 \ud800"):
        with pytest.raises(ConfigError, match=r"lone surrogate U\+DC80 at 2; "):
            tokenizer.encode(text)


def test_arguments_of_other_types_are_named(tokenizer: ClipTokenizer) -> None:
    with pytest.raises(ConfigError, match=r"a list of prompts, got 'a cat'; write \[text\]"):
        tokenizer.batch("a cat")
    with pytest.raises(ConfigError, match="a prompt must be a str, got bytes; "):
        tokenizer.batch([b"a cat"])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="ids must be below 49408, got 49408; "):
        tokenizer.decode([49408])
    with pytest.raises(ConfigError, match="pad_token must be one of CLIP's tokens, got 'padding'; "):
        ClipTokenizer.clip(pad_token="padding")  # noqa: S106
    with pytest.raises(ConfigError, match="model_max_length must be a whole number from 3 to 65536, got 1; "):
        ClipTokenizer.clip(model_max_length=1)


def test_the_cache_of_words_is_bounded() -> None:
    words = WordCache(ClipVocabulary().merges, limit=100)
    fresh = WordCache(words.merges, limit=100)
    for k in range(1000):
        assert words[f"word{k % 150}"] == fresh.__missing__(f"word{k % 150}")
        assert len(words) <= 100
    words["x" * 1000]
    assert "x" * 1000 not in words


def test_threads_share_a_tokenizer() -> None:
    tokenizer = ClipTokenizer.clip()
    texts = [f"prompt {k} caf\u00e9 {'xyz'[k % 3]}{k * 7919}" for k in range(400)]
    expected = [ClipTokenizer.clip().encode(text) for text in texts[:20]]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(tokenizer.encode, texts * 4))
    assert found[:20] == expected
    assert all(found[k] == found[k % 400] for k in range(len(found)))


def test_a_tokenizer_can_be_pickled(tokenizer: ClipTokenizer) -> None:
    assert pickle.loads(pickle.dumps(tokenizer)).encode("a pickled caf\u00e9") == tokenizer.encode("a pickled caf\u00e9")  # noqa: S301
