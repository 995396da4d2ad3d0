"""The files of a tokenizer, and its calls."""

import json
from functools import cache
from typing import Any

from sdrt.tokenizer import ClipTokenizer
from tests.fuzz.damage import damaged, damaged_file, damaged_json
from tests.fuzz.drawing import Draw, overwrite
from tests.fuzz.values import HOSTILE_TEXTS, TEXT, WHOLE_FLOAT, any_value, ascii_of, wrong_kinds

_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json")


@cache
def _clip() -> ClipTokenizer:
    return ClipTokenizer.clip()


def files(draw: Draw) -> str | None:
    """A tokenizer's folder of which one file is damaged."""
    folder = draw.copy_of(draw.materials.nano / "tokenizer")
    name = draw.choice((*_SETTINGS, "vocab.json", "merges.txt"))
    file = folder / name
    changed: dict[str, Any] = {}
    if name == "merges.txt":
        overwrite(file, damaged(draw, file.read_bytes(), 10**6)) if draw.chance(0.8) else damaged_file(draw, file)
    elif name == "vocab.json":
        vocabulary = json.loads(file.read_text())
        few = {key: vocabulary[key] for key in list(vocabulary)[:: draw.choice((1, 2, 300))]}
        overwrite(file, damaged_json(draw, few if draw.chance(0.3) else vocabulary)[0])
    else:
        content = json.loads(file.read_text()) if file.exists() else _made_up(folder)[name]
        data, changes = damaged_json(draw, content)
        overwrite(file, data)
        changed = {path[0]: value for path, value in changes if len(path) == 1}
    tokenizer = ClipTokenizer.load(folder)
    _use(draw, tokenizer, "a red circle, (blue:1.2) <|endoftext|> é")
    return wrong_kinds(changed, {"model_max_length": WHOLE_FLOAT} if name == "tokenizer_config.json" else {})


def _made_up(folder: Any) -> dict[str, Any]:
    vocabulary = json.loads((folder / "vocab.json").read_text())
    merges = (folder / "merges.txt").read_text().splitlines()[1:]
    token = {"id": 5, "content": "<cat>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    return {
        "added_tokens.json": {"<cat>": len(vocabulary)},
        "tokenizer.json": {
            "model": {"type": "BPE", "vocab": vocabulary, "merges": [merge for merge in merges if merge]},
            "added_tokens": [{**token, "id": len(vocabulary)}],
        },
    }


def _use(draw: Draw, tokenizer: ClipTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    tokenizer.decode(ids)
    draw.note(f"{len(ids)} ids")


def calls(draw: Draw) -> str | None:
    """Calls of a sound tokenizer."""
    call = draw.choice(("encode", "decode", "clip", "with_embeddings", "batch", "load"))
    draw.note(call)
    value: Any = draw.choice(HOSTILE_TEXTS) if draw.chance(0.4) else any_value(draw)
    draw.note(ascii_of(value))
    tokenizer = _clip()
    if call == "encode":
        ids = tokenizer.encode(value)
        return wrong_kinds({"text": value}, {"text": TEXT}) or (None if all(type(i) is int for i in ids) else "ids that are no ints")
    if call == "decode":
        text = tokenizer.decode(value if draw.chance(0.7) else [value])
        return None if isinstance(text, str) else f"no text: {text!r}"
    if call == "clip":
        which = draw.choice(("pad_token", "model_max_length"))
        ClipTokenizer.clip(**{which: value})
        return None
    if call == "with_embeddings":
        token: Any = value if draw.chance(0.5) else {draw.choice(("<cat>", "", "a b", "dog")): value}
        tokenizer.with_embeddings(token).encode("a <cat>")
        return None
    if call == "load":
        ClipTokenizer.load(value)
        return None
    tokenizer.batch(value if draw.chance(0.5) else [value])
    return None


GENERATORS = {"tokenizer-files": files, "tokenizer-calls": calls}
