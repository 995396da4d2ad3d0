"""Masks are softened, cut and pasted as diffusers and AUTOMATIC1111's web UI do it."""

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdrt.arrays import F32
from sdrt.errors import ImageError
from sdrt.images.masks import blur, crop_region, fill, paste, to_latent_mask

# Of opencv-python-headless 5.0.0.93: GaussianBlur(row, (2 * int(2.5 * pixels + 0.5) + 1, 1), pixels).
ROW = [0] * 5 + [128] + [0] * 11 + [255] * 23
OPENCV = {
    2: [2, 4, 9, 16, 23, 26, 23, 16, 9, 4, 1, 0, 2, 9, 26, 57, 102, 153, 198, 229, 246, 253, *[255] * 18],
    4: [
        *(11, 13, 12, 14, 14, 14, 13, 12, 12, 15, 17, 25, 34, 50, 68, 90, 115, 140, 165, 188, 207, 223, 234, 243, 248, 252, 254),
        *[255] * 13,
    ],
}


def rectangle(height: int, width: int, box: tuple[int, int, int, int], value: int = 255) -> F32:
    mask = np.zeros((1, 1, height, width), np.float32)
    left, top, right, bottom = box
    mask[..., top:bottom, left:right] = value / 255
    return mask


@pytest.mark.parametrize("pixels", OPENCV)
def test_blur_is_that_of_the_web_ui(pixels: int) -> None:
    row = np.array(ROW, np.float32)[None, None, None] / np.float32(255)
    for mask in (row, row.transpose(0, 1, 3, 2)):
        # OpenCV rounds its weights to 1/256
        assert np.abs(blur(mask, pixels).ravel() * 255 - OPENCV[pixels]).max() < 1.5


@pytest.mark.parametrize("pixels", [1, 4, 16])
def test_blur_is_near_that_of_diffusers(pixels: int) -> None:
    mask = rectangle(160, 200, (70, 60, 130, 100))
    theirs = np.asarray(VaeImageProcessor.blur(Image.fromarray((mask[0, 0] * 255).astype(np.uint8)), pixels))
    got = blur(mask, pixels)[0, 0] * 255
    assert np.abs(got - theirs).max() < 8
    assert np.abs(mask[0, 0] * 255 - theirs).max() > 80


def test_blur_keeps_what_is_even_and_of_no_pixels_everything() -> None:
    for value in (0.0, 0.5, 1.0):
        even = np.full((1, 1, 7, 5), value, np.float32)
        np.testing.assert_allclose(blur(even, 33), even, atol=1e-6)
    mask = rectangle(8, 8, (2, 2, 5, 5))
    assert blur(mask, 0) is mask
    assert blur(mask, 2.5).max() <= 1


def test_cells_of_latents_are_torch_s() -> None:
    mask = np.random.default_rng(0).random((1, 1, 24, 40), np.float32)
    nearest = torch.nn.functional.interpolate(torch.from_numpy(mask), size=(3, 5), mode="nearest").numpy()
    area = torch.nn.functional.interpolate(torch.from_numpy(mask), size=(3, 5), mode="area").numpy()
    np.testing.assert_array_equal(to_latent_mask(mask, 8, "nearest"), nearest)
    np.testing.assert_allclose(to_latent_mask(mask, 8, "area"), area, rtol=1e-6)
    assert np.abs(nearest - area).max() > 0.1


@given(st.data())
def test_crop_regions_equal_diffusers(data: st.DataObject) -> None:
    side = st.integers(1, 60)
    height, width = data.draw(side), data.draw(side)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(data.draw(st.integers(1, 3))):
        top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
        mask[top : top + data.draw(side), left : left + data.draw(side)] = data.draw(st.sampled_from([1, 128, 255]))
    to_height, to_width, padding = data.draw(side), data.draw(side), data.draw(st.integers(0, 40))
    region = crop_region((mask / np.float32(255))[None, None].astype(np.float32), to_height, to_width, padding)
    assert region == VaeImageProcessor.get_crop_region(Image.fromarray(mask), to_width, to_height, padding)
    left, top, right, bottom = region
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert mask[top:bottom, left:right].sum() == mask.sum()


def test_a_region_has_the_shape_that_is_drawn() -> None:
    assert crop_region(rectangle(100, 200, (90, 40, 110, 60)), 64, 128, 5) == (70, 35, 130, 65)
    # at a corner it moves inside, and a picture that is too low cuts it
    assert crop_region(rectangle(100, 200, (0, 0, 10, 20)), 64, 64) == (0, 0, 20, 20)
    assert crop_region(rectangle(100, 200, (0, 0, 200, 20)), 64, 64) == (0, 0, 200, 100)
    # what is less than half a byte is black
    assert crop_region(rectangle(64, 64, (8, 8, 16, 16)) + np.float32(0.4 / 255), 8, 8) == (8, 8, 16, 16)


def test_a_black_mask_has_no_region() -> None:
    with pytest.raises(ImageError, match=r"^mask_image must be white somewhere to redraw only what it covers"):
        crop_region(np.zeros((1, 1, 8, 8), np.float32), 8, 8)


def photograph(seed: int = 0) -> Image.Image:
    """Red on the left, blue on the right, with some noise."""
    pixels = np.random.default_rng(seed).integers(0, 40, (64, 80, 3), np.uint8)
    pixels[:, :40, 0] += 200
    pixels[:, 40:, 2] += 200
    return Image.fromarray(pixels)


def test_a_hole_takes_the_colours_around_it() -> None:
    mask = Image.new("L", (80, 64))
    mask.paste(255, (20, 16, 60, 48))
    filled = np.asarray(fill(photograph(), mask)).astype(int)
    np.testing.assert_array_equal(filled[np.asarray(mask) == 0], np.asarray(photograph())[np.asarray(mask) == 0])
    assert (filled[20:44, 21:24, 0] > 180).all()
    assert (filled[20:44, 57:59, 2] > 180).all()
    # farther in, both
    assert (filled[30:34, 39:41][..., [0, 2]] > 60).all()


def test_the_layers_of_a_filled_hole_are_those_of_the_web_ui() -> None:
    """Worked out with Pillow 13 from the steps of ``modules/masking.py::fill``; leaving out one layer moves them by 20 and more."""
    mask = Image.new("L", (80, 64))
    mask.paste(255, (20, 16, 60, 48))
    filled = np.asarray(fill(photograph(), mask)).astype(int)
    for place, colour in (((32, 24), (200, 19, 38)), ((32, 36), (136, 19, 102)), ((20, 44), (71, 17, 164)), ((40, 55), (34, 21, 205))):
        assert np.abs(filled[place] - colour).max() <= 2


def test_what_a_hole_hides_decides_nothing() -> None:
    mask = Image.new("L", (80, 64))
    mask.paste(255, (20, 16, 60, 48))
    other = photograph()
    other.paste("lime", (20, 16, 60, 48))
    assert fill(other, mask).tobytes() == fill(photograph(), mask).tobytes()
    assert other.tobytes() != photograph().tobytes()


def test_full_and_empty_masks_leave_black_and_everything() -> None:
    assert not np.asarray(fill(photograph(), Image.new("L", (80, 64), 255))).any()
    assert fill(photograph(), Image.new("L", (80, 64))).tobytes() == photograph().tobytes()


def test_a_region_is_pasted_through_its_mask() -> None:
    mask = blur(rectangle(64, 80, (30, 20, 50, 40)), 2)
    box = crop_region(mask, 32, 32, 4)
    pasted = np.asarray(paste(photograph(), Image.new("RGB", (32, 32), "lime"), mask, box))
    kept = mask[0, 0] == 0
    assert 0 < kept.sum() < kept.size
    np.testing.assert_array_equal(pasted[kept], np.asarray(photograph())[kept])
    np.testing.assert_array_equal(pasted[28:32, 38:42], np.broadcast_to([0, 255, 0], (4, 4, 3)))
    soft = mask[0, 0, 30, 29]
    assert 0.1 < soft < 0.9
    np.testing.assert_array_equal(pasted[30, 29], np.rint(np.asarray(photograph())[30, 29] * (1 - soft) + np.array([0, 255, 0]) * soft))


def test_a_region_keeps_its_place_when_it_is_drawn_larger() -> None:
    """The picture's own pixels, cut out, drawn four times as large and pasted, are the picture again."""
    source = photograph().resize((40, 32), Image.Resampling.BILINEAR).resize((80, 64), Image.Resampling.BICUBIC)
    mask = rectangle(64, 80, (30, 20, 50, 40))
    left, top, right, bottom = crop_region(mask, 128, 96, 6)
    drawn = source.crop((left, top, right, bottom)).resize((96, 128), Image.Resampling.LANCZOS)
    difference = np.asarray(paste(source, drawn, mask, (left, top, right, bottom))).astype(int) - np.asarray(source)
    assert np.abs(difference).max() <= 3
