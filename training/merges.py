"""Learn a byte-level BPE vocabulary in CLIP's form from the captions, until every word is one token."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from transformers import CLIPTokenizer

from training.captions import caption
from training.scenes import sample

START, END = "<|startoftext|>", "<|endoftext|>"
MAX_LENGTH = 77
_SAMPLED = 40_000  # captions that the words come from: the rarest word is met dozens of times


def byte_letters() -> list[str]:
    """Return one printable character for each byte, in CLIP's order: printable bytes first, then the others from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]


def caption_words() -> Counter[str]:
    """Count each word in training captions."""
    rng = np.random.default_rng(0)
    texts = (caption(sample(rng, pairs=0.4, unseen=False), rng) for _ in range(_SAMPLED))
    return Counter(word for text in texts for word in text.replace(",", " ").split())


def _merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    joined: list[str] = []
    for part in word:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)


def learn_merges(words: Counter[str]) -> list[tuple[str, str]]:
    """Merge the most frequent pair of neighbours into one token, repeatedly, until every word is one.

    >>> learn_merges(Counter({"on": 2, "one": 1}))
    [('o', 'n</w>'), ('o', 'n'), ('on', 'e</w>')]
    """
    split = {word: (*word[:-1], word[-1] + "</w>") for word in sorted(words)}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in split.items():
            for left, right in itertools.pairwise(parts):
                pairs[left, right] += words[word]
        if not pairs:
            return merges
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        split = {word: _merged(parts, best) for word, parts in split.items()}


def vocabulary(merges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return token ids: bytes, bytes that end a word, merges, then start and end."""
    letters = byte_letters()
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), START, END]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


def write_tokenizer(folder: Path) -> None:
    """Learn the merges, and write vocab.json, merges.txt and the two configuration files. The end token also pads."""
    folder.mkdir(parents=True, exist_ok=True)
    merges = learn_merges(caption_words())
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "vocab.json").write_text(json.dumps(vocabulary(merges), ensure_ascii=False), encoding="utf-8")
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    config = special | {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": MAX_LENGTH,
        "do_lower_case": True,
        "add_prefix_space": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", encoding="utf-8")


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """Load the tokenizer written by `write_tokenizer` with transformers."""
    return CLIPTokenizer.from_pretrained(folder)
