"""CLIP's vocabulary as files, and transformers' tokenizer opened from a folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from sdrt.tokenizer.clip_vocabulary import ClipVocabulary

BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def clip_files() -> dict[str, str]:
    """Write ``vocab.json`` and ``merges.txt`` as in OpenAI's model repositories."""
    vocabulary = ClipVocabulary()
    ids = {token: i for i, token in vocabulary.tokens.items()}
    merges = "".join(f"{left} {right}\n" for left, right in vocabulary.merge_tokens)
    return {"vocab.json": json.dumps(ids, ensure_ascii=False, separators=(",", ":")), "merges.txt": merges}


def write_folder(folder: Path, files: Mapping[str, Any]) -> Path:
    """Write a folder; values other than str become JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder


def open_peer(folder: Path) -> Any:
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def added(content: str, **flags: bool) -> dict[str, Any]:
    """Return an added token in the form of older files."""
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False} | flags


def typed(content: str, **flags: bool) -> dict[str, Any]:
    """Return the same in the form of ``tokenizer_config.json``."""
    return {"__type": "AddedToken"} | added(content, **flags)


# Tokens of one letter and a few merges, so that most characters are unknown.
TINY_TOKENS = ["a", "b", "c", "a</w>", "b</w>", "c</w>", "ab", "abc</w>", "aa", "aa</w>", "bc</w>", "!</w>", "'", "|", "<", BOS, EOS]
TINY = {
    "vocab.json": {token: i for i, token in enumerate(TINY_TOKENS)},
    "merges.txt": "#version: 0.2\na a\nb c</w>\na b\nab c</w>\na a</w>\n",
}
