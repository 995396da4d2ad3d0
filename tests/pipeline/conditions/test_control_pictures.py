"""What ControlNets are shown: pre-processed pictures at the size of the run, holes, and a part where a part is drawn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt import images
from sdrt.arrays import F32
from sdrt.errors import ConfigError
from sdrt.images.inputs import to_unit
from sdrt.pipeline.options import plain_options
from sdrt.pipeline.resolve import Resolved
from tests.factories import save_controlnet_folder, save_pipeline_folder, save_union_folder
from tests.fake_backend import FakeBackend
from tests.peers import mask, picture

SIZE: dict[str, Any] = {"height": 64, "width": 48, "seed": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("controlled")


@pytest.fixture(scope="module")
def pipe(root: Path) -> sdrt.Pipeline:
    places = [save_controlnet_folder(root / f"controlnet{k}", "sd1", k) for k in range(2)]
    return sdrt.load(save_pipeline_folder(root / "sd1"), FakeBackend(), controlnet=places)


def resolved(pipe: sdrt.Pipeline, options: dict[str, Any]) -> Resolved:
    return pipe._resolve("a", "", plain_options(SIZE | options))


def shown(pipe: sdrt.Pipeline, **options: Any) -> list[F32]:
    """The pictures that a call's ControlNets are given."""
    return [control.picture for control in resolved(pipe, options).controls]


def test_each_picture_is_pre_processed_at_the_size_of_the_run(pipe: sdrt.Pipeline) -> None:
    large = picture(3, 96, 128)
    small = Image.fromarray(np.rint(to_unit("picture", large, 64, 48)[0].transpose(1, 2, 0) * 255).astype(np.uint8))
    edges, plain = shown(pipe, control_image=[large, large], control_preprocessor=["canny", "none"])
    np.testing.assert_array_equal(edges, to_unit("picture", images.canny(small), 64, 48))
    np.testing.assert_array_equal(plain, to_unit("picture", large, 64, 48))
    assert edges.std() > 0
    both = shown(pipe, control_image=[sdrt.ControlNetInput(image=large, preprocessor="grey")] * 2)
    np.testing.assert_array_equal(both[1], to_unit("picture", images.grey(small), 64, 48))


def test_the_holes_of_an_in_painting_controlnet(pipe: sdrt.Pipeline) -> None:
    """Where the picture is transparent, and under the mask of the call; without a picture of its own, in that which the call changes."""
    white = np.asarray(mask()) > 0
    holed, plain = shown(pipe, control_image=[images.with_hole(picture(3), mask()), picture(3)], control_preprocessor="inpaint")
    unit = to_unit("picture", picture(3), 64, 48)
    np.testing.assert_array_equal(plain, unit)
    np.testing.assert_array_equal(holed, np.where(white, np.float32(-1), unit))
    job: dict[str, Any] = {"image": picture(3), "mask_image": mask(), "control_preprocessor": "inpaint"}
    own, other = shown(pipe, **job, control_image=[picture(3), picture(4)])
    np.testing.assert_array_equal(own, holed)
    assert (other[:, :, white] == -1).all()
    for each in shown(pipe, **job):
        np.testing.assert_allclose(each, holed, atol=1e-6)
    settings = pipe.resolve("a", **SIZE, **job)
    assert "control_image" not in settings.conditions
    assert pipe.resolve(**settings.options(image=picture(3), mask_image=mask())) == settings
    with pytest.raises(ConfigError, match="control_image must be a picture for each ControlNet, got 0; this pipeline takes 2"):
        shown(pipe, **(job | {"control_preprocessor": ["inpaint", "none"]}))


def test_a_controlnet_without_a_picture_is_refused_where_compat_ignores_that_of_the_call(pipe: sdrt.Pipeline) -> None:
    job: dict[str, Any] = {
        "image": picture(3),
        "strength": 1,
        "control_preprocessor": "inpaint",
        "scheduler": "dpm++ 2m",
        "compat": "apple",
    }
    with pytest.raises(ConfigError, match="control_image must be a picture for each ControlNet, got 0; this pipeline takes 2"):
        shown(pipe, **job)


def test_each_image_of_a_call_has_the_hole_of_its_mask(pipe: sdrt.Pipeline) -> None:
    other = Image.fromarray(255 - np.asarray(mask()))
    [holed, _] = shown(pipe, image=picture(3), mask_image=[mask(), other], control_preprocessor="inpaint", num_images=2)
    assert holed.shape == (2, 3, 64, 48)
    for each, its in zip(holed, (mask(), other), strict=True):
        np.testing.assert_array_equal((each == -1).all(axis=0), np.asarray(its) > 0)


def test_where_a_part_is_drawn_alone_controlnets_see_that_part(pipe: sdrt.Pipeline) -> None:
    pixels = np.zeros((128, 96), np.uint8)
    pixels[32:64, 24:48] = 255
    whole = picture(3, 96, 128)
    job: dict[str, Any] = {"image": whole, "mask_image": Image.fromarray(pixels), "only_masked": True, "only_masked_padding": 0}
    source = resolved(pipe, job | {"control_image": [whole] * 2}).source
    assert source is not None
    # one of another size is brought to the size of the whole first
    for given in (whole, whole.resize((192, 256), Image.Resampling.NEAREST)):
        seen, _ = shown(pipe, **job, control_image=[given] * 2)
        assert np.abs(seen - (source.pictures[0].pixels + 1) / 2).mean() < (1e-6 if given is whole else 0.05)


def test_a_union_is_given_all_its_pictures_and_their_sorts(root: Path) -> None:
    pipe = sdrt.load(save_pipeline_folder(root / "sdxl", "sdxl"), FakeBackend(), controlnet=save_union_folder(root / "union"))
    options: dict[str, Any] = {"control_image": [picture(3), picture(4)], "control_type": ["scribble", 0]}
    [control] = resolved(pipe, options | {"controlnet_conditioning_scale": (0.5, 0.25)}).controls
    assert control.picture.shape == (1, 2, 3, 64, 48)
    inputs = control.inputs([0, 1, 0], np.dtype(np.float32))
    assert inputs["controlnet_cond"].shape == (3, 2, 3, 64, 48)
    assert inputs["control_type"].tolist() == [[2, 0]] * 3
    assert inputs["control_scale"].tolist() == [[0.5, 0.25]] * 3
    assert control.settings.conditioning_scale == 1
    settings = pipe.resolve("a", **SIZE, **options)
    assert settings.conditions["control_type"] == [2, 0]
    assert pipe.resolve(**settings.options(control_image=options["control_image"])) == settings
    [alone] = resolved(pipe, {"control_image": picture(3), "control_type": "mlsd"}).controls
    assert (alone.sorts, alone.scales) == ((3,), (1.0,))
