"""Which family a model is of, and what each makes of texts and sizes."""

from pathlib import Path

import numpy as np
import pytest

from sdrt.errors import ConfigError
from sdrt.models import open_model
from sdrt.models.components import COMPONENTS
from sdrt.models.coreml.derived import assumed_release
from sdrt.models.families import RELEASES, EncodedText, LatentFormat, MicroConditions, Release, family_of
from tests.factories import ADDED, UNETS, VAES, Form, normal, save_pipeline_folder

SIZES = MicroConditions(original_size=(11, 12), crops_coords_top_left=(13, 14), target_size=(15, 16), aesthetic_score=7.0)
ROWS = ("negative", "prompt")


@pytest.mark.parametrize(
    ("form", "name", "encoders"),
    [
        ("sd1", "Stable Diffusion 1.x and 2.x", ["text_encoder"]),
        ("sd2", "Stable Diffusion 1.x and 2.x", ["text_encoder"]),
        ("inpaint", "Stable Diffusion 1.x and 2.x", ["text_encoder"]),
        ("lcm", "Stable Diffusion 1.x and 2.x", ["text_encoder"]),
        ("sdxl", "Stable Diffusion XL", ["text_encoder", "text_encoder_2"]),
        ("sdxl-refiner", "Stable Diffusion XL's refiner", ["text_encoder_2"]),
    ],
)
def test_a_model_is_of_the_family_that_its_denoiser_says(tmp_path: Path, form: Form, name: str, encoders: list[str]) -> None:
    model = open_model(save_pipeline_folder(tmp_path / "model", form))
    family = family_of(model)
    assert family.name == name
    assert [each.component for each in family.text_encoders] == encoders
    assert family.inpaints(model.config("unet"), LatentFormat.read(model.config("vae_decoder"))) is (form == "inpaint")
    assert (family.guidance_size(model.config("unet")) is not None) is (form == "lcm")
    assert family.takes_sizes is (form in ADDED)


def test_two_encoders_stand_side_by_side_and_the_last_one_is_pooled(pristine: dict[str, Path]) -> None:
    model = open_model(pristine["sdxl"])
    width, _ = ADDED["sdxl"]
    first, second = EncodedText(normal(0, 2, 5, 8), normal(1, 2, 8)), EncodedText(normal(2, 2, 5, 4), normal(3, 2, width))
    given = family_of(model).conditions(model.config("unet"), (first, second), SIZES, ROWS)
    assert given.keys() == {"encoder_hidden_states", "text_embeds", "time_ids"}
    np.testing.assert_array_equal(given["encoder_hidden_states"], np.concatenate([first.states, second.states], axis=2))
    np.testing.assert_array_equal(given["text_embeds"], second.pooled)
    assert given["time_ids"].tolist() == [[11, 12, 13, 14, 15, 16]] * 2


def test_rows_become_zeros_where_that_is_asked_for_and_nowhere_else(pristine: dict[str, Path]) -> None:
    model = open_model(pristine["sdxl"])
    texts = [EncodedText(normal(0, 2, 5, 8), normal(1, 2, ADDED["sdxl"][0]))] * 2
    before = texts[0].pooled.copy()
    given = family_of(model).conditions(model.config("unet"), texts, SIZES, ROWS, zeroed=["negative"])
    for name in ("encoder_hidden_states", "text_embeds"):
        assert not given[name][0].any()
        assert given[name][1].all()
    np.testing.assert_array_equal(texts[0].pooled, before)


def test_a_refiner_is_told_scores_by_row(pristine: dict[str, Path]) -> None:
    model = open_model(pristine["sdxl-refiner"])
    texts = [EncodedText(normal(0, 2, 5, 8), normal(1, 2, ADDED["sdxl-refiner"][0]))]
    given = family_of(model).conditions(model.config("unet"), texts, SIZES, ROWS)
    assert given["time_ids"].tolist() == [[11, 12, 13, 14, 2.5], [11, 12, 13, 14, 7.0]]
    assert family_of(model).conditions(model.config("unet"), texts, SIZES, ["prompt"])["time_ids"].tolist() == [[11, 12, 13, 14, 7.0]]


def test_a_pooled_text_of_another_model_is_refused(pristine: dict[str, Path]) -> None:
    model = open_model(pristine["sdxl"])
    width, _ = ADDED["sdxl"]
    texts = [EncodedText(normal(0, 1, 5, 8), normal(1, 1, width + 1))]
    with pytest.raises(ConfigError, match=rf"the pooled text must be {width} wide for this unet .*, got {width + 1}"):
        family_of(model).conditions(model.config("unet"), texts, SIZES, ["prompt"])


def test_channels_that_are_neither_plain_nor_for_inpainting_are_refused(pristine: dict[str, Path]) -> None:
    model = open_model(pristine["sd1"])
    latents = LatentFormat.read(model.config("vae_decoder"))
    with pytest.raises(ConfigError, match=r"as many channels as the vae has, 4, or .*, 9, got 5"):
        family_of(model).inpaints({"in_channels": 5}, latents)


def test_latents_go_to_the_autoencoder_and_back() -> None:
    levels = len(VAES["sd1"]["block_out_channels"])
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * levels, "up_block_types": ["UpDecoderBlock2D"] * levels}
    config = COMPONENTS["vae_decoder"].complete({**VAES["sd1"], **blocks, "scaling_factor": 2.0, "shift_factor": 0.5})
    latents = LatentFormat.read(config)
    assert latents.to_autoencoder(np.array([4.0])).tolist() == [2.5]
    assert latents.to_denoiser(np.array([2.5])).tolist() == [4.0]
    assert latents.pixels == 2 ** (levels - 1)
    assert LatentFormat.read({**config, "sample_size": [96, 64]}).tile == 64


def test_latents_with_a_mean_and_a_deviation_are_as_the_peer_has_them() -> None:
    """``StableDiffusionXLPipeline``: ``latents * std / scaling_factor + mean``; of models that state none nothing changes."""
    statistics = {"latents_mean": [1.0, -2.0, 0.5, 0.0], "latents_std": [2.0, 4.0, 0.5, 1.0], "scaling_factor": 0.5}
    latents = LatentFormat.read(COMPONENTS["vae_decoder"].complete(statistics))
    z = np.random.default_rng(0).standard_normal((2, 4, 3, 5)).astype(np.float32)
    mean, deviation = (np.array(statistics[name], np.float32)[None, :, None, None] for name in ("latents_mean", "latents_std"))
    np.testing.assert_array_equal(latents.to_autoencoder(z), z * deviation / np.float32(0.5) + mean)
    np.testing.assert_allclose(latents.to_denoiser(latents.to_autoencoder(z)), z, rtol=1e-5, atol=1e-6)
    assert latents.to_autoencoder(z).dtype == np.float32


def test_the_native_size_is_that_of_the_latents_in_pixels(pristine: dict[str, Path]) -> None:
    model = open_model(pristine["sd1"])
    latents = LatentFormat.read(model.config("vae_decoder"))
    family = family_of(model)
    side = UNETS["sd1"].get("sample_size") or 64
    assert family.native_size(model.config("unet"), latents) == (side * latents.pixels, side * latents.pixels)
    assert family.native_size({"sample_size": [3, 5]}, latents) == (3 * latents.pixels, 5 * latents.pixels)
    assert family.native_size({"sample_size": None}, latents) == (64 * latents.pixels, 64 * latents.pixels)


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_no_published_scheduler_clips_latents(release: Release) -> None:
    """A sampler that is chosen by name takes this key of the model's own scheduler, and diffusers' default would clip x0 to [-1, 1]."""
    assert release.scheduler["clip_sample"] is False


@pytest.mark.parametrize(
    ("kind", "width", "refining", "name"),
    [
        (None, 768, False, "Stable Diffusion 1.x"),
        (None, 1024, False, "Stable Diffusion 2.x"),
        ("text_time", 2048, False, "Stable Diffusion XL"),
        ("text_time", 1280, True, "Stable Diffusion XL's refiner"),
    ],
)
def test_packages_that_come_alone_are_taken_for_a_release(kind: str | None, width: int, refining: bool, name: str) -> None:
    assert assumed_release({"addition_embed_type": kind, "cross_attention_dim": width}, refining=refining).name == name
