"""Folders: every published form gives transformers' ids, and a broken one is named in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from sdrt.errors import MissingFileError, ModelError
from sdrt.tokenizer import ClipTokenizer
from tests.tokenizer.peer import BOS, EOS, TINY, TINY_TOKENS, added, open_peer, typed, write_folder

CONFIG_1 = {"bos_token": typed(BOS), "eos_token": typed(EOS), "unk_token": typed(EOS), "pad_token": EOS, "model_max_length": 77}
MAP_1 = {"bos_token": added(BOS), "eos_token": added(EOS), "unk_token": added(EOS), "pad_token": EOS}
BY_ID = {"15": added(BOS, special=True), "16": added(EOS, special=True), "11": added("!</w>", normalized=False, special=True)}

# The settings beside the vocabulary; the first three are those of published models.
FORMS: dict[str, dict[str, Any]] = {
    "stable diffusion 1": {"tokenizer_config.json": CONFIG_1, "special_tokens_map.json": MAP_1},
    "stable diffusion 2": {"tokenizer_config.json": CONFIG_1, "special_tokens_map.json": MAP_1 | {"pad_token": "!"}},
    "xl, second": {
        "tokenizer_config.json": {
            "added_tokens_decoder": BY_ID,
            "bos_token": BOS,
            "eos_token": EOS,
            "unk_token": EOS,
            "pad_token": "!</w>",
        },
        "special_tokens_map.json": MAP_1,
    },
    "nothing": {},
    "config alone": {"tokenizer_config.json": CONFIG_1},
    "map alone": {"special_tokens_map.json": MAP_1},
    "strings": {"tokenizer_config.json": {"bos_token": BOS, "eos_token": EOS, "pad_token": "!", "model_max_length": 12}},
    "no limit": {"tokenizer_config.json": {"model_max_length": 10**30}},
    "config pads, map overrides": {"tokenizer_config.json": CONFIG_1 | {"pad_token": "!"}, "special_tokens_map.json": MAP_1},
    "end normalized, unknown as typed": {"tokenizer_config.json": {"eos_token": typed(EOS), "unk_token": EOS, "pad_token": "!"}},
    "end as typed, unknown normalized": {"tokenizer_config.json": {"eos_token": EOS, "unk_token": typed(EOS), "pad_token": "!"}},
    "padding normalized": {"tokenizer_config.json": {"pad_token": typed(EOS)}},
    "equal flags twice": {
        "tokenizer_config.json": {"eos_token": typed(EOS), "unk_token": typed(EOS, normalized=False), "pad_token": typed(EOS)}
    },
    "other names": {"tokenizer_config.json": {"bos_token": "<BOS>", "mask_token": "<mask>", "foo_token": "<Foo>"}},
    "inversions": {
        "tokenizer_config.json": CONFIG_1,
        "special_tokens_map.json": MAP_1,
        "added_tokens.json": {"<cat-toy>": 17, "MyTok": 18},
    },
    "inversions by id": {
        "tokenizer_config.json": {"added_tokens_decoder": {"17": added("<Cat  toy>", lstrip=True), "18": added("cab", normalized=False)}}
    },
    "nested": {"added_tokens.json": {"ca": 17, "cabb": 18, "cab": 19}},
    "more specials": {"tokenizer_config.json": {"additional_special_tokens": ["<x>", typed("<Y>")]}},
    "more specials in the map": {"special_tokens_map.json": {"extra_special_tokens": ["<x>", added("<Y>")]}},
}
TEXTS = [
    *("", "a!b !! c", "<|ENDOFTEXT|> abc <|endoftext|>x<|StartOfText|>", "<BOS><bos>b <mask> <MASK> <foo>a<Foo>", "'s |a| <|"),
    *(
        "<cat-toy> mytok MYTOKx cab",
        "a<cat \t toy>b<CAT TOY>c<Cat  toy>",
        "cabbage CAB cabb ca",
        "<X><x> <y> <Y>",
        "!</w> !</W>a!</w>!",
        "abc " * 40,
    ),
]


def assert_equal(ours: ClipTokenizer, peer: Any) -> None:
    length = min(peer.model_max_length, 77)
    assert ours.model_max_length == length
    assert (ours.bos_token_id, ours.eos_token_id, ours.pad_token_id) == (peer.bos_token_id, peer.eos_token_id, peer.pad_token_id)
    assert ours.vocab_size == len(peer)
    ours = ours.as_transformers()
    for text in TEXTS:
        ids = peer(text).input_ids
        assert ours.encode(text) == ids, text
        assert ours.batch([text]).input_ids.tolist() == peer([text], padding="max_length", truncation=True, max_length=length).input_ids
        for skip in (True, False):
            assert ours.decode(ids, skip_special_tokens=skip) == peer.decode(ids, skip_special_tokens=skip)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_equals_transformers(form: str, tmp_path: Path) -> None:
    """As files of two generations, and as the single tokenizer.json that transformers saves."""
    folder = write_folder(tmp_path / "old", TINY | FORMS[form])
    peer = open_peer(folder)
    assert_equal(ClipTokenizer.load(folder), peer)
    peer.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new" / "vocab.json").exists()
    assert_equal(ClipTokenizer.load(tmp_path / "new"), open_peer(tmp_path / "new"))


def test_forms_differ(tmp_path: Path) -> None:
    """The table above tests something: special tokens change the ids of the same prompts."""
    found = set()
    for number, files in enumerate(FORMS.values()):
        tokenizer = ClipTokenizer.load(write_folder(tmp_path / str(number), TINY | files))
        found.add(str([tokenizer.encode(text) for text in TEXTS]))
    assert len(found) > 10


def test_real_vocabulary_in_every_layout(clip_folder: Path, tmp_path: Path, tokenizer: ClipTokenizer, peer: Any) -> None:
    """vocab.json with merges.txt, with Apple's merges.text, with Windows' line ends, and tokenizer.json with merges of either form."""
    texts = ["a photo of a caf\u00e9", "SUPERCALIFRAGILISTIC 42!", "\u7f8e\u3057\u3044\u7d75 \u2764\ufe0f"]
    expected = [tokenizer.encode(text) for text in texts]
    vocab, merges = ((clip_folder / name).read_text(encoding="utf-8") for name in ("vocab.json", "merges.txt"))
    peer.save_pretrained(tmp_path / "new")
    model = json.loads((tmp_path / "new" / "tokenizer.json").read_text(encoding="utf-8"))
    model["model"]["merges"] = [" ".join(pair) for pair in model["model"]["merges"]]
    folders = [
        clip_folder,
        write_folder(tmp_path / "apple", {"vocab.json": vocab, "merges.text": "#version: 0.2\n" + merges}),
        write_folder(tmp_path / "windows", {"vocab.json": vocab, "merges.txt": merges.replace("\n", "\r\n")}),
        tmp_path / "new",
        write_folder(tmp_path / "strings", {"tokenizer.json": model}),
    ]
    for folder in folders:
        assert [ClipTokenizer.load(folder).encode(text) for text in texts] == expected, folder


def test_words_of_bytes_that_the_vocabulary_lacks_become_unknown(tiny_folder: Path) -> None:
    tokenizer = ClipTokenizer.load(tiny_folder)
    assert tokenizer.encode("axb") == [TINY_TOKENS.index(token) for token in (BOS, "a", EOS, "b</w>", EOS)]


VOCAB: dict[str, int] = {token: i for i, token in enumerate(TINY_TOKENS)}
MERGES = TINY["merges.txt"]
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 862328\n"
MODEL = {"type": "BPE", "vocab": VOCAB, "merges": ["a a"]}
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no vocabulary": ({"merges.txt": MERGES}, "vocab.json is missing in '.*'; fetch the folder again"),
    "no merges": ({"vocab.json": VOCAB}, "merges.txt is missing in '.*'; fetch the folder again"),
    "pointer": (
        {"vocab.json": POINTER, "merges.txt": MERGES},
        "vocab.json: a Git-LFS pointer, not the file itself; run 'git lfs pull'",
    ),
    "pointer to merges": ({"vocab.json": VOCAB, "merges.txt": POINTER}, "merges.txt: a Git-LFS pointer, not the file itself"),
    "pointer to all": ({"tokenizer.json": POINTER}, "tokenizer.json: a Git-LFS pointer, not the file itself"),
    "cut JSON": (
        {"vocab.json": '{"a": 0', "merges.txt": MERGES},
        "vocab.json: not readable as JSON (.*); fetch it again",
    ),
    "a list": ({"vocab.json": ["a"], "merges.txt": MERGES}, "vocab.json' must hold a JSON object, got list"),
    "an empty vocabulary": ({"vocab.json": {}, "merges.txt": MERGES}, "each token must have an id"),
    "ids as text": ({"vocab.json": {"a": "0"}, "merges.txt": ""}, "each token must have an id, a whole number below 1048576, got others"),
    "a negative id": ({"vocab.json": {"a": -1}, "merges.txt": ""}, "each token must have an id, a whole number below 1048576, got others"),
    "shared ids": ({"vocab.json": VOCAB | {"x": 0}, "merges.txt": ""}, "each token must have its own id, got 17 ids for 18 tokens"),
    "strange merge": (
        {"vocab.json": VOCAB, "merges.txt": "x y\n"},
        "a merge must join tokens of the vocabulary, got 'x'; take both files from one model",
    ),
    "merge without result": ({"vocab.json": VOCAB, "merges.txt": "c a\n"}, "a merge must join tokens of the vocabulary, got 'ca'"),
    "merge of three": (
        {"vocab.json": VOCAB, "merges.txt": "a a\na b c\n"},
        "a merge must be two tokens with a blank between them, got 'a b c'",
    ),
    "bytes missing": (
        {"vocab.json": {"a": 0}, "merges.txt": ""},
        r"must have all bytes, .* or its unknown token '<\|endoftext\|>', got 511 of 512 missing",
    ),
    "another model": ({"tokenizer.json": {"model": {"type": "Unigram"}}}, "CLIP's tokenizer must be of type BPE, got 'Unigram'"),
    "no merges in one": ({"tokenizer.json": {"model": {"type": "BPE", "vocab": VOCAB}}}, "merges must be a list, got NoneType"),
    "merges of numbers": (
        {"tokenizer.json": {"model": MODEL | {"merges": [[1, 2]]}}},
        r"a merge must be two tokens with a blank between them, got \[1, 2\]",
    ),
    "no model": ({"tokenizer.json": {"added_tokens": []}}, "merges must be a list, got NoneType"),
    "a model that is a list": ({"tokenizer.json": {"model": []}}, "model must be an object, got list"),
    "a token that is a number": (
        TINY | {"tokenizer_config.json": {"pad_token": 0}},
        "a token must be a string, or an object with its content, got 0",
    ),
    "an empty token": (
        TINY | {"tokenizer_config.json": {"pad_token": ""}},
        "a token must be a string, or an object with its content, got ''",
    ),
    "whole words only": (
        TINY | {"tokenizer_config.json": {"pad_token": typed("a", single_word=True)}},
        "in the token 'a', single_word must be false, got true",
    ),
    "an added id that is none": (TINY | {"added_tokens.json": {"<x>": "y"}}, "the id of an added token must be a whole number, got 'y'"),
    "an added id beyond": (
        TINY | {"added_tokens.json": {"<x>": 99}},
        "added token '<x>' must have the id 17 of this vocabulary, got 99 in its file",
    ),
    "a short row": (
        TINY | {"tokenizer_config.json": {"model_max_length": 1}},
        "model_max_length must be a whole number from 3 to 65536, got 1",
    ),
    "a length in words": (
        TINY | {"tokenizer_config.json": {"model_max_length": "77"}},
        "model_max_length must be a whole number from 3 to 65536, got '77'",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_named(case: str, tmp_path: Path) -> None:
    files, message = BROKEN[case]
    with pytest.raises(ModelError, match=message) as caught:
        ClipTokenizer.load(write_folder(tmp_path, files))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, MissingFileError) == ("missing in" in message)


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"a tokenizer must be a folder, got '.*nowhere'; check the path"):
        ClipTokenizer.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_a_byte_order_mark_is_no_part_of_a_file(name: str, tmp_path: Path) -> None:
    plain = ClipTokenizer.load(write_folder(tmp_path, TINY)).encode("aab b")
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + (tmp_path / name).read_bytes())
    assert ClipTokenizer.load(tmp_path).encode("aab b") == plain


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, TINY)
    (tmp_path / "merges.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match=r"merges.txt: must be text in UTF-8, got the byte 0xff at 0; fetch it again"):
        ClipTokenizer.load(tmp_path)
