"""What a ControlNet is shown of a picture: contours, tones, fewer details, a hole."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdrt import images
from sdrt.errors import ConfigError, ImageError
from sdrt.images.inputs import to_unit
from sdrt.images.preprocessors import PREPROCESSORS, preprocess
from sdrt.option_kinds import OPTION_KINDS

PUBLIC: dict[str, Callable[..., Image.Image]] = {
    name: getattr(images, name) for name in ("canny", "soft_edges", "scribble", "tile", "grey", "invert")
}


def coarse(seed: int = 0, height: int = 96, width: int = 64) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    return Image.fromarray(small.repeat(16, axis=0).repeat(16, axis=1))


def step(contrast: int) -> Image.Image:
    """Two halves, left and right of column 64."""
    pixels = np.full((96, 128), 100, np.uint8)
    pixels[:, 64:] += contrast
    return Image.fromarray(pixels)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_call_sees_what_the_function_draws(name: str) -> None:
    drawn = np.asarray(PUBLIC[name](coarse()).convert("RGB"))
    unit = preprocess(name, to_unit("picture", coarse(), 96, 64))
    assert unit.dtype == np.float32
    np.testing.assert_array_equal(np.rint(unit[0].transpose(1, 2, 0) * 255), drawn)
    assert drawn.std() > 10
    assert not np.array_equal(drawn, np.asarray(PUBLIC[name](coarse(1)).convert("RGB")))


@pytest.mark.parametrize("name", PUBLIC)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_small_pictures_keep_their_size(name: str, size: tuple[int, int]) -> None:
    assert PUBLIC[name](Image.new("RGB", size, (9, 200, 30))).size == size


@pytest.mark.parametrize("name", [*PUBLIC, "with_hole"])
def test_what_is_no_picture_is_refused(name: str) -> None:
    arguments: tuple[Any, ...] = ("cat.png", "mask.png") if name == "with_hole" else ("cat.png",)
    with pytest.raises(ImageError, match="picture must be a PIL image"):
        getattr(images, name)(*arguments)


def test_the_options_choices_are_the_pre_processors() -> None:
    for name in PREPROCESSORS:
        assert OPTION_KINDS["control_preprocessor"].check("control_preprocessor", name) == name
    with pytest.raises(ConfigError, match=" or ".join(map(repr, PREPROCESSORS))):
        OPTION_KINDS["control_preprocessor"].check("control_preprocessor", "hed")


@pytest.mark.parametrize("contrast", [10, 60, 150])
def test_a_soft_edge_is_as_bright_as_its_step_is_high(contrast: int) -> None:
    edges = np.asarray(images.soft_edges(step(contrast)))[48]
    assert edges[[63, 64]].tolist() == pytest.approx([255 * np.tanh(contrast / 255 / 0.25)] * 2, rel=0.12)
    assert edges[:40].max() == edges[90:].max() == 0
    assert edges[56] > edges[52] or contrast == 10


def test_a_scribble_is_the_contour_in_thick_lines() -> None:
    big = np.zeros((512, 512), np.uint8)
    big[100:400, 100:400] = 255
    drawn = np.asarray(images.scribble(big))
    assert set(np.unique(drawn)) == {0, 255}
    row = np.flatnonzero(drawn[250])
    assert len(row) == 14  # two lines, each a pixel with three on either side
    assert np.abs(row[[3, 10]] - [99, 399]).max() <= 1
    # as many in proportion of a picture that is half as large
    assert len(np.flatnonzero(np.asarray(images.scribble(big[::2, ::2].copy()))[125])) == 6


def test_tile_keeps_the_mean_of_squares() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    drawn = np.asarray(images.tile(pixels, 16), np.float64)
    # bicubic interpolation spreads them a little
    assert (
        np.corrcoef(drawn.reshape(4, 16, 4, 16, 3).mean(axis=(1, 3)).ravel(), pixels.reshape(4, 16, 4, 16, 3).mean(axis=(1, 3)).ravel())[
            0, 1
        ]
        > 0.95
    )
    assert drawn.std() < 0.3 * pixels.std()
    np.testing.assert_array_equal(np.asarray(images.tile(pixels, 1)), pixels)
    with pytest.raises(ConfigError, match="factor must be a whole number from 1 to 1024, got 0"):
        images.tile(pixels, 0)


def test_grey_is_pillows_and_a_negative_twice_is_the_picture() -> None:
    difference = np.asarray(images.grey(coarse()), np.int16) - np.asarray(coarse().convert("L"), np.int16)
    assert np.abs(difference).max() <= 1  # Pillow rounds its weights to 16 bits
    np.testing.assert_array_equal(np.asarray(images.invert(images.invert(coarse()))), np.asarray(coarse()))


def test_a_hole_is_transparent_and_then_minus_one() -> None:
    """As ``make_inpaint_condition`` of the model card of control_v11p_sd15_inpaint: what is more than half white becomes -1."""
    mask = np.random.default_rng(1).integers(0, 256, (96, 64), np.uint8)
    holed = images.with_hole(coarse(), mask)
    assert holed.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(holed)[..., 3] == 0, mask > 127)
    unit, hole = to_unit("picture", coarse(), 96, 64), (mask > 127)[None, None]
    want = np.asarray(coarse(), np.float32) / 255
    want[mask.astype(np.float32) / 255 > 0.5] = -1
    np.testing.assert_array_equal(preprocess("inpaint", unit, hole), want[None].transpose(0, 3, 1, 2))
    assert preprocess("inpaint", unit) is unit
    assert preprocess("none", unit, hole) is unit
