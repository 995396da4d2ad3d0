"""The learnt vocabulary, in CLIP's form."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from training.merges import END, START, byte_letters, caption_words, learn_merges, load_tokenizer, vocabulary, write_tokenizer


def test_merges_by_hand() -> None:
    """Two words, worked out by hand."""
    assert learn_merges(Counter({"on": 2, "one": 1})) == [("o", "n</w>"), ("o", "n"), ("on", "e</w>")]


def test_ids_begin_with_the_bytes_and_end_with_the_two_marks() -> None:
    """256 letters, 256 that end a word, the merges, start, end."""
    ids = vocabulary([("o", "n</w>")])
    assert list(ids)[:2] == ["!", '"']
    assert len(set(byte_letters())) == 256
    assert ids["on</w>"] == 512
    assert (ids[START], ids[END]) == (513, 514)


def test_every_word_is_one_token(tmp_path: Path) -> None:
    """Each word of the captions tokenizes to start, one token, end; unknown words also work, and case does not matter."""
    write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert all(len(tokenizer(word).input_ids) == 3 for word in caption_words())
    assert len(tokenizer("zebra").input_ids) > 3
    assert tokenizer("A Red Circle").input_ids == tokenizer("a red circle").input_ids
    ids = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    assert sorted(ids.values()) == list(range(len(tokenizer)))
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == len(ids) - 1
