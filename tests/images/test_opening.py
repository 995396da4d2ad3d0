"""Picture files from anywhere are read, or refused in one line."""

import os
import random
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdrt.errors import ImageError
from sdrt.images import open_picture, read_text
from sdrt.images.chunks import SIGNATURE
from sdrt.limits import Limits

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
LARGE = 3_000_000


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*extra: bytes, behind: bytes = b"") -> bytes:
    """A picture with chunks before and behind its pixels."""
    stream = BytesIO()
    Image.fromarray(PIXELS).save(stream, "png")
    whole = stream.getvalue()
    head, end = whole[:33], whole[-12:]
    assert head[12:16] == b"IHDR"
    return head + b"".join(extra) + whole[33:-12] + behind + end


LARGE_TEXTS = {
    "tEXt": chunk(b"tEXt", b"workflow\0" + b"x" * LARGE),
    "zTXt": chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * LARGE)),
    "iTXt": chunk(b"iTXt", b"workflow\0\0\0\0\0" + b"x" * LARGE),
    "iTXt, compressed": chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(b"x" * LARGE)),
}


@pytest.mark.parametrize("kind", LARGE_TEXTS)
def test_a_large_text_is_read_and_so_is_its_picture(tmp_path: Path, kind: str) -> None:
    """Editors of nodes write their whole graph into a picture."""
    file = tmp_path / "a.png"
    small = chunk(b"tEXt", b"parameters\0a red circle")
    for content in (png(small, LARGE_TEXTS[kind]), png(small, behind=LARGE_TEXTS[kind])):
        file.write_bytes(content)
        picture = open_picture(file)
        np.testing.assert_array_equal(np.asarray(picture), PIXELS)
        assert picture.info["parameters"] == "a red circle"
        assert read_text(file) == {"parameters": "a red circle", "workflow": "x" * LARGE}


def test_a_large_colour_profile_does_not_keep_a_picture_from_being_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(LARGE)))))
    np.testing.assert_array_equal(np.asarray(open_picture(tmp_path / "a.png")), PIXELS)


@pytest.mark.parametrize("text", ["plain", "größer", "円 🟥", "", "two\nlines", "\x1b[31m"])
@pytest.mark.parametrize("packed", [False, True])
def test_texts_equal_pillows(tmp_path: Path, text: str, packed: bool) -> None:
    info = PngInfo()
    info.add_text("one", text, zip=packed)
    info.add_itxt("two", text, "de", "zwei", zip=packed)
    Image.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=info)
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert read_text(tmp_path / "a.png") == image.text == {"one": text, "two": text}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10_000_000)))), "must hold at most 1000000 bytes of text, got more"),
        (png(chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(10_000_000)))), "must hold at most 1000000 bytes of text, got more"),
        (png(*[chunk(b"tEXt", b"a\0" + bytes(400_000))] * 3), "must hold at most 1000000 bytes of text, got more"),
        (png(chunk(b"tEXt", b"no key")), "a text without a key"),
        (png(chunk(b"zTXt", b"a\0\0not zlib")), "a text that cannot be decompressed"),
        (png(chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 100)[:-6])), "a text that cannot be decompressed"),
        (png(chunk(b"iTXt", b"a\0\0\0no more")), "a text without its language"),
        (png(chunk(b"tEXt", b"a\0b")[:-1] + b"?"), "a wrong checksum of a text"),
        (png(struct.pack(">I", 2**31 - 1) + b"tEXt"), "cut off after"),
        (png()[:-12], "cut off after"),
        (SIGNATURE, "cut off after 8 bytes"),
        (b"", "must be a PNG, JPEG or WebP, got another kind of file"),
        (b"GIF89a", "must be a PNG, JPEG or WebP, got GIF; sdrt writes its settings into those alone"),
    ],
    ids=range(13),
)
def test_damaged_texts_are_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError) as raised:
        read_text(tmp_path / "a.png", Limits(json_bytes=1_000_000))
    assert str(raised.value).startswith(f"{tmp_path / 'a.png'}: ")
    assert message in str(raised.value)


def _pipe(file: Path) -> None:
    os.mkfifo(file)


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda file: None, "cannot be read (no such file)"),
    "folder": (Path.mkdir, "must be a file, got a folder"),
    "pipe": (_pipe, "must be a file, got a pipe or a device"),
    "link to itself": (lambda file: file.symlink_to(file), "cannot be read (Too many levels of symbolic links)"),
    "empty": (Path.touch, "must be a"),
    "no picture": (lambda file: file.write_text("a red circle"), "must be a"),
    "program": (lambda file: file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "must be a"),
    "cut off": (lambda file: file.write_bytes(png()[:900]), "cannot be read"),
}


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither these pipes nor these links")
@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, kind: str) -> None:
    make, message = UNREADABLE[kind]
    make(tmp_path / "a.png")
    for read in (open_picture, read_text):
        with pytest.raises(ImageError) as raised:
            read(tmp_path / "a.png")
        assert str(raised.value).startswith(f"{tmp_path / 'a.png'}: {message}")


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000 + ".png", "\udcff.png", b"a.png", None, 3])
def test_names_that_no_file_can_have_are_one_line(name: object) -> None:
    for read in (open_picture, read_text):
        with pytest.raises(ImageError, match=r"a picture must be a path|cannot be read|cannot write"):
            read(name)  # type: ignore[arg-type]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="rights do not bind this user")
def test_a_file_that_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(ImageError, match="cannot be read \\(Permission denied\\); pass a picture that you may read"):
        open_picture(tmp_path / "a.png")


def test_more_pixels_than_the_limit_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    """A bomb: 400 million pixels in a few bytes."""
    bomb = (
        SIGNATURE
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b""))
        + png()[-12:]
    )
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(ImageError, match=r"bomb\.png: its pixels must be at most 67108864, got 400000000; "):
        open_picture(tmp_path / "bomb.png")
    (tmp_path / "a.png").write_bytes(png())
    with pytest.raises(ImageError, match=r"its pixels must be at most 767, got 768; raise it with"):
        open_picture(tmp_path / "a.png", Limits(pixels=767))
    with pytest.raises(ImageError, match=r"the bytes of a picture must be at most 100"):
        open_picture(tmp_path / "a.png", Limits(file_bytes=100))


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for name in ("a.gif", "a.webp", "a.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        red, _, blue = open_picture(tmp_path / name).convert("RGB").getpixel((4, 4))  # type: ignore[misc]
        assert red > 200
        assert blue < 50


def test_damaged_bytes_raise_nothing_else(tmp_path: Path) -> None:
    """Bytes changed at random; the same ones each time."""
    source = random.Random(0)
    streams = {}
    for form in ("png", "jpeg", "gif", "bmp", "tiff", "webp"):
        stream = BytesIO()
        Image.fromarray(PIXELS).save(stream, form)
        streams[form] = stream.getvalue()
    streams["png"] = png(LARGE_TEXTS["zTXt"], chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(b"abc")), chunk(b"tEXt", b"sdrt\0{}"))
    messages = []
    for k in range(300):
        content = bytearray(source.choice(list(streams.values())))
        for _ in range(source.choice((1, 4, 30))):
            content[source.randrange(min(len(content), 3000))] = source.randrange(256)
        (tmp_path / "a").write_bytes(content[: source.randrange(len(content))] if k % 5 == 0 else content)
        for read in (open_picture, read_text):
            try:
                read(tmp_path / "a")
            except ImageError as error:
                messages.append(str(error))
    assert len(messages) > 300
    assert max(map(len, messages)) < 2000
