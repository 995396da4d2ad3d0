"""Read and check a tokenizer's folder; errors name the unusable file in one line."""

from itertools import repeat
from pathlib import Path
from typing import Any

from sdrt.errors import MissingFileError, ModelError
from sdrt.files import exists, is_folder, read_text
from sdrt.json_text import parse_json
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.printable import shown
from sdrt.tokenizer.special_tokens import Json
from sdrt.tokenizer.vocabulary import Vocabulary

__all__ = ["read_settings", "read_vocabulary"]


def read_vocabulary(folder: Path, serialized: Json, unk_token: str, limits: Limits = DEFAULT_LIMITS) -> Vocabulary:
    """Read the vocabulary of a folder: ``tokenizer.json`` if present, as transformers does, else ``vocab.json`` and ``merges.txt``.

    Parameters
    ----------
    folder : path
    serialized : Json
        The content of ``tokenizer.json``; empty if there is no such file.
    unk_token : str
        The substitute for a byte that the vocabulary lacks.
    limits : Limits

    Raises
    ------
    MissingFileError : none of these files is present
    ModelError : an unusable file
    """
    if serialized.value:
        return _from_serialized(serialized, unk_token)
    vocab = folder / "vocab.json"
    merges = next((path for name in ("merges.txt", "merges.text") if exists(path := folder / name)), folder / "merges.txt")
    for path in (vocab, merges):
        if not exists(path):
            raise MissingFileError(
                f"a tokenizer needs vocab.json and merges.txt, or tokenizer.json; {path.name} is missing in {str(folder)!r}; "
                "fetch the folder again"
            )
    ids = _read_json(vocab, limits)
    sides = _sides(_merge_lines(read_text(merges, limits)), merges)
    return Vocabulary.from_tokens(ids, *sides, unk_token, f"{vocab.name} and {merges.name} in {str(folder)!r}")


def read_settings(folder: Path, limits: Limits = DEFAULT_LIMITS) -> tuple[Json, Json, Json, Json]:
    """Read ``tokenizer_config.json``, ``special_tokens_map.json``, ``added_tokens.json`` and ``tokenizer.json``; missing ones are empty.

    Raises
    ------
    MissingFileError : no such folder
    ModelError : an unusable file
    """
    if not is_folder(folder):
        raise MissingFileError(f"a tokenizer must be a folder, got {str(folder)!r}; check the path")
    config, special_map, added, serialized = (
        Json(_read_json(path, limits) if exists(path := folder / name) else {}, str(path))
        for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json")
    )
    return config, special_map, added, serialized


def _read_json(path: Path, limits: Limits) -> dict[str, Any]:
    """Read the object in a JSON file."""
    content = parse_json(read_text(path, limits, "json_bytes"), str(path))
    if not isinstance(content, dict):
        raise ModelError(f"{str(path)!r} must hold a JSON object, got {type(content).__name__}; fetch the file again")
    return content


def _from_serialized(serialized: Json, unk_token: str) -> Vocabulary:
    model = serialized.table("model")
    if (kind := model.value.get("type", "BPE")) != "BPE":
        raise ModelError(
            f"{model.source!r}: CLIP's tokenizer must be of type BPE, got {shown(kind)}; take the tokenizer of a CLIP text encoder"
        )
    merges = model.value.get("merges")
    if not isinstance(merges, list):
        raise ModelError(f"{model.source!r}: merges must be a list, got {type(merges).__name__}; fetch the file again")
    sides = _sides(merges, Path(model.source))
    return Vocabulary.from_tokens(model.table("vocab").value, *sides, unk_token, repr(model.source))


def _merge_lines(text: str) -> list[str]:
    """Return the merges in a merges file: all lines except empty ones and version lines."""
    text = text.replace("\r\n", "\n")
    while text.startswith("#version"):
        text = text.partition("\n")[2]
    lines = [*filter(None, text.split("\n"))]
    # A version line other than the first is rare, and checking each of 48,894 lines takes longer than splitting them.
    return [line for line in lines if not line.startswith("#version")] if "\n#version" in text else lines


def _sides(merges: list[Any], path: Path) -> tuple[list[str], list[str]]:
    """Return the left and right tokens of all merges, from either form: "a b" or ["a", "b"]."""
    if set(map(type, merges)) <= {str} and set(map(str.count, merges, repeat(" "))) <= {1}:
        # One long split creates no object per merge for the garbage collector to visit.
        tokens = " ".join(merges).split(" ") if merges else []
        return tokens[::2], tokens[1::2]
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    for pair, merge in zip(pairs, merges, strict=True):
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], str)):
            raise ModelError(
                f"{str(path)!r}: a merge must be two tokens with a blank between them, got {shown(merge)}; fetch the file again"
            )
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
