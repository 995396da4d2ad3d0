"""In-painting: pixels outside the mask come back byte for byte, soft edges are mixed, and a part is drawn larger and put back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.errors import ConfigError, ImageError
from tests.factories import save_pipeline_folder

QUICK: dict[str, Any] = {"seed": 5, "num_inference_steps": 2, "negative_prompt": "blurry"}


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> sdrt.Pipeline:
    folder: Path = save_pipeline_folder(tmp_path_factory.mktemp("model") / "inpaint", "inpaint")
    return sdrt.load(folder, threads=1)


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (72, 104, 3), np.uint8)


def test_kept_pixels_are_those_of_the_picture(pipe: sdrt.Pipeline, photograph: np.ndarray) -> None:
    """Every byte value passes through; the redrawn half is the decoder's, as ``compat="diffusers"`` leaves the whole picture."""
    mask = np.zeros((72, 104), np.uint8)
    mask[:, 52:] = 255
    pictures: dict[str, Any] = {"image": photograph, "mask_image": mask}
    steps = pipe.steps("a red circle", **QUICK, **pictures)
    previews = [step.decode(0) for step in steps]
    drawn = np.asarray(steps.result().images[0])
    [decoded] = [np.asarray(image) for image in pipe.decode(steps.result().latents)]
    np.testing.assert_array_equal(drawn[:, :52], photograph[:, :52])
    np.testing.assert_array_equal(drawn[:, 52:], decoded[:, 52:])
    assert (decoded[:, :52] != photograph[:, :52]).any()
    np.testing.assert_array_equal(np.asarray(previews[0])[:, :52], photograph[:, :52])
    as_peer = pipe.generate("a red circle", compat="diffusers", **QUICK, **pictures)
    assert as_peer.images[0].tobytes() == pipe.decode(as_peer.latents)[0].tobytes()


def test_grey_mixes_picture_and_drawing_in_its_proportion(pipe: sdrt.Pipeline, photograph: np.ndarray) -> None:
    mask = np.tile(np.linspace(0, 255, 104).astype(np.uint8), (72, 1))
    result = pipe.generate("a red circle", **QUICK, image=photograph, mask_image=mask)
    [decoded] = [np.asarray(image, np.float64) for image in pipe.decode(result.latents)]
    share = mask[:, :, None] / 255
    want = Image.composite(Image.fromarray(decoded.astype(np.uint8)), Image.fromarray(photograph), Image.fromarray(mask))
    np.testing.assert_allclose(np.asarray(result.images[0]), decoded * share + photograph * (1 - share), atol=0.51)
    assert np.abs(np.asarray(result.images[0], int) - np.asarray(want, int)).max() <= 1, "as Pillow composes them, which the peers use"


def test_a_picture_of_another_size_is_kept_as_it_was_resized(pipe: sdrt.Pipeline, photograph: np.ndarray) -> None:
    black = np.zeros((72, 104), np.uint8)
    result = pipe.generate("a red circle", **QUICK, image=photograph, mask_image=black, height=64, width=64)
    want = Image.fromarray(photograph).resize((64, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(np.asarray(result.images[0]), np.asarray(want))


# ---- with a U-Net that sees no mask


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> sdrt.Pipeline:
    return sdrt.load(save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1"), threads=1)


def spot(size: tuple[int, int] = (72, 104)) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[24:48, 32:72] = 255
    return mask


def white(mask: np.ndarray) -> Any:
    """How white each pixel of a mask is: f32[1,1,H,W]."""
    return mask[None, None].astype(np.float32) / np.float32(255)


def test_the_part_around_a_mask_is_drawn_at_full_size_and_put_back(plain: sdrt.Pipeline, photograph: np.ndarray) -> None:
    pictures: dict[str, Any] = {"image": photograph, "mask_image": spot()}
    result = plain.generate("a red circle", **QUICK, **pictures, only_masked=True, only_masked_padding=8)
    assert (result.settings.height, result.settings.width) == (64, 64), "the model's own size"
    drawn = np.asarray(result.images[0])
    assert drawn.shape == photograph.shape
    np.testing.assert_array_equal(drawn[spot() == 0], photograph[spot() == 0])
    assert (drawn[spot() > 0] != photograph[spot() > 0]).mean() > 0.9
    part = plain.generate("a red circle", **QUICK, **pictures, only_masked=True, only_masked_padding=8, paste=False).images[0]
    assert part.size == (64, 64)
    box = sdrt.images.masks.crop_region(white(spot()), 64, 64, 8)
    np.testing.assert_array_equal(
        drawn[32:40, 40:60],
        np.asarray(part.resize((box[2] - box[0], box[3] - box[1]), 1))[32 - box[1] : 40 - box[1], 40 - box[0] : 60 - box[0]],
    )


def test_only_what_a_black_mask_covers_is_an_error(plain: sdrt.Pipeline, photograph: np.ndarray) -> None:
    with pytest.raises(ImageError, match="mask_image must be white somewhere to redraw only what it covers, got a mask that is black"):
        plain.resolve("a", image=photograph, mask_image=np.zeros((72, 104), np.uint8), only_masked=True)


def test_kept_cells_have_the_pictures_own_latents_at_the_end(plain: sdrt.Pipeline, photograph: np.ndarray) -> None:
    pictures: dict[str, Any] = {"image": photograph, "mask_image": spot()}
    drawn = plain.generate("a red circle", **QUICK, **pictures).latents
    again = plain.generate("a blue square", **QUICK, **pictures).latents
    kept = spot()[::8, ::8] == 0
    np.testing.assert_array_equal(drawn[:, :, kept], again[:, :, kept])
    assert np.abs(drawn[:, :, ~kept] - again[:, :, ~kept]).max() > 0.01


@pytest.mark.parametrize("content", ["fill", "noise"])
def test_what_is_under_the_mask_at_the_start_moves_the_picture(
    plain: sdrt.Pipeline, photograph: np.ndarray, content: sdrt.MaskedContent
) -> None:
    options: dict[str, Any] = QUICK | {"num_inference_steps": 4, "image": photograph, "mask_image": spot(), "strength": 0.5, "paste": False}
    one = plain.generate("a red circle", **options).latents
    two = plain.generate("a red circle", **options, masked_content=content).latents
    kept = spot()[::8, ::8] == 0
    assert np.abs(one - two)[:, :, ~kept].max() > 0.1
    # the encoder sees beyond a cell, so that a filled hole changes the cells around it
    assert content == "fill" or (one[:, :, kept] == two[:, :, kept]).all()


def test_a_blurred_mask_mixes_picture_and_drawing_at_its_edge(plain: sdrt.Pipeline, photograph: np.ndarray) -> None:
    pictures: dict[str, Any] = {"image": photograph, "mask_image": spot()}
    drawn = np.asarray(plain.generate("a red circle", **QUICK, **pictures, mask_blur=3).images[0])
    soft = np.asarray(sdrt.images.masks.blur(white(spot()), 3))[0, 0]
    far = soft < 0.001
    assert far.any()
    np.testing.assert_array_equal(drawn[far], photograph[far])
    edge = (soft > 0.2) & (spot() == 0)
    assert (drawn[edge] != photograph[edge]).mean() > 0.9


def test_the_same_mask_for_each_picture_and_a_mask_each(plain: sdrt.Pipeline, photograph: np.ndarray) -> None:
    other = photograph[::-1].copy()
    masks = [spot(), spot()[:, ::-1].copy()]
    batch = plain.generate("a red circle", **QUICK, image=[photograph, other], mask_image=masks)
    assert batch.seeds == (5, 6)
    for drawn, picture, mask in zip(batch.images, (photograph, other), masks, strict=True):
        np.testing.assert_array_equal(np.asarray(drawn)[mask == 0], picture[mask == 0])
    shared = plain.generate("a red circle", **QUICK, image=[photograph, other], mask_image=masks[0])
    assert shared.images[0].tobytes() == batch.images[0].tobytes()
    with pytest.raises(ConfigError, match="mask_image must be one for all 3 images or one for each, got 2"):
        plain.resolve("a", image=photograph, mask_image=masks, num_images=3)
