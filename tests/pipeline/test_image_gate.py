"""Wrong pictures, masks, strengths and latents: each one clear error before any network is opened, or a result that is documented."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.errors import ArrayContractError, ConfigError, ImageError, SdrtError
from sdrt.images import open_picture
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend

GREY = np.full((64, 48, 3), 128, np.uint8)
MASK = np.full((64, 48), 255, np.uint8)
LATENTS = np.zeros((1, 4, 8, 6), np.float32)
QUICK: dict[str, Any] = {"seed": 1, "num_inference_steps": 4}


@pytest.fixture(scope="module")
def inpainting(tmp_path_factory: pytest.TempPathFactory) -> sdrt.Pipeline:
    return sdrt.load(save_pipeline_folder(tmp_path_factory.mktemp("model") / "inpaint", "inpaint"), FakeBackend())


def nan(shape: tuple[int, ...]) -> np.ndarray:
    array = np.zeros(shape, np.float32)
    array[0, 0, 0, 0] = np.nan
    return array


WRONG: dict[str, tuple[dict[str, Any], type[SdrtError], str]] = {
    "strength 0": ({"image": GREY, "strength": 0}, ConfigError, "strength must be a finite number above 0 and at most 1, got 0"),
    "strength 1.5": ({"image": GREY, "strength": 1.5}, ConfigError, r"strength must be a finite number above 0 and at most 1, got 1\.5"),
    "strength NaN": ({"image": GREY, "strength": float("nan")}, ConfigError, "strength must be a finite number .*, got nan"),
    "no step": (
        {"image": GREY, "strength": 0.2},
        ConfigError,
        r"strength must leave at least one step of 4, got 0\.2; take at least 0\.25",
    ),
    "strength alone": ({"strength": 0.5}, ConfigError, "strength needs image or image_latents, got none"),
    "mask alone": ({"mask_image": MASK}, ConfigError, "mask_image needs image or image_latents, got none"),
    "both": ({"image": GREY, "image_latents": LATENTS}, ConfigError, "image and image_latents must not both be set, got both"),
    "a path": ({"image": "cat.png"}, ImageError, "image must be a PIL image, .*, got str; open a file with sdrt.images.open_picture"),
    "floats": ({"image": GREY / 255}, ImageError, r"image must be a PIL image, .*, got float64\[64, 48, 3\]; convert the array to uint8"),
    "four channels": ({"image": np.zeros((64, 48, 4), np.uint8)}, ImageError, r"image must be .*, got uint8\[64, 48, 4\]"),
    "no pixels": ({"image": np.zeros((0, 48, 3), np.uint8)}, ImageError, r"image must be .*, got uint8\[0, 48, 3\]"),
    "no pictures": ({"image": []}, ConfigError, "image must be a picture or a list of them, got an empty list; leave it out"),
    "no masks": ({"image": GREY, "mask_image": ()}, ConfigError, "mask_image must be a picture or a list of them, got an empty list"),
    "a mask of floats": ({"image": GREY, "mask_image": MASK / 255}, ImageError, r"mask_image must be .*, got float64\[64, 48\]"),
    "a list with a hole": ({"image": [GREY, None]}, ImageError, "image must be a PIL image, .*, got NoneType"),
    "two of three": ({"image": [GREY] * 2, "num_images": 3}, ConfigError, "image must be one for all 3 images or one for each, got 2"),
    "two and three": ({"image": [GREY] * 2, "mask_image": [MASK] * 3}, ConfigError, "image must be one for all 3 images or one for each"),
    "two latents": (
        {"image_latents": np.zeros((2, 4, 8, 6), np.float32), "num_images": 3},
        ConfigError,
        "image_latents must be one for all 3 images or one for each, got 2",
    ),
    "NaN in latents": ({"image_latents": nan((1, 4, 8, 6))}, ArrayContractError, "image_latents.*NaN"),
    "three channels": ({"image_latents": np.zeros((1, 3, 8, 6), np.float32)}, ArrayContractError, r"image_latents.*\[1,3,8,6\]"),
    "flat latents": ({"image_latents": np.zeros((4, 8, 6), np.float32)}, ConfigError, "image_latents must be latents, an array of floats"),
    "whole numbers": ({"image_latents": np.zeros((1, 4, 8, 6), int)}, ConfigError, "image_latents must be latents, an array of floats"),
    "latents of another size": (
        {"image_latents": LATENTS, "height": 128},
        ArrayContractError,
        r"image_latents.*16,6.*\[1,4,8,6\]",
    ),
    "NaN in noise": ({"latents": nan((1, 4, 8, 8))}, ArrayContractError, "latents.*NaN"),
    "noise for one": ({"latents": np.zeros((1, 4, 8, 8), np.float32), "num_images": 2}, ArrayContractError, r"latents.*\[1,4,8,8\]"),
    "a mode": ({"image": GREY, "mask_image": MASK, "mask_mode": "grey"}, ConfigError, "mask_mode must be 'binary' or 'soft' or 'strength'"),
    "a mode without mask": ({"image": GREY, "mask_mode": "soft"}, ConfigError, "mask_mode needs mask_image, got none"),
    "too large": ({"image": GREY, "height": 20_000, "width": 20_000}, ConfigError, "height times width must be at most 67108864"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_before_anything_runs(folder: Path, case: str) -> None:
    options, error, message = WRONG[case]
    backend = FakeBackend()
    with pytest.raises(error, match=message) as caught:
        sdrt.load(folder, backend).generate("a cat", **QUICK | options)
    assert "\n" not in str(caught.value)
    assert not backend.opened


@pytest.mark.parametrize("given", [{"image": GREY}, {"mask_image": MASK}, {}, {"image_latents": LATENTS, "mask_image": MASK}])
def test_a_model_that_in_paints_needs_picture_and_mask(inpainting: sdrt.Pipeline, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="image and mask_image must be set for this in-painting model"):
        inpainting.resolve("a cat", **given)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(1, 1, (8, 8)), (20_000, 1, (8, 20_000)), (1, 20_000, (20_000, 8)), (20_000, 30, (32, 20_000)), (51, 67, (64, 48))],
)
def test_pictures_of_odd_sizes_are_rounded_to_latents(pipe: sdrt.Pipeline, width: int, height: int, size: tuple[int, int]) -> None:
    settings = pipe.resolve("a cat", image=np.zeros((height, width, 3), np.uint8), **QUICK)
    assert (settings.height, settings.width) == size


def test_pictures_beyond_the_limit_are_drawn_smaller_if_a_size_is_passed(pipe: sdrt.Pipeline) -> None:
    wide = Image.new("L", (20_000, 4_000))
    with pytest.raises(ConfigError, match="height times width must be at most 67108864, got 80000000"):
        pipe.resolve("a cat", image=wide, **QUICK)
    assert pipe.resolve("a cat", image=wide, width=640, **QUICK).height == 128


def test_a_mask_of_another_size_is_laid_over_the_picture(pipe: sdrt.Pipeline) -> None:
    source = pipe._resolve("a cat", "", {**QUICK, "image": GREY, "mask_image": np.full((7, 301), 255, np.uint8)}).source  # type: ignore[typeddict-item]
    assert source is not None
    assert source.soft_masks[0].shape == (1, 1, 64, 48)
    assert source.soft_masks[0].min() == 1


@pytest.mark.parametrize("shade", [0, 127])
def test_a_mask_without_white_is_remarked(pipe: sdrt.Pipeline, shade: int) -> None:
    remarks = pipe.resolve("a cat", image=GREY, mask_image=np.full((64, 48), shade, np.uint8), **QUICK).remarks
    assert remarks["empty mask"] == "nothing is redrawn where mask_image leaves no cell of 8 x 8 pixels white"
    assert "empty mask" not in pipe.resolve("a cat", image=GREY, mask_image=MASK, **QUICK).remarks


def test_a_file_that_is_cut_off_is_an_error_and_of_an_animation_the_first_frame_counts(pipe: sdrt.Pipeline, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (48, 64), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    source = pipe._resolve("a cat", "", {**QUICK, "image": open_picture(tmp_path / "a.gif")}).source  # type: ignore[typeddict-item]
    assert source is not None
    np.testing.assert_array_equal(source.pictures[0].pixels[0, :, 0, 0], [1, -1, -1])
    frames[0].save(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:-30])
    with pytest.raises(ImageError, match=r"cut\.png: cannot be read as a picture"):
        open_picture(tmp_path / "cut.png")
    with Image.open(tmp_path / "cut.png") as lazy, pytest.raises(ImageError, match="image cannot be read"):
        pipe.resolve("a cat", image=lazy, **QUICK)
