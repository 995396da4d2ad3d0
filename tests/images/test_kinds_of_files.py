"""Files of every kind become the picture that their writer saw, or are refused in one line."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers.utils import load_image
from PIL import Image, ImageCms

from sdrt.errors import ImageError
from sdrt.images import open_picture
from sdrt.images.inputs import size_of, to_soft_mask, to_unit
from sdrt.limits import Limits

COLOUR = (200, 120, 40)


def png(depth: int, kind: int, samples: np.ndarray[Any, Any]) -> bytes:
    """A PNG of any depth and kind of colour, which Pillow writes few of; samples u16[H,W,C]."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, _ = samples.shape
    packed = samples.astype(">u2" if depth == 16 else "u1").reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def unit(content: bytes, folder: Path, **options: Any) -> np.ndarray[Any, Any]:
    """The picture in a file, f32[H,W,3]."""
    (folder / "a").write_bytes(content)
    picture = open_picture(folder / "a")
    pixels: np.ndarray[Any, Any] = to_unit("image", picture, *size_of("image", picture), **options)[0].transpose(1, 2, 0)
    return pixels


def peer(folder: Path) -> np.ndarray[Any, Any]:
    """The same file as diffusers reads it."""
    with Image.open(folder / "a") as image:
        return np.asarray(load_image(image))


def written(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def test_colours_of_sixteen_bits_are_their_upper_eight_as_in_diffusers(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (6, 5, 4))
    for kind, channels in ((2, samples[..., :3]), (6, np.concatenate([samples[..., :3], np.full((6, 5, 1), 65535)], axis=2))):
        got = unit(png(16, kind, channels), tmp_path)
        np.testing.assert_array_equal(got, (samples[..., :3] >> 8).astype(np.float32) / np.float32(255))
        np.testing.assert_allclose(got * 255, peer(tmp_path), atol=0.01)


def test_greys_of_sixteen_bits_keep_them(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 30).astype(np.uint16).reshape(6, 5, 1)
    np.testing.assert_array_equal(unit(png(16, 0, ramp), tmp_path), np.repeat(ramp / np.float32(65535), 3, axis=2))
    # with transparency they have eight
    clear = np.concatenate([ramp, np.where(np.arange(30).reshape(6, 5, 1) < 15, 0, 65535)], axis=2)
    got = unit(png(16, 4, clear), tmp_path, background="#ff0000")
    np.testing.assert_array_equal(got[:3], np.broadcast_to([1, 0, 0], (3, 5, 3)))
    np.testing.assert_array_equal(got[3:, :, 0], (ramp[3:, :, 0] >> 8).astype(np.float32) / np.float32(255))


def flat(mode: str = "RGB") -> Image.Image:
    return Image.new("RGB", (8, 6), COLOUR).convert(mode)


def animation(form: str) -> bytes:
    frames = [flat(), Image.new("RGB", (8, 6), "blue"), Image.new("RGB", (8, 6), "black")]
    return written(frames[0], form, save_all=True, append_images=frames[1:], **({"lossless": True} if form == "webp" else {}))


def profiled(form: str) -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    return written(flat(), form, icc_profile=profile, **({"quality": 100, "subsampling": 0} if form == "jpeg" else {}))


FILES: dict[str, Callable[[], bytes]] = {
    "palette": lambda: written(flat().convert("P", palette=Image.Palette.ADAPTIVE), "png"),
    "gif": lambda: written(flat(), "gif"),
    "animated gif": lambda: animation("gif"),
    "animated png": lambda: animation("png"),
    "animated webp": lambda: animation("webp"),
    "several pages": lambda: animation("tiff"),
    "cmyk tiff": lambda: written(flat("CMYK"), "tiff"),
    # inverted, as Photoshop does it, which its marker says
    "cmyk jpeg": lambda: written(flat("CMYK"), "jpeg", quality=100, subsampling=0),
    "bmp": lambda: written(flat(), "bmp"),
    "profile png": lambda: profiled("png"),
    "profile jpeg": lambda: profiled("jpeg"),
    "opaque": lambda: written(flat("RGBA"), "png"),
    "ppm": lambda: written(flat(), "ppm"),
    "tga": lambda: written(flat(), "tga"),
    "ico": lambda: written(flat(), "ico", sizes=[(8, 6)]),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_shows_its_colour(tmp_path: Path, kind: str) -> None:
    """Profiles are ignored, and of several frames the first is taken, as in diffusers."""
    got = unit(FILES[kind](), tmp_path) * 255
    assert got.shape == (6, 8, 3)
    assert np.abs(got - COLOUR).max() <= (3 if "jpeg" in kind else 0.01)
    np.testing.assert_allclose(got, peer(tmp_path), atol=0.01)


@pytest.mark.parametrize("form", ["gif", "png", "webp"])
def test_the_transparency_of_a_file_shows_its_background(tmp_path: Path, form: str) -> None:
    image = flat("RGBA")
    image.putalpha(Image.fromarray(np.where(np.arange(8) < 4, 0, 255).astype(np.uint8)[None].repeat(6, 0)))
    content = written(image, form, **({"lossless": True} if form == "webp" else {}))
    got = unit(content, tmp_path, background="#0000ff") * 255
    np.testing.assert_array_equal(got[:, :4], np.broadcast_to([0, 0, 255], (6, 4, 3)))
    assert np.abs(got[:, 4:] - COLOUR).max() < 1
    # and is the mask
    np.testing.assert_array_equal(to_soft_mask("mask_image", open_picture(tmp_path / "a"), 6, 8)[0, 0], [[0] * 4 + [1] * 4] * 6)


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000), (20_000, 30)])
def test_pictures_of_one_pixel_and_very_wide_ones_are_read(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "a").write_bytes(written(Image.new("RGB", size, COLOUR), "png"))
    picture = open_picture(tmp_path / "a")
    for resize in ("stretch", "crop", "fit"):
        got = to_unit("image", picture, 64, 48, resize)
        np.testing.assert_allclose(got[0, :, 31, 20] * 255, COLOUR, atol=0.5)
        np.testing.assert_allclose(got, np.broadcast_to(got[:, :, :1, :1], got.shape), atol=1 / 255)


def bomb(form: str) -> bytes:
    """A head that says 60,000 x 60,000 pixels, without them."""
    content = bytearray(written(Image.new("L", (8, 6)), form))
    side = {"png": struct.pack(">II", 60_000, 60_000), "gif": struct.pack("<HH", 60_000, 60_000), "bmp": struct.pack("<ii", 60_000, 60_000)}
    start = {"png": 16, "gif": 6, "bmp": 18}[form]
    content[start : start + len(side[form])] = side[form]
    return bytes(content)


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize("form", ["png", "gif", "bmp"])
def test_bombs_are_one_line(tmp_path: Path, form: str) -> None:
    (tmp_path / "a").write_bytes(bomb(form))
    for limits in (Limits(), Limits(pixels=2**33)):
        with pytest.raises(ImageError) as raised:
            open_picture(tmp_path / "a", limits)
        assert str(raised.value).startswith(f"{tmp_path / 'a'}: ")
        assert len(str(raised.value)) < 500


@pytest.mark.parametrize("form", ["png", "jpeg", "gif", "webp", "tiff", "bmp"])
def test_files_that_are_cut_off_are_one_line(tmp_path: Path, form: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    content = written(noise, form)
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "a").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ImageError, match=r"cannot be read|must be a picture"):
            open_picture(tmp_path / "a")


def test_floats_of_a_file_are_refused_where_they_are_used(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(written(Image.new("F", (8, 6), 0.5), "tiff"))
    with pytest.raises(ImageError, match=r"^image must be a picture in colours, in greys or of 16 bits, got mode F, whose values"):
        to_unit("image", open_picture(tmp_path / "a"), 8, 8)
