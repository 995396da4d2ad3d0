"""CLIP's vocabulary as files, and transformers' tokenizer opened from a folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from sdrt.tokenizer.clip_vocabulary import ClipVocabulary

BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def clip_files() -> dict[str, str]:
    """``vocab.json`` and ``merges.txt`` as openai's model repositories have them."""
    vocabulary = ClipVocabulary()
    ids = {token: i for i, token in vocabulary.tokens.items()}
    merges = "".join(f"{left} {right}\n" for left, right in vocabulary.merge_tokens)
    return {"vocab.json": json.dumps(ids, ensure_ascii=False, separators=(",", ":")), "merges.txt": merges}


def write_folder(folder: Path, files: Mapping[str, Any]) -> Path:
    """Write a folder; what is not a str becomes JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder


def open_peer(folder: Path) -> Any:
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def added(content: str, **flags: bool) -> dict[str, Any]:
    """An added token as older files write it."""
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False} | flags


def typed(content: str, **flags: bool) -> dict[str, Any]:
    """The same as ``tokenizer_config.json`` writes it."""
    return {"__type": "AddedToken"} | added(content, **flags)


# Tokens of one letter and a few merges: most characters are unknown.
TINY_TOKENS = ["a", "b", "c", "a</w>", "b</w>", "c</w>", "ab", "abc</w>", "aa", "aa</w>", "bc</w>", "!</w>", "'", "|", "<", BOS, EOS]
TINY = {
    "vocab.json": {token: i for i, token in enumerate(TINY_TOKENS)},
    "merges.txt": "#version: 0.2\na a\nb c</w>\na b\nab c</w>\na a</w>\n",
}
