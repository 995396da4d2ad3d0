"""Pictures are scaled as diffusers scales them, and where it leaves a black line or gives up, without one."""

import numpy as np
import pytest
from diffusers.image_processor import VaeImageProcessor
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdrt.errors import ImageError
from sdrt.images.inputs import to_soft_mask, to_unit
from sdrt.images.sizes import RESIZES, Resize, scaled

PEER = VaeImageProcessor(vae_scale_factor=1, do_normalize=False, do_convert_rgb=True)
SIDE = st.integers(1, 60)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(1, 256, (height, width, 3), np.uint8))


def smooth(width: int, height: int) -> Image.Image:
    """A ramp to the right in red, downwards in green, on blue."""
    across, down = np.meshgrid(np.linspace(20, 220, width), np.linspace(30, 200, height))
    return Image.fromarray(np.stack([across, down, np.full_like(across, 90)], axis=2).astype(np.uint8))


@given(SIDE, SIDE, SIDE, SIDE, st.integers(0, 9))
def test_crop_equals_diffusers(width: int, height: int, to_width: int, to_height: int, seed: int) -> None:
    picture = noise(width, height, seed)
    shapes = width / height * to_height / to_width
    if not 1 / 15 < shapes < 15:
        return  # what is cut off is not scaled, see below
    want = PEER.preprocess(picture, to_height, to_width, resize_mode="crop").numpy()
    np.testing.assert_array_equal(to_unit("image", picture, to_height, to_width, "crop"), want)


@given(SIDE, SIDE, SIDE, SIDE, st.integers(0, 9))
def test_fit_equals_diffusers_but_for_its_black_line(width: int, height: int, to_width: int, to_height: int, seed: int) -> None:
    picture = noise(width, height, seed)
    got = to_unit("image", picture, to_height, to_width, "fit")
    if min(width * to_height // height, height * to_width // width) == 0:
        assert got.shape == (1, 3, to_height, to_width)  # diffusers raises
        return
    want = PEER.preprocess(picture, to_height, to_width, resize_mode="fill").numpy()
    for axis in (2, 3):
        # noise is nowhere black, and no border either
        if not np.take(want, -1, axis).any():
            want[tuple(slice(None) if each != axis else -1 for each in range(4))] = np.take(got, -1, axis)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("size", "fitted"), [((30, 20), (21, 14)), ((20, 30), (14, 21))])
def test_the_borders_of_fit_continue_the_edge_to_the_last_pixel(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    """Seven pixels of borders are three above and four below, of which diffusers leaves one black."""
    picture = noise(*size)
    got = np.asarray(scaled(picture, 21, 21, "fit"))
    theirs = np.asarray(PEER.resize(picture, 21, 21, "fill"))
    got, theirs = (got, theirs) if size[0] > size[1] else (got.transpose(1, 0, 2), theirs.transpose(1, 0, 2))
    assert not theirs[-1].any()
    np.testing.assert_array_equal(got[-1], got[-2])
    np.testing.assert_array_equal(got[:-1], theirs[:-1])
    inner = np.asarray(picture.resize(fitted, Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(got[3:17], inner if size[0] > size[1] else inner.transpose(1, 0, 2))


@pytest.mark.parametrize(("width", "height"), [(20_000, 3), (3, 20_000), (20_000, 1), (1, 20_000), (1, 1)])
@pytest.mark.parametrize("resize", RESIZES)
def test_strips_are_scaled_without_making_them_whole(width: int, height: int, resize: Resize) -> None:
    got = to_unit("image", smooth(width, height), 64, 48, resize)
    assert got.shape == (1, 3, 64, 48)
    blue = got[0, 2]
    np.testing.assert_allclose(blue, 90 / 255, atol=1e-6)
    if resize == "crop" and width > height:
        assert np.abs(got[0, 0] - 120 / 255).max() < 0.01  # the middle of the ramp
    if resize == "fit" and width > height:
        assert (got[0, 0, :, 0].max(), got[0, 0, :, -1].min()) < (0.1, 1)


def test_a_strip_is_cut_where_a_whole_picture_would_be() -> None:
    picture = smooth(2_000, 50)
    strip = np.asarray(scaled(picture, 48, 48, "crop")).astype(int)
    whole = np.asarray(PEER.resize(picture, 48, 48, "crop")).astype(int)
    assert np.abs(strip - whole).max() <= 1
    assert np.ptp(strip[..., 0]) >= 3


@pytest.mark.parametrize("resize", RESIZES)
def test_a_mask_is_cut_as_its_picture(resize: Resize) -> None:
    """A disc stays where it was, and a smaller mask of another shape is stretched onto the picture first."""
    picture, mask = Image.new("RGB", (90, 60), "black"), Image.new("L", (45, 60), 0)
    picture.paste("white", (20, 10, 50, 40))
    mask.paste(255, (10, 10, 25, 40))
    light = to_unit("image", picture, 32, 32, resize)[0, 0]
    soft = to_soft_mask("mask_image", mask, 32, 32, resize, of=(60, 90))[0, 0]
    assert 0 < (light > 0.5).sum() < light.size
    np.testing.assert_array_equal(soft > 0.5, light > 0.5)
    alone = to_soft_mask("mask_image", mask, 32, 32, resize)[0, 0]
    assert (resize == "stretch") == ((alone > 0.5) == (light > 0.5)).all()


@given(SIDE, SIDE, SIDE, SIDE, st.sampled_from(RESIZES[:2]))
def test_masks_equal_diffusers(width: int, height: int, to_width: int, to_height: int, resize: Resize) -> None:
    if not 1 / 15 < width / height * to_height / to_width < 15:
        return
    peer = VaeImageProcessor(vae_scale_factor=1, do_normalize=False, do_convert_grayscale=True)
    mask = noise(width, height).convert("L")
    want = peer.preprocess(mask, to_height, to_width, resize_mode="default" if resize == "stretch" else resize).numpy()
    got = to_soft_mask("mask_image", mask, to_height, to_width, resize, of=(height, width))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("resize", RESIZES)
def test_sixteen_bits_are_scaled_as_eight(resize: Resize) -> None:
    grey = smooth(90, 60).getchannel(0)
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    for use in (to_unit, to_soft_mask):
        eight, sixteen = (use("image", picture, 32, 40, resize) for picture in (grey, wide))
        assert np.abs(eight - sixteen).max() < 2 / 255
        assert np.ptp(eight) > 0.2


def test_another_resize_is_one_line() -> None:
    with pytest.raises(ImageError, match=r"^resize must be 'stretch' or 'crop' or 'fit', got 'squeeze'; pass such a value$"):
        scaled(noise(4, 4), 2, 2, "squeeze")  # type: ignore[arg-type]
