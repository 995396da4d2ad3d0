"""Whatever is passed to a tokenizer, or stands in its files, is read, or refused by an SdrtError of one line."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from sdrt.errors import ModelError, SdrtError
from sdrt.prompt import check_emphasis, chunk_prompt, escape, foreign_syntax, parse
from sdrt.tokenizer import ClipTokenizer, SwiftTokenizer
from tests.tokenizer.peer import BOS, EOS, TINY, TINY_TOKENS, added, write_folder

VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2,
    77,
    2.5,
    1e30,
    10**30,
    "",
    "5",
    "a",
    EOS,
    "\x00\n\x1b[2J",
    "\ud800",
    "x" * 5000,
    [],
    [1],
    ["a"],
    {},
]
VALUES += [{"content": 5}, {"content": "a", "special": "x"}, [[["a"]]], b"a", object()]

SERIALIZED = {
    "added_tokens": [{"id": 15, "content": BOS, "special": True, "normalized": False}, {"id": 16, "content": EOS, "special": True}],
    "model": {"type": "BPE", "vocab": {token: i for i, token in enumerate(TINY_TOKENS)}, "merges": ["a a", "b c</w>", ["a", "b"]]},
}
FILES: dict[str, Any] = {
    "tokenizer_config.json": {
        "bos_token": BOS,
        "pad_token": added("!"),
        "model_max_length": 12,
        "added_tokens_decoder": {"15": added(BOS), "17": added("!")},
        "additional_special_tokens": ["<x>", added("<Y>")],
    },
    "special_tokens_map.json": {"eos_token": EOS, "pad_token": EOS, "unk_token": added(EOS)},
    "added_tokens.json": {"<z>": 17},
    "tokenizer.json": SERIALIZED,
    "vocab.json": TINY["vocab.json"],
    "merges.txt": TINY["merges.txt"],
}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "call",
    [
        lambda value: ClipTokenizer.load(value),
        lambda value: ClipTokenizer.load("there is no such folder", value),
        lambda value: ClipTokenizer.clip(value),
        lambda value: ClipTokenizer.clip(model_max_length=value),
        lambda value: ClipTokenizer.clip().encode(value),
        lambda value: ClipTokenizer.clip().batch(value),
        lambda value: ClipTokenizer.clip().batch([value]),
        lambda value: ClipTokenizer.clip().decode(value),
        lambda value: ClipTokenizer.clip().decode([value]),
        lambda value: ClipTokenizer.clip().with_embeddings(value),
        lambda value: ClipTokenizer.clip().with_embeddings({"<cat>": value}),
        lambda value: ClipTokenizer.clip().with_embeddings(
            {cast("Any", value) if isinstance(value, str | int) else "": range(49408, 49409)}
        ),
        lambda value: chunk_prompt(value, ClipTokenizer.clip()),
        lambda value: parse(value),
        lambda value: escape(value),
        lambda value: foreign_syntax(value),
        lambda value: check_emphasis(value),
        lambda value: chunk_prompt("a", ClipTokenizer.clip(), value),
        lambda value: chunk_prompt("a", ClipTokenizer.clip(), "plain", value),
    ],
)
def test_any_value_is_taken_or_refused_in_one_line(call: Callable[[Any], object], value: Any) -> None:
    message = ""
    try:
        call(value)
    except SdrtError as error:
        message = str(error)
    assert "\n" not in message
    assert "\x1b" not in message


def mutated(value: Any, rnd: random.Random) -> Any:
    """One entry somewhere in a JSON value, replaced, dropped or added."""
    other = copy.copy(rnd.choice(VALUES[:-2]))
    if isinstance(value, dict) and value and rnd.random() < 0.85:
        key = rnd.choice(list(value))
        if rnd.random() < 0.2:
            return {name: entry for name, entry in value.items() if name != key}
        if rnd.random() < 0.2:
            return {**value, rnd.choice(["a", "model_max_length", "mask_token", ""]): other}
        return {**value, key: mutated(value[key], rnd)}
    if isinstance(value, list) and value and rnd.random() < 0.7:
        at = rnd.randrange(len(value))
        return [*value[:at], mutated(value[at], rnd), *value[at + 1 :]]
    return other


@pytest.mark.parametrize("name", FILES)
def test_a_mutated_file_is_read_or_refused(tmp_path: Path, name: str) -> None:
    rnd = random.Random(name)
    beside = {"tokenizer.json"} if name in ("vocab.json", "merges.txt") else set()
    write_folder(tmp_path, {file: content for file, content in FILES.items() if file not in beside})
    refused = 0
    for _ in range(120):
        text = FILES[name] if isinstance(FILES[name], str) else json.dumps(mutated(FILES[name], rnd))
        data = bytearray(text.encode("utf-8", "surrogatepass"))
        if isinstance(FILES[name], str) or rnd.random() < 0.3:
            at = rnd.randrange(len(data))
            data[at : at + rnd.randrange(3)] = rnd.choice([b"\xef\xbb\xbf", b"\x00", b"[" * 3000, b"9" * 5000, b"\xff", b"", b" ", b"\r\n"])
        (tmp_path / name).write_bytes(data)
        try:
            tokenizer = ClipTokenizer.load(tmp_path)
            for dialect in (tokenizer, tokenizer.as_transformers(), SwiftTokenizer.of(tokenizer)):
                dialect.decode(dialect.batch(["abc! <x>"]).input_ids[0], skip_special_tokens=False)
                chunk_prompt("abc !" * 10, dialect)
        except SdrtError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"model_max_length": 2}, "model_max_length must be a whole number from 3 to 65536, got 2"),
        ({"model_max_length": True}, "model_max_length must be a whole number from 3 to 65536, got True"),
        ({"pad_token": added("!") | {"normalized": "false"}}, "in the token '!', normalized must be true or false, got 'false'"),
        ({"pad_token": added("!") | {"special": 1}}, "in the token '!', special must be true or false, got 1"),
    ],
)
def test_a_value_of_another_kind_is_named(tmp_path: Path, config: dict[str, Any], named: str) -> None:
    with pytest.raises(ModelError, match=named):
        ClipTokenizer.load(write_folder(tmp_path, TINY | {"tokenizer_config.json": config}))


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    plain = ClipTokenizer.load(write_folder(tmp_path / "plain", TINY))
    marked = write_folder(tmp_path / "marked", TINY)
    for file in marked.iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert ClipTokenizer.load(marked).encode("abc aab") == plain.encode("abc aab")
