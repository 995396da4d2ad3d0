"""The shipped data: Unicode tables compared with the peer's behaviour, and CLIP's vocabulary with OpenAI's publication."""

import json
import zlib
from hashlib import sha256
from pathlib import Path

import sdrt.tokenizer
from sdrt.tokenizer.clip_vocabulary import ClipVocabulary
from sdrt.tokenizer.unicode_tables import unicode_tables
from tests.tokenizer.generate_unicode_tables import TABLES, tables
from tests.tokenizer.peer import BOS, EOS, clip_files

ROOM = Path(sdrt.tokenizer.__file__).parent


def test_tables_are_what_the_peer_does() -> None:
    """All of them are queried again, for every code point: kinds, lower case, decompositions, compositions, combining classes."""
    shipped, asked = zlib.decompress(TABLES.read_bytes()).partition(b"\n"), tables().partition(b"\n")
    old, new = json.loads(shipped[0]), json.loads(asked[0])
    del old["source"], new["source"]
    assert old == new
    assert shipped[2] == asked[2]


def test_tables_state_their_age() -> None:
    found = unicode_tables()
    assert found.source == "tokenizers 0.23.3"
    assert found.versions == {"categories": "16.0", "lowercase": "17.0", "nfc": "9.0"}


def test_tables_cover_every_code_point() -> None:
    found = unicode_tables()
    counts = {kind: found.shapes[128:].count(kind) for kind in "z0 !"}
    assert len(found.shapes) == 0x110000
    assert counts == {"z": 141_028 - 52, "0": 1_911 - 10, " ": 25 - 6, "!": 0x110000 - 128 - 140_976 - 1_901 - 19}
    assert found.shapes[:128] == "".join(map(chr, range(128)))


def test_clip_vocabulary_is_the_published_one() -> None:
    """The files in model repositories, byte for byte."""
    texts = clip_files()
    texts["merges.txt"] = "#version: 0.2\n" + texts["merges.txt"]
    files = {name: sha256(text.encode()).hexdigest() for name, text in texts.items()}
    assert files == {
        "vocab.json": "5047b556ce86ccaf6aa22b3ffccfc52d391ea4accdab9c2f2407da5b742d4363",
        "merges.txt": "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a",
    }


def test_clip_vocabulary_follows_from_its_merges() -> None:
    vocabulary = ClipVocabulary()
    tokens = list(vocabulary.tokens.values())
    assert len(tokens) == vocabulary.size == 49_408 == len(set(tokens))
    assert [token + "</w>" for token in tokens[:256]] == tokens[256:512]
    assert ["".join(pair) for pair in vocabulary.merge_tokens] == tokens[512:-2]
    assert tokens[-2:] == [BOS, EOS]
    assert all(vocabulary.find(token) == i for i, token in vocabulary.tokens.items())
    assert vocabulary.find("no such token") is None


def test_shipped_data_is_small_and_has_its_licence() -> None:
    licence = (ROOM / "clip" / "LICENSE").read_text(encoding="utf-8")
    assert "MIT License" in licence
    assert "Copyright (c) 2021 OpenAI" in licence
    assert sum(path.stat().st_size for path in (ROOM / "unicode.bin", ROOM / "clip" / "merges.bin")) < 200_000
