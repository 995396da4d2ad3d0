"""Input pictures become floats: every mode that Pillow has, turned upright, transparent or of 16 bits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils import load_image
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdrt.errors import ImageError
from sdrt.images import open_picture
from sdrt.images.inputs import digest, to_mask, to_unit, transparency
from sdrt.images.sizes import RESIZES, Resize


def noise(mode: str = "RGB", width: int = 12, height: int = 8, seed: int = 0) -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode)


def photograph(orientation: int) -> Image.Image:
    """A picture that stores how it is to be turned."""
    image = noise("RGB")
    image.getexif()[0x0112] = orientation
    return image


@given(st.sampled_from(["RGB", "L"]), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_ordinary_pictures_equal_diffusers(mode: str, width: int, height: int, to_width: int, to_height: int, seed: int) -> None:
    picture = noise(mode, width, height, seed)
    peer = VaeImageProcessor(vae_scale_factor=1, do_normalize=False, do_convert_rgb=True)
    np.testing.assert_array_equal(to_unit("image", picture, to_height, to_width), peer.preprocess(picture, to_height, to_width).numpy())
    peer = VaeImageProcessor(vae_scale_factor=1, do_normalize=False, do_binarize=True, do_convert_grayscale=True)
    np.testing.assert_array_equal(
        to_mask("mask_image", picture, to_height, to_width), peer.preprocess(picture, to_height, to_width).numpy()
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_as_diffusers_turns_them(tmp_path: Path, orientation: int) -> None:
    file = tmp_path / "photograph.png"
    noise().save(file, exif=photograph(orientation).getexif())
    upright = load_image(str(file))
    assert upright.size == ((12, 8) if orientation < 5 else (8, 12))
    np.testing.assert_array_equal(np.asarray(open_picture(file)), np.asarray(upright))
    with Image.open(file) as stored:
        for picture in (open_picture(file), stored):
            np.testing.assert_array_equal(
                to_unit("image", picture, *upright.size[::-1])[0], np.asarray(upright).transpose(2, 0, 1) / np.float32(255)
            )
            # once, and not again with each use
            assert digest("image", picture) == digest("image", upright)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I"])
def test_sixteen_bits_are_divided_by_their_maximum(mode: str) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(1, 64)
    dtype: Any = {"I": np.int32, "I;16B": ">u2"}.get(mode, "<u2")
    picture = Image.frombytes(mode, (64, 1), ramp.astype(dtype).tobytes())
    expected = ramp.astype(np.float32) / np.float32(65535)
    np.testing.assert_array_equal(to_unit("control_image", picture, 1, 64), np.broadcast_to(expected, (1, 3, 1, 64)))
    assert to_mask("mask_image", picture, 1, 64).sum() == 32
    resized = to_unit("control_image", picture, 1, 32)
    assert np.abs(resized[0, 0, 0] - expected[0].reshape(32, 2).mean(1)).max() < 0.01
    assert (resized.min(), resized.max()) >= (0, 0.98)
    assert resized.max() <= 1


def test_a_png_of_sixteen_bits_comes_from_its_file(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "depth.png")
    got = to_unit("control_image", open_picture(tmp_path / "depth.png"), 16, 16)
    np.testing.assert_array_equal(got[0, 1], ramp / np.float32(65535))


def test_transparent_pixels_show_white_and_not_their_hidden_colour() -> None:
    pixels = np.asarray(noise("RGBA")).copy()
    pixels[..., 3] = np.where(np.arange(12) < 6, 0, 255)
    got = to_unit("image", Image.fromarray(pixels), 8, 12)[0].transpose(1, 2, 0)
    assert (got[:, :6] == 1).all()
    np.testing.assert_array_equal(got[:, 6:], pixels[:, 6:, :3] / np.float32(255))
    pixels[..., 3] = 255
    np.testing.assert_array_equal(
        to_unit("image", Image.fromarray(pixels), 5, 9), to_unit("image", Image.fromarray(pixels[..., :3].copy()), 5, 9)
    )


@pytest.mark.parametrize("resize", RESIZES)
def test_a_colour_stands_behind_what_is_transparent(resize: Resize) -> None:
    pixels = np.full((8, 12, 4), 255, np.uint8)
    pixels[..., 3] = 51
    got = to_unit("image", Image.fromarray(pixels), 16, 24, resize, "#ff8000")[0, :, 8, 12] * 255
    np.testing.assert_allclose(got, [255, 128 + 25.4, 51], atol=1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "L"])
def test_the_transparency_of_a_mask_is_the_mask(mode: str) -> None:
    opaque = np.zeros((8, 12), np.uint8)
    opaque[2:5, 3:9] = 255
    if mode in ("P", "L"):
        picture = Image.fromarray(np.where(opaque == 255, 0, 255).astype(np.uint8)).convert(mode)
        picture.info["transparency"] = picture.getpixel((0, 0))
    else:
        picture = Image.new(mode, (12, 8))
        picture.putalpha(Image.fromarray(opaque))
    np.testing.assert_array_equal(to_mask("mask_image", picture, 8, 12)[0, 0], opaque == 255)
    # opaque everywhere: its brightness counts
    white = Image.new("RGBA", (12, 8), (255, 255, 255, 255))
    assert to_mask("mask_image", white, 8, 12).all()
    assert not to_mask("mask_image", Image.new("RGBA", (12, 8), (0, 0, 0, 255)), 8, 12).any()


@pytest.mark.parametrize("mode", ["P", "1", "CMYK", "YCbCr", "HSV", "RGBX", "LA", "PA", "RGBa"])
def test_other_modes_are_resized_in_colours(mode: str) -> None:
    source = noise("L" if mode in ("1", "LA", "PA") else "RGB").resize((48, 32), Image.Resampling.BICUBIC)
    picture = source.convert("RGBA" if mode == "RGBa" else mode).convert(mode)
    plain = picture.convert("RGBA" if mode == "RGBa" else mode).convert("RGB")
    np.testing.assert_array_equal(to_unit("image", picture, 16, 24), to_unit("image", plain, 16, 24))
    np.testing.assert_array_equal(to_mask("mask_image", picture, 16, 24), to_mask("mask_image", plain, 16, 24))


def test_the_digest_of_a_palette_picture_holds_its_colours() -> None:
    one, two = (Image.new("P", (4, 4)) for _ in range(2))
    one.putpalette([10, 20, 30])
    two.putpalette([90, 20, 30])
    assert one.tobytes() == two.tobytes()
    assert digest("image", one) != digest("image", two)


def test_digests_are_those_that_records_of_earlier_versions_hold() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert digest("image", pixels[..., :3]) == "aba092417e39d1c79b3c15bc29d8667ff28194ff5ff9546bcab5c16901764b71"
    assert digest("image", pixels[..., 0]) == "b16b843081166d2f5eb38f5a78b9d862b39e120d221614fe14f121a79ffbfef4"
    assert digest("image", Image.fromarray(pixels)) == "9e6df6bf33dd8f11021542bc47f662cdb79be88ec29c1d1e4746ab62184def8a"


CLOSED = noise()
CLOSED.close()


@pytest.mark.parametrize(
    ("picture", "got"),
    [
        (Image.new("F", (4, 4)), "got mode F, whose values may mean anything; convert it to RGB first"),
        (Image.new("LAB", (4, 4)), "got mode LAB; convert it to RGB first"),
        (Image.new("RGB", (0, 4)), "must have pixels, got a picture of 0x4"),
        (Image.new("I", (4, 4), 70000), "must have values from 0 to 65535 in mode I, got 70000 to 70000"),
        (Image.new("I", (4, 4), -1), "must have values from 0 to 65535 in mode I, got -1 to -1"),
        (CLOSED, "cannot be read"),
        (np.zeros((4, 4, 3), np.float32), "got float32[4, 4, 3]"),
        (np.zeros((4, 4, 4), np.uint8), "got uint8[4, 4, 4]"),
        (np.zeros((1, 4, 4, 3), np.uint8), "got uint8[1, 4, 4, 3]"),
        (np.zeros((0, 4, 3), np.uint8), "got uint8[0, 4, 3]"),
        (np.zeros((), np.uint8), "got uint8[]"),
        ([[0, 1], [1, 0]], "got list"),
        ("photo.png", "got str; open a file with sdrt.images.open_picture first"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_picture_is_one_line(picture: Any, got: str) -> None:
    for use in (lambda: to_unit("image", picture, 4, 4), lambda: to_mask("image", picture, 4, 4)):
        with pytest.raises(ImageError) as raised:
            use()
        assert str(raised.value).startswith("image ")
        assert got in str(raised.value)


def test_a_file_that_is_cut_off_is_one_line_where_its_pixels_are_read(tmp_path: Path) -> None:
    noise(width=200, height=200).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:3000])
    with Image.open(tmp_path / "cut.png") as picture, pytest.raises(ImageError, match=r"^image cannot be read \(image file is truncated"):
        to_unit("image", picture, 8, 8)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa", "P"])
def test_how_transparent_a_picture_is(mode: str) -> None:
    opaque = noise("RGB")
    assert transparency("picture", opaque, 8, 12) is None
    holed = opaque.convert("RGBA")
    channel = np.full((8, 12), 255, np.uint8)
    channel[:, 6:] = 0
    holed.putalpha(Image.fromarray(channel))
    clear = transparency("picture", holed.convert(mode), 8, 12)
    assert clear is not None
    np.testing.assert_array_equal(clear[0, 0], 1 - channel / np.float32(255))
    doubled = transparency("picture", holed.convert(mode), 16, 24)
    assert doubled is not None
    np.testing.assert_array_equal(doubled[0, 0] >= 0.5, np.repeat(np.repeat(channel == 0, 2, axis=0), 2, axis=1))
