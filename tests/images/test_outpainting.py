"""Out-painting: a larger canvas whose middle is the picture, and a mask of the rest."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdrt.errors import ImageError
from sdrt.images import outpaint
from sdrt.limits import Limits

BORDER = st.integers(0, 40)


def picture(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray[Any, Any]:
    """Noise, red on the left and blue on the right."""
    pixels = np.random.default_rng(seed).integers(0, 40, (height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] += 200
    pixels[:, width // 2 :, 2] += 200
    return pixels


@given(st.integers(1, 60), st.integers(1, 60), st.tuples(BORDER, BORDER, BORDER, BORDER), st.sampled_from(["spread", "mirror"]))
def test_the_picture_stands_where_its_borders_say(height: int, width: int, borders: tuple[int, int, int, int], fill: Any) -> None:
    if not any(borders):
        return
    left, top, right, bottom = borders
    source = picture(height, width)
    canvas, mask = outpaint(source, left=left, top=top, right=right, bottom=bottom, fill=fill, multiple=1, blur=0)
    assert canvas.size == mask.size == (left + width + right, top + height + bottom)
    np.testing.assert_array_equal(np.asarray(canvas)[top : top + height, left : left + width], source)
    redrawn = np.asarray(mask)
    assert not redrawn[top : top + height, left : left + width].any()
    assert (redrawn == 255).sum() == redrawn.size - height * width


@pytest.mark.parametrize(
    ("borders", "size", "place"),
    [
        ({"left": 10}, (56 + 16, 40), (16, 0)),
        ({"right": 10}, (56 + 16, 40), (0, 0)),
        ({"left": 3, "right": 10}, (56 + 16, 40), (3, 0)),
        ({"top": 5, "bottom": 5}, (56, 40 + 16), (0, 5)),
        ({"top": 8}, (56, 48), (0, 8)),
    ],
)
def test_the_wider_border_grows_to_a_multiple(borders: dict[str, int], size: tuple[int, int], place: tuple[int, int]) -> None:
    canvas, _ = outpaint(picture(), **borders)  # type: ignore[arg-type]
    assert canvas.size == size
    left, top = place
    np.testing.assert_array_equal(np.asarray(canvas)[top : top + 40, left : left + 56], picture())


def test_the_mask_fades_into_the_picture() -> None:
    _, mask = outpaint(picture(96, 96), left=32, blur=4)
    row = np.asarray(mask)[10].astype(int)
    assert (row[:32] == 255).all()
    # as far inside as outside the middle of the slope, which is 10 pixels in
    assert (np.diff(row) <= 0).all()
    assert abs(int(row[41]) - 127) < 30
    assert not row[32 + 20 :].any()
    assert (np.asarray(mask) == row).all()
    _, mask = outpaint(picture(96, 96), left=32, top=16, right=8, bottom=8, blur=4)
    corner = np.asarray(mask)
    assert (corner[:16] == 255).all()
    assert (corner[:, :32] == 255).all()
    assert not corner[16 + 20 : 16 + 76, 32 + 20 : 32 + 76].any()


def test_a_picture_within_the_slope_is_redrawn_as_a_whole() -> None:
    for border in ({"right": 40}, {"left": 40}, {"left": 40, "right": 43}):
        canvas, mask = outpaint(picture(8, 5), **border, blur=4, multiple=1)  # type: ignore[arg-type]
        assert mask.getextrema() == (255, 255)
        assert canvas.size == mask.size


def test_spread_borders_have_the_colours_of_the_edge_and_no_noise() -> None:
    canvas = np.asarray(outpaint(picture(), left=64, right=64)[0]).astype(int)
    far_left, far_right = canvas[:, :32], canvas[:, -32:]
    # some of the other half is in them, which is as near as they are wide
    assert far_left[..., 0].min() > 150
    assert far_left[..., 2].max() < 90
    assert far_right[..., 2].min() > 150
    # within a column
    assert np.ptp(picture()[:, 0], axis=0).max() > 30
    assert np.ptp(far_left, axis=0).max() < 8
    # no seam: the first column of the border is the edge
    np.testing.assert_array_equal(canvas[:, 63], canvas[:, 64])


def test_mirrored_borders_are_the_picture_reflected() -> None:
    canvas = np.asarray(outpaint(picture(), right=56, bottom=80, fill="mirror")[0])
    np.testing.assert_array_equal(canvas[:40, 56:], picture()[:, ::-1])
    np.testing.assert_array_equal(canvas[40:80, :56], picture()[::-1])
    np.testing.assert_array_equal(canvas[80:, :56], picture())


def test_pictures_of_every_mode_become_rgb() -> None:
    grey = Image.fromarray(np.full((16, 16), 257 * 90, np.uint16))
    assert outpaint(grey, left=8)[0].getpixel((20, 3)) == (90, 90, 90)
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    canvas, mask = outpaint(clear, left=8)
    assert canvas.getpixel((20, 3)) == (255, 255, 255)
    assert (canvas.mode, mask.mode) == ("RGB", "L")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "out-painting must have a border to draw, got none; set left, top, right or bottom"),
        ({"left": -8}, "left must be a whole number from 0 to 1048576, got -8"),
        ({"left": 8, "blur": float("nan")}, "blur must be a finite number from 0 to 1000, got nan"),
        ({"left": 8, "fill": "noise"}, "fill must be 'spread' or 'mirror', got 'noise'"),
        ({"left": 8, "limits": 9}, "limits must be an object of the class Limits, got 9"),
        ({"left": 8, "multiple": 0}, "multiple must be a whole number from 1 to 1024, got 0"),
        ({"left": 1_000_000, "top": 1_000_000}, "the pixels of the new picture must be at most 67108864, got 10000"),
    ],
)
def test_what_cannot_be_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageError) as raised:
        outpaint(picture(), **options)
    assert str(raised.value).startswith(message)
    with pytest.raises(ImageError, match="must be at most 2000, got 3840"):
        outpaint(picture(), left=40, limits=Limits(pixels=2000))
