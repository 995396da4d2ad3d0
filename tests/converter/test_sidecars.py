"""What lies beside the packages is checked before anything is converted, however it was changed since."""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sdrt.models
from converter.options import ConvertOptions
from converter.sidecars import check_folder, write_sidecars
from converter.sizes import resolve_sizes
from converter.source import Source, open_source
from sdrt.errors import ConversionError, ModelError, SdrtError

NANO = Path(sdrt.models.__file__).parent / "nano"
STRANGE: tuple[Any, ...] = (None, -1, "x\x1b", [1], {"a": 1}, [[1, 2], [3]])
RAW = (b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 5000, b'{"a":' * 5000, b"1" * 5000, b'{"coreml": 5}', b'{"coreml": {"traces": [1]}}')


@pytest.fixture(scope="module")
def source() -> Source:
    return open_source(ConvertOptions(model="nano", out=Path()))


def write(out: Path, source: Source) -> None:
    sizes = resolve_sizes(source, ConvertOptions(model="nano", out=out))
    write_sidecars(out, source, sizes, converted=("unet",), refiner=None, controlnets={}, traces={})


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of each value down to the third level."""
    yield place
    if isinstance(value, dict) and len(place) < 3:
        for key, inner in value.items():
            yield from places(inner, (*place, key))


def with_value(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed = copy.deepcopy(content)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


def test_no_value_in_an_earlier_description_ends_in_a_traceback(tmp_path: Path, source: Source) -> None:
    write(tmp_path, source)
    file = tmp_path / "sdrt.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    texts = [json.dumps(with_value(content, place, value)).encode() for place in places(content) for value in STRANGE]
    refusals = []
    for text in (*texts, *RAW):
        file.write_bytes(text)
        try:
            check_folder(tmp_path, source)
            write(tmp_path, source)
        except SdrtError as error:
            refusals.append(str(error))
    assert len(texts) > 150
    assert len(refusals) > 30
    assert all(map(str.isprintable, refusals))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"coreml": 5}, r"sdrt.json: coreml must be a mapping.* got 5; correct the value, or remove the file"),
        ({"coreml": {"name": 3}}, r"sdrt.json: coreml.name must be a Unicode string .* got 3"),
        ({"coreml": {"traces": []}}, r"coreml.traces must be a mapping.* got \[\]"),
        ({"coreml": {"sizes": [[64]]}}, r"coreml.sizes must be a list .* got \[\[64\]\]"),
        ({"coreml": {"name": "a\nb"}}, r"must hold the packages of 'nano' alone, got those of 'a\\nb'"),
    ],
)
def test_a_refusal_names_the_key(tmp_path: Path, source: Source, content: Any, text: str) -> None:
    (tmp_path / "sdrt.json").write_text(json.dumps(content))
    with pytest.raises(ConversionError, match=text):
        check_folder(tmp_path, source)


def test_preferences_that_a_user_wrote_stay(tmp_path: Path, source: Source) -> None:
    (tmp_path / "sdrt.json").write_text('{"num_inference_steps": 7}')
    sizes = resolve_sizes(source, ConvertOptions(model="nano", out=tmp_path))
    write_sidecars(tmp_path, source, sizes, converted=(), refiner=None, controlnets={}, traces={})
    assert json.loads((tmp_path / "sdrt.json").read_text())["num_inference_steps"] == 7


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b'{"a": "b"}', b"{", b'{"a": 1e999}'])
@pytest.mark.parametrize("name", ["vocab.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_tokenizer_that_cannot_be_read_is_found_before_the_conversion(tmp_path: Path, name: str, content: bytes) -> None:
    folder = shutil.copytree(NANO, tmp_path / "mine")
    (folder / "tokenizer" / name).write_bytes(content)
    source = open_source(ConvertOptions(model=str(folder), out=tmp_path))
    harmless = name == "tokenizer_config.json" and content.startswith(b'{"')
    if harmless:
        check_folder(tmp_path / "out", source)
        return
    with pytest.raises(ModelError):
        check_folder(tmp_path / "out", source)


def test_a_byte_order_mark_does_not_reach_the_packages(tmp_path: Path) -> None:
    folder = shutil.copytree(NANO, tmp_path / "mine")
    for name in ("vocab.json", "merges.txt"):
        file = folder / "tokenizer" / name
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    write(tmp_path, open_source(ConvertOptions(model=str(folder), out=tmp_path)))
    for name in ("vocab.json", "merges.txt"):
        assert (tmp_path / name).read_bytes() == (NANO / "tokenizer" / name).read_bytes()


def test_the_last_merge_has_an_end(tmp_path: Path) -> None:
    """Without one, Apple's Swift package reads one merge less."""
    folder = shutil.copytree(NANO, tmp_path / "mine")
    file = folder / "tokenizer" / "merges.txt"
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    write(tmp_path, open_source(ConvertOptions(model=str(folder), out=tmp_path)))
    assert (tmp_path / "merges.txt").read_bytes() == (NANO / "tokenizer" / "merges.txt").read_bytes()
