"""A CLIP tokenizer with a tiny vocabulary: every byte, every byte at the end of a word, a few merges, and the two marks."""

import json
from pathlib import Path
from typing import Any

__all__ = ["vocabulary", "write_tokenizer"]

_MERGES = ("r e", "re d</w>", "b l", "bl u", "blu e</w>", "c i", "ci r", "c l", "cl e</w>", "cir cle</w>")
_START, _END = "<|startoftext|>", "<|endoftext|>"


def vocabulary() -> dict[str, int]:
    """Return the ids of all tokens; the two marks are last, as in CLIP's own vocabulary.

    >>> vocabulary()["<|endoftext|>"]
    523
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]
    merged = ["".join(merge.split(" ")) for merge in _MERGES]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *merged, _START, _END]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


def write_tokenizer(folder: Path) -> None:
    """Write the files of a tokenizer of 77 positions, as transformers' CLIPTokenizer reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    marks: dict[str, Any] = {"bos_token": _START, "eos_token": _END, "unk_token": _END, "pad_token": _END}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, "add_prefix_space": False}
    (folder / "vocab.json").write_text(json.dumps(vocabulary(), ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(_MERGES) + "\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(marks), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | marks), encoding="utf-8")
