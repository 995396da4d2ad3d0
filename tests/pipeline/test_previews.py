"""Previews of a run: what each kind shows, that the safety checker sees it, and that the run does not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.errors import ConfigError, ModelError
from sdrt.models.families.latent_space import SD_LATENTS, LatentSpace
from sdrt.pipeline.previews import latent_pictures
from tests.fake_backend import FakeBackend
from tests.pictures import psnr

PROMPT = "a red circle on a blue background"
QUICK: dict[str, Any] = {"num_inference_steps": 3, "num_images": 2, "seed": 93, "height": 64, "width": 64}
KINDS: tuple[Any, ...] = ("latent", "taesd", "vae")


@pytest.fixture(scope="module")
def pipe() -> sdrt.Pipeline:
    return sdrt.load("nano", preview_vae="taesd")


def test_previews_leave_the_run_as_it_is(pipe: sdrt.Pipeline) -> None:
    """The same bytes with previews of every kind at every step, with a sampler that draws noise, and without any."""
    options = QUICK | {"scheduler": "euler a"}
    plain = sdrt.load("nano").generate(PROMPT, **options)
    steps = pipe.steps(PROMPT, **options)
    for step in steps:
        for kind in KINDS:
            assert len(step.decode(kind=kind)) == 2
    result = steps.result()
    assert [image.tobytes() for image in result.images] == [image.tobytes() for image in plain.images]
    assert result.settings == plain.settings


def test_each_kind_shows_the_picture(pipe: sdrt.Pipeline) -> None:
    """At the last step: the model's own decoder is the truth, the quick one is near, the map has its colours at the size of a latent."""
    steps = pipe.steps(PROMPT, **(QUICK | {"num_inference_steps": 12, "height": 128, "width": 128}))
    *_, last = steps
    truth = last.decode()
    assert truth[0].tobytes() == steps.result().images[0].tobytes()
    for k in range(2):
        assert psnr(last.decode(k, "taesd"), truth[k]) > 22
        coarse = truth[k].resize((16, 16), Image.Resampling.BOX)
        assert psnr(last.decode(k, "latent").resize((16, 16), Image.Resampling.BOX), coarse) > 12
        # and not those of the other picture's latents, nor of none
        assert last.decode(k, "latent").size == truth[k].size


@pytest.mark.parametrize("kind", KINDS)
def test_one_image_of_a_batch(pipe: sdrt.Pipeline, kind: Any) -> None:
    step = next(pipe.steps(PROMPT, **QUICK))
    every = step.decode(kind=kind)
    assert every[0].tobytes() != every[1].tobytes()
    for k in range(2):
        assert step.decode(k, kind).tobytes() == every[k].tobytes()


def test_the_map_is_linear_in_the_latents() -> None:
    """Against numpy's product; a pixel for each latent, then Pillow's enlargement."""
    latents = np.random.default_rng(0).standard_normal((2, 4, 3, 5)).astype(np.float32)
    wanted = np.einsum("nchw,ck->nhwk", latents, SD_LATENTS.rgb_factors) + SD_LATENTS.rgb_bias
    pixels = np.rint((np.clip(wanted, -1, 1) * 0.5 + 0.5) * 255).astype(np.uint8)
    for found, small in zip(latent_pictures(latents, SD_LATENTS, 8), pixels, strict=True):
        assert found.size == (40, 24)
        large = Image.fromarray(small).resize((40, 24), Image.Resampling.BICUBIC)
        # one of 255, where a float32 and a float64 round apart
        assert np.abs(np.asarray(found, int) - np.asarray(large, int)).max() <= 2


def test_kept_pixels_are_those_of_the_input_in_previews_too(pipe: sdrt.Pipeline) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    mask = np.zeros((128, 128), np.uint8)
    mask[:, 64:] = 255
    steps = pipe.steps(PROMPT, seed=1, num_inference_steps=3, image=Image.fromarray(photograph), mask_image=Image.fromarray(mask))
    step = next(steps)
    for kind in KINDS:
        np.testing.assert_array_equal(np.asarray(step.decode(0, kind))[:, :64], photograph[:, :64])


def test_kinds_that_a_pipeline_does_not_have_are_named(tmp_path: Path) -> None:
    plain = sdrt.load("nano")
    assert plain.preview_kinds == ("latent", "vae")
    step = next(plain.steps(PROMPT, **QUICK))
    with pytest.raises(
        ConfigError, match="kind must be 'latent' or 'vae' for this pipeline, got 'taesd'; load it with preview_vae='taesd'"
    ):
        step.decode(kind="taesd")
    with pytest.raises(ConfigError, match="kind must be 'latent' or 'taesd' or 'vae', got 'x'"):
        step.decode(kind="x")  # type: ignore[call-overload]


def test_a_quick_autoencoder_in_the_place_of_the_vae_is_a_quick_decoder() -> None:
    pipe = sdrt.load("nano", vae="taesd")
    assert pipe.preview_kinds == ("latent", "taesd", "vae")
    step = next(pipe.steps(PROMPT, **QUICK))
    assert step.decode(0, "taesd").tobytes() == step.decode(0, "vae").tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_safety_checker_sees_previews_of_every_kind(tmp_path: Path, kind: Any) -> None:
    import json

    from tests.factories import random_quick_vae, save_pipeline_folder

    folder = save_pipeline_folder(tmp_path / "model", "sd1", safety_checker=True)
    (folder / "sdrt.json").write_text(json.dumps({"latent_rgb": [[0.3, 0.2, 0.1]] * 5}))
    random_quick_vae({}).save_pretrained(tmp_path / "taesd")
    seen = []

    def flag(clip_input: np.ndarray) -> dict[str, np.ndarray]:
        seen.append(len(clip_input))
        scores = np.full((1, 17), 1.0, np.float32)
        return {"concept_scores": scores, "special_scores": scores[:, :3]}

    judged = sdrt.load(folder, FakeBackend({"safety_checker": flag}), preview_vae=tmp_path / "taesd", safety_checker=True)
    step = next(judged.steps(PROMPT, num_inference_steps=2, num_images=2, height=64, width=64))
    assert all(not np.asarray(image).any() for image in step.decode(kind=kind))
    assert not np.asarray(step.decode(1, kind)).any()
    assert len(seen) == 3


@pytest.mark.parametrize("kind", ["latent", "taesd"])
def test_previews_beside_core_ml_packages(nano_packages: Path, kind: Any) -> None:
    """The map needs no network, and the quick decoder runs on numpy; both show what the packages' own decoder does."""
    with sdrt.load(nano_packages, preview_vae="nano-quick") as pipe:
        *_, step = pipe.steps(PROMPT, seed=3, num_inference_steps=2)
        assert pipe.backends["vae_decoder"] == "coreml"
        found, truth = step.decode(0, kind), step.decode(0)
        assert found.size == truth.size
        with sdrt.load("nano", preview_vae="nano-quick") as plain:
            *_, own = plain.steps(PROMPT, seed=3, num_inference_steps=2, height=64, width=64)
            assert psnr(own.decode(0, kind), found) > 35  # the packages are in float16


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"latent_rgb": [[0.1, 0.2, 0.3]]}, "latent_rgb must be"),
        ({"latent_rgb": [[0.1, 0.2]] * 5}, "latent_rgb must be"),
        ({"latent_rgb": [[0.1, 0.2, "x"]] * 5}, "latent_rgb must be"),
        ({"quick_vae": "someone/else"}, "quick_vae must be 'nano-quick'"),
    ],
)
def test_what_a_model_says_of_its_latents_is_checked(tmp_path: Path, stated: dict[str, Any], message: str) -> None:
    import json
    import shutil

    from sdrt.models import path

    folder = shutil.copytree(path("nano"), tmp_path / "nano")
    (folder / "sdrt.json").write_text(json.dumps(stated))
    with pytest.raises(ModelError, match=message):
        sdrt.load(folder)


def test_a_map_of_other_channels_is_none(tmp_path: Path) -> None:
    """A row for each channel and one to add; a model with another number of channels has no such previews."""
    import json
    import shutil

    from sdrt.models import path

    folder = shutil.copytree(path("nano"), tmp_path / "nano")
    (folder / "sdrt.json").write_text(json.dumps({"latent_rgb": [[0.1, 0.2, 0.3]] * 4}))
    assert sdrt.load(folder).preview_kinds == ("vae",)
    assert LatentSpace().rgb_factors == ()


def test_networks_of_previews_are_closed_with_the_pipeline() -> None:
    pipe = sdrt.load("nano", preview_vae="taesd")
    step = next(pipe.steps(PROMPT, **QUICK))
    step.decode(0, "taesd")
    pipe.close()
    with pytest.raises(sdrt.SdrtError, match="the pipeline is closed"):
        step.decode(0, "taesd")
