"""The texts of JPEG and WebP files: read back as they were written, by other tools too, and bounded when they are hostile."""

import io
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdrt.errors import ImageError
from sdrt.images import open_picture, read_text, save_new_picture, save_picture
from sdrt.images.exif import EXIF_MARK, from_exif, to_exif
from sdrt.limits import Limits

TEXT = {"parameters": "a red circle, größer; 円 🟥\nSteps: 20, Seed: 93", "sdrt": '{"prompt": "ein Kreis, größer; 円 🟥"}'}
RED = Image.new("RGB", (16, 24), "red")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(text=st.fixed_dictionaries({}, optional={"parameters": texts.map("Steps: 20 ".__add__), "sdrt": texts}))
def test_a_block_comes_back(text: dict[str, str]) -> None:
    assert from_exif(to_exif(text).removeprefix(EXIF_MARK)) == text


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.webp"])
def test_a_picture_carries_its_texts_and_other_programs_find_them(tmp_path: Path, name: str) -> None:
    save_picture(RED, tmp_path / name, TEXT)
    assert read_text(tmp_path / name) == TEXT
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    with Image.open(tmp_path / name) as image:
        assert image.format == ("WEBP" if name == "a.webp" else "JPEG")
        exif = image.getexif()
        assert exif[0x010E].encode("latin-1").decode() == f"sdrt:{TEXT['sdrt']}"
        comment = exif.get_ifd(0x8769)[0x9286]
    # where AUTOMATIC1111 reads it: piexif.helper.UserComment.load
    assert (comment[:8], comment[8:].decode("utf-16-be")) == (b"UNICODE\0", TEXT["parameters"])
    pixel: Any = open_picture(tmp_path / name).getpixel((8, 8))
    assert max(abs(got - want) for got, want in zip(pixel, (255, 0, 0), strict=True)) < 8


@pytest.mark.parametrize("ending", ["jpg", "webp"])
@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le", "utf-8"])
def test_the_comment_of_another_tool_is_read_in_either_byte_order(tmp_path: Path, ending: str, encoding: str) -> None:
    code = b"ASCII\0\0\0" if encoding == "utf-8" else b"UNICODE\0"
    exif = Image.Exif()
    exif[0x010E] = "a holiday"
    exif.get_ifd(0x8769)[0x9286] = code + TEXT["parameters"].encode(encoding)
    RED.save(tmp_path / f"a.{ending}", exif=exif)
    assert read_text(tmp_path / f"a.{ending}") == {"parameters": TEXT["parameters"]}


def test_a_picture_without_texts_has_none(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.webp"):
        RED.save(tmp_path / name)
        assert read_text(tmp_path / name) == {}
    RED.save(tmp_path / "a.gif")
    with pytest.raises(ImageError, match=r"a\.gif: must be a PNG, JPEG or WebP, got GIF"):
        read_text(tmp_path / "a.gif")


def test_quality_counts_where_something_is_lost(tmp_path: Path) -> None:
    noise = Image.effect_noise((64, 64), 90).convert("RGB")
    for ending in ("jpg", "webp"):
        files = [save_new_picture(noise, tmp_path / f"{quality}.{ending}", TEXT, quality=quality) for quality in (10, None, 100)]
        sizes = [file.stat().st_size for file in files]
        assert sizes == sorted(set(sizes))
    for quality, name, message in (
        (90, "a.png", r"quality must be left out for PNG, which loses nothing, got 90"),
        (0, "a.jpg", r"quality must be a whole number from 1 to 100"),
        (None, "a.gif", r"file must end in \.png, \.jpg, \.jpeg, \.webp, got 'a\.gif'"),
    ):
        with pytest.raises(ImageError, match=message):
            save_picture(RED, tmp_path / name, TEXT, quality=quality)
        assert not (tmp_path / name).exists()


def test_a_text_that_a_jpeg_cannot_hold_is_refused_and_a_webp_holds_it(tmp_path: Path) -> None:
    long = TEXT | {"sdrt": "x" * 65_500}
    with pytest.raises(ImageError, match=r"the texts of a JPEG must fit its EXIF of 65533 bytes, got \d+; write PNG or WebP"):
        save_picture(RED, tmp_path / "a.jpg", long)
    with pytest.raises(ImageError, match=r"must be parameters or sdrt, got workflow; write PNG"):
        save_picture(RED, tmp_path / "a.jpg", {"workflow": "x"})
    assert list(tmp_path.iterdir()) == []
    save_picture(RED, tmp_path / "a.webp", long)
    assert read_text(tmp_path / "a.webp") == long
    with pytest.raises(ImageError, match=r"a\.webp: the bytes of its EXIF must be at most 1000, got"):
        read_text(tmp_path / "a.webp", Limits(json_bytes=1000))


# ---- hostile files


def jpeg_of(block: bytes) -> bytes:
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(block) + 8) + EXIF_MARK + block + b"\xff\xd9"


@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_words(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    ending = data.draw(st.sampled_from(["jpeg", "webp"]))
    stream = io.BytesIO()
    RED.save(stream, format=ending, exif=to_exif(TEXT))
    content = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        # where the structure is, rather than the texts
        at = data.draw(st.integers(0, min(len(content), 120) - 1))
        content[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    file = tmp_path_factory.getbasetemp() / f"damaged.{ending}"
    file.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    with suppress(ImageError):
        assert read_text(file).keys() <= TEXT.keys()


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"MM\0*",
        b"II*\0\xff\xff\xff\xff",
        struct.pack(">2sHLH", b"MM", 42, 8, 65535),
        struct.pack(">2sHLHHHLL", b"MM", 42, 8, 1, 0x010E, 2, 2**32 - 1, 0),
        struct.pack(">2sHLHHHLL", b"MM", 42, 8, 1, 0x8769, 4, 1, 2**32 - 1),
    ],
)
def test_a_damaged_block_is_named(tmp_path: Path, block: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg_of(block))
    with pytest.raises(ImageError, match=r"a\.jpg: cannot be read \(its EXIF is damaged: [^)]*\); pass a whole file"):
        read_text(tmp_path / "a.jpg")


def test_directories_that_name_each_other_are_read_once(tmp_path: Path) -> None:
    """A directory that is its own sub-directory, with as many entries as a segment holds."""
    entry = struct.pack(">HHLL", 0x8769, 4, 1, 8)
    (tmp_path / "a.jpg").write_bytes(jpeg_of(struct.pack(">2sHLH", b"MM", 42, 8, 5000) + entry * 5000 + bytes(4)))
    assert read_text(tmp_path / "a.jpg") == {}
