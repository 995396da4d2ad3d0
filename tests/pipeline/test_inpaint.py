"""In-painting: pixels outside the mask come back byte for byte, and soft edges are mixed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
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
