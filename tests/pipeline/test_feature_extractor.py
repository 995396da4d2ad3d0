"""A safety checker sees pictures as transformers' processor on Pillow prepares them, whatever its configuration."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import sdrt
from sdrt.errors import ConfigError, ModelError
from sdrt.models.folder import FEATURE_EXTRACTOR
from sdrt.pipeline.feature_extractor import FeatureExtractor
from sdrt.values import read_values
from tests.factories import save_pipeline_folder

EDGE = 24
SIDE = st.integers(1, 60)
FLAG = st.none() | st.booleans()
COLOUR = st.floats(0.1, 1, allow_nan=False)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


SIZES = st.one_of(
    SIDE,
    st.tuples(SIDE, SIDE).map(list),
    st.fixed_dictionaries({"shortest_edge": SIDE}),
    st.fixed_dictionaries({"height": SIDE, "width": SIDE}),
)
CONFIGS = st.builds(
    lambda size, crop, rest: {"size": size, "crop_size": crop, **rest},
    SIZES,
    st.sampled_from([EDGE, [EDGE, EDGE], {"height": EDGE, "width": EDGE}]),
    st.fixed_dictionaries(
        {},
        optional={
            "do_resize": FLAG,
            "resample": st.integers(0, 5),
            "do_rescale": FLAG,
            "rescale_factor": st.sampled_from([1 / 255, 1 / 127.5, 0.003]),
            "do_normalize": FLAG,
            "image_mean": COLOUR | st.tuples(COLOUR, COLOUR, COLOUR).map(list),
            "image_std": COLOUR | st.tuples(COLOUR, COLOUR, COLOUR).map(list),
        },
    ),
)


def read(config: dict[str, Any], edge: int = EDGE) -> FeatureExtractor:
    """The extractor of a configuration that came through a file."""
    stored = json.loads(json.dumps(config))
    return FeatureExtractor.read(stored | read_values("", stored, FEATURE_EXTRACTOR), edge)


@given(CONFIGS, SIDE, SIDE, st.integers(0, 5))
def test_pictures_are_prepared_as_configured_to_the_last_bit(config: dict[str, Any], width: int, height: int, seed: int) -> None:
    image = picture(width, height, seed)
    want = CLIPImageProcessorPil(**config)(image, return_tensors="np")["pixel_values"][0]
    np.testing.assert_array_equal(read(config)(image), want.astype(np.float32))


@given(SIDE, SIDE, st.booleans())
def test_without_a_cut_the_size_must_be_that_of_the_network(width: int, height: int, resize: bool) -> None:
    config = {"do_center_crop": False, "do_resize": resize, "size": {"height": EDGE, "width": EDGE}}
    image = picture(width, height)
    if not resize and (width, height) != (EDGE, EDGE):
        with pytest.raises(ConfigError, match=rf"must become 24x24 pixels, which the network takes, got {width}x{height}"):
            read(config)(image)
    else:
        want = CLIPImageProcessorPil(**config)(image, return_tensors="np")["pixel_values"][0]
        np.testing.assert_array_equal(read(config)(image), want)


def test_clip_s_own_is_the_default() -> None:
    image = picture(300, 260)
    want = CLIPImageProcessorPil()(image, return_tensors="np")["pixel_values"][0]
    np.testing.assert_array_equal(read({}, 224)(image), want)
    # in the size of a network that has another
    assert read({}, 28)(image).shape == (3, 28, 28)


def test_every_setting_moves_the_picture() -> None:
    image, plain = picture(40, 30), {"size": EDGE, "crop_size": EDGE}
    usual = read(plain)(image)
    for change in (
        {"do_resize": False},
        {"size": 30},
        {"size": [24, 24]},
        {"resample": 0},
        {"do_rescale": False},
        {"rescale_factor": 0.004},
        {"do_normalize": False},
        {"image_mean": 0.5},
        {"image_std": [0.2, 0.3, 0.4]},
    ):
        assert np.abs(read(plain | change)(image) - usual).max() > 0.01, change


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"crop_size": 30}, "pictures must become 24x24 pixels, which the network takes, got 30x30; correct its size and crop_size"),
        ({"crop_size": {"shortest_edge": 24}}, "crop_size must have height and width, got 'shortest_edge'; correct it"),
        ({"size": {"longest_edge": 24}}, "size must have shortest_edge, or height and width, got 'longest_edge'; correct it"),
        ({"size": {}}, "size must have shortest_edge, or height and width, got ''; correct it"),
        ({"do_center_crop": False, "size": [24, 30]}, "pictures must become 24x24 pixels, which the network takes, got 30x24"),
    ],
)
def test_sizes_that_cannot_be_are_one_line(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(config)
    assert str(raised.value).startswith(f"feature_extractor/preprocessor_config.json: {message}")


def test_a_configuration_that_does_not_fit_is_told_before_anything_is_drawn(tmp_path: Path) -> None:
    folder = save_pipeline_folder(tmp_path / "sd1", safety_checker=True)
    file = folder / "feature_extractor" / "preprocessor_config.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"crop_size": 336}))
    sdrt.load(folder)
    with pytest.raises(ConfigError, match=r"got 336x336; correct its size and crop_size$"):
        sdrt.load(folder, safety_checker=True)
    file.write_text(json.dumps({"resample": "bicubic"}))
    with pytest.raises(ModelError, match="resample must be a whole number from 0 to 5"):
        sdrt.load(folder, safety_checker=True)
