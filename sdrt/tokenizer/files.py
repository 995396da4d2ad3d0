"""A tokenizer's folder, read and checked: each file that cannot be used is named, in one line."""

import json
from pathlib import Path
from typing import Any

from sdrt.errors import MissingFileError, ModelError
from sdrt.tokenizer.special_tokens import Json
from sdrt.tokenizer.vocabulary import Vocabulary

__all__ = ["read_json", "read_vocabulary"]

_LFS_POINTER = "version https://git-lfs"


def read_vocabulary(folder: Path, unk_token: str) -> Vocabulary:
    """The vocabulary of a folder: ``tokenizer.json`` where there is one, as transformers does, else ``vocab.json`` and ``merges.txt``.

    Raises
    ------
    MissingFileError : none of them is there
    ModelError : a file that cannot be used
    """
    if not folder.is_dir():
        raise MissingFileError(f"a tokenizer is a folder, got {str(folder)!r}, which is none; check the path")
    if (path := folder / "tokenizer.json").is_file():
        return _from_tokenizer_json(path, unk_token)
    vocab = folder / "vocab.json"
    merges = next((path for name in ("merges.txt", "merges.text") if (path := folder / name).is_file()), folder / "merges.txt")
    for path in (vocab, merges):
        if not path.is_file():
            raise MissingFileError(
                f"a tokenizer has vocab.json and merges.txt, or tokenizer.json; {path.name} is missing in {str(folder)!r}; "
                "fetch the folder again"
            )
    ids = read_json(vocab)
    lines = (line.removesuffix("\r") for line in _read_text(merges).split("\n"))
    pairs = [_pair(line, merges) for line in lines if line and not line.startswith("#version")]
    return Vocabulary.from_tokens(ids, pairs, unk_token, f"{vocab.name} and {merges.name} in {str(folder)!r}")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises
    ------
    MissingFileError, ModelError : no such file, or no JSON object in it
    """
    text = _read_text(path)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ModelError(f"{str(path)!r} must hold JSON, but reading failed: {error}; fetch the file again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{str(path)!r} must hold a JSON object, got {type(content).__name__}; fetch the file again")
    return content


def _from_tokenizer_json(path: Path, unk_token: str) -> Vocabulary:
    model = Json(read_json(path), str(path)).table("model")
    if (kind := model.value.get("type", "BPE")) != "BPE":
        raise ModelError(f"{str(path)!r}: CLIP's tokenizer is of type BPE, got {kind!r}; take the tokenizer of a CLIP text encoder")
    merges = model.value.get("merges")
    if not isinstance(merges, list):
        raise ModelError(f"{str(path)!r}: merges must be a list, got {type(merges).__name__}; fetch the file again")
    return Vocabulary.from_tokens(model.table("vocab").value, [_pair(merge, path) for merge in merges], unk_token, repr(str(path)))


def _pair(merge: object, path: Path) -> tuple[str, str]:
    parts = merge.split(" ") if isinstance(merge, str) else merge
    match parts:
        case [str(left), str(right)]:
            return left, right
    raise ModelError(f"{str(path)!r}: a merge is two tokens with a blank between them, got {merge!r}; fetch the file again")


def _read_text(path: Path) -> str:
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError as error:
        raise MissingFileError(f"{str(path)!r} is missing; fetch the folder again") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{str(path)!r} must be a text file in UTF-8, but reading failed: {error}; fetch the file again") from error
    if text.startswith(_LFS_POINTER):
        raise ModelError(f"{str(path)!r} is a Git-LFS pointer, not the file itself; run 'git lfs pull' where it comes from")
    return text
