"""Folders of packages with nothing beside them: what their shapes tell, what is assumed, and that it is said."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from sdrt.errors import MissingFileError, ModelError
from sdrt.models import CoreMLFolder, open_model
from sdrt.models.components import ComponentName
from sdrt.models.coreml import Layout, Ports
from sdrt.models.mlpackage.features import Feature

Shapes = Mapping[str, tuple[int, ...]]


def ports(inputs: Shapes, outputs: Shapes) -> Ports:
    made = ({name: Feature(name=name, dtype="float32", shape=shape) for name, shape in shapes.items()} for shapes in (inputs, outputs))
    return Ports(*made)


def bare(tmp_path: Path, *, width: int, latent: tuple[int, int] = (64, 64), channels: int = 4, xl: bool = False) -> CoreMLFolder:
    """A folder of packages with Apple's inputs and outputs; none is on disk."""
    added: Shapes = {"time_ids": (12,), "text_embeds": (2, 1280)} if xl else {}
    parts: dict[ComponentName, Ports] = {
        "text_encoder": ports({"input_ids": (1, 77)}, {"last_hidden_state": (1, 77, width), "pooled_outputs": (1, width)}),
        "unet": ports(
            {"sample": (2, channels, *latent), "timestep": (2,), "encoder_hidden_states": (2, width, 1, 77), **added},
            {"noise_pred": (2, 4, *latent)},
        ),
        "vae_decoder": ports({"z": (1, 4, *latent)}, {"image": (1, 3, *(8 * side for side in latent))}),
    }
    layout = Layout(path=tmp_path, roles={role: (tmp_path / f"{role}.mlpackage",) for role in ("text_encoder", "unet", "vae_decoder")})
    folder = CoreMLFolder(tmp_path, "bare", layout=layout)
    folder.__dict__.update(ports=parts, _vocabulary_sizes={"text_encoder": 49408})
    return folder


SIZES = [
    ((96, 96), 4, "v_prediction"),
    ((64, 64), 4, "epsilon"),
    ((64, 96), 4, "epsilon"),
    ((128, 128), 4, "v_prediction"),
    ((64, 64), 9, "epsilon"),
]


@pytest.mark.parametrize(("latent", "channels", "predicts"), SIZES)
def test_stable_diffusion_2_is_known_by_the_width_of_its_texts(
    latent: tuple[int, int], channels: int, predicts: str, tmp_path: Path
) -> None:
    folder = bare(tmp_path, width=1024, latent=latent, channels=channels)
    assert folder.scheduler_config["prediction_type"] == predicts
    assert folder.pad_tokens["text_encoder"] == "!"
    assert folder.remarks["assumed prediction_type"].startswith(f"{predicts}, by latents of ")
    assert folder.remarks["assumed pad token"] == "'!', that of Stable Diffusion 2.x, by the width of its texts"
    assert folder.remarks["assumed scheduler"].startswith("that of Stable Diffusion 2.x, for want of a scheduler_config.json")
    assert "pass another with tokenizer=" in folder.remarks["assumed tokenizer"]


def test_stable_diffusion_1_and_xl_stay_what_they_were(tmp_path: Path) -> None:
    first, xl = bare(tmp_path, width=768), bare(tmp_path, width=2048, latent=(128, 128), xl=True)
    assert first.scheduler_config["_class_name"] == "PNDMScheduler"
    assert xl.scheduler_config["_class_name"] == "EulerDiscreteScheduler"
    for folder in (first, xl):
        assert folder.scheduler_config["prediction_type"] == "epsilon"
        assert folder.pad_tokens["text_encoder"] == "<|endoftext|>"
        assert set(folder.remarks) == {"assumed tokenizer", "assumed scheduler", "assumed scaling_factor"}


def test_what_lies_beside_or_is_given_is_not_assumed(tmp_path: Path) -> None:
    (tmp_path / "scheduler_config.json").write_text('{"_class_name": "DDIMScheduler", "prediction_type": "epsilon"}')
    (tmp_path / "sdrt.json").write_text('{"coreml": {"format": 1, "pad_tokens": {"text_encoder": "x"}}}')
    (tmp_path / "vocab.json").write_text("{}")
    folder = bare(tmp_path, width=1024, latent=(96, 96))
    assert (folder.scheduler_config["prediction_type"], folder.pad_tokens["text_encoder"]) == ("epsilon", "x")
    assert set(folder.remarks) == {"assumed scaling_factor"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "must hold a JSON object"),
        ('{"coreml": []}', r"sdrt.json: coreml must be a mapping"),
        ('{"coreml": {"format": true}}', "the format must be 1, got True"),
        ('{"coreml": {"format": 1, "configs": {"unet": 3}}}', "coreml.configs must be a mapping"),
        ('{"coreml": {"format": 1, "pad_tokens": {"text_encoder": 3}}}', "coreml.pad_tokens must be a mapping"),
        ('{"coreml": {"format": 1, "pad_tokens": 3}}', "coreml.pad_tokens must be a mapping"),
        ('{"coreml": {"format": 1, "flags": {"force_zeros_for_empty_prompt": "no"}}}', "coreml.flags must be a mapping"),
        (
            '{"coreml": {"format": 1, "feature_extractor": {"image_mean": "abc"}}}',
            "coreml.feature_extractor.image_mean must be",
        ),
        ('{"coreml": {"format": 1, "traces": {"unet": 3}}}', "coreml.traces must hold names"),
        ('{"height": "512"}', "height must be a whole number"),
    ],
)
def test_a_sidecar_of_other_kinds_is_one_error(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "sdrt.json").write_text(content)
    folder = bare(tmp_path, width=768)
    with pytest.raises(ModelError, match=message):
        read_all(folder)


def read_all(folder: CoreMLFolder) -> None:
    _ = (folder.pad_tokens, folder.flags, folder.feature_extractor_config, folder.defaults)
    folder.config("unet")
    folder.traced_values("unet")


@pytest.mark.parametrize(
    ("component", "wrong", "message"),
    [
        ("unet", ports({"sample": (2, 4), "encoder_hidden_states": (2, 768, 1, 77)}, {}), r"sample with 4 dimensions, got \[2, 4\]"),
        ("unet", ports({"sample": (2, 4, 8, 8)}, {}), r"encoder_hidden_states with 3 or 4 dimensions, got \[\]"),
        ("text_encoder", ports({"input_ids": (1, 77)}, {}), r"hidden_embeds with 3 dimensions"),
        ("vae_decoder", ports({"z": (4, 8, 8)}, {}), r"z with 4 dimensions"),
    ],
)
def test_packages_of_something_else_are_one_error(component: ComponentName, wrong: Ports, message: str, tmp_path: Path) -> None:
    folder = bare(tmp_path, width=768)
    folder.__dict__["ports"][component] = wrong
    with pytest.raises(ModelError, match=message):
        folder.config(component)


@pytest.mark.parametrize("name", ["MultiModalDiffusionTransformer.mlmodelc", "Stable_Diffusion_version_maker_sd3_mmdit.mlpackage"])
def test_stable_diffusion_3_is_known_and_refused(name: str, tmp_path: Path) -> None:
    beside = "TextEncoder.mlmodelc" if name.endswith("c") else "Stable_Diffusion_version_maker_sd3_text_encoder.mlpackage"
    for package in (name, beside):
        (tmp_path / package).mkdir()
    with pytest.raises(ModelError, match="must be a model with a U-Net, got Stable Diffusion 3"):
        open_model(tmp_path)
    (tmp_path / name).rmdir()
    with pytest.raises(MissingFileError, match="has no package of a U-Net"):
        open_model(tmp_path)
