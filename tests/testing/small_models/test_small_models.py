"""The small models that numpy writes are models to diffusers and transformers, and draw the same pictures there.

In-painting, the refiner and ControlNets draw in tests/pipeline, over the same folders.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, ControlNetUnionModel, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.numpy import load_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

import sdrt
from sdrt.errors import ConfigError, ImageError
from sdrt.models import ComponentName
from sdrt.testing.small_models import FAMILIES, FamilyName, write_controlnet, write_model
from tests.peers import PROMPT, open_peer

CLASSES: dict[str, Any] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "controlnet": ControlNetModel,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
    "safety_checker": StableDiffusionSafetyChecker,
}
EXTRAS: dict[FamilyName, tuple[ComponentName, ...]] = {"sd1": ("controlnet", "safety_checker"), "sdxl": ("controlnet",)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[FamilyName, Path]:
    root = tmp_path_factory.mktemp("small")
    return {family: write_model(root / family, family, extras=EXTRAS.get(family, ())) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_peers_find_every_tensor_and_no_other(folders: dict[FamilyName, Path], family: FamilyName) -> None:
    found = {folder.name for folder in folders[family].iterdir()} & CLASSES.keys()
    assert {"unet", "vae", *EXTRAS.get(family, ())} <= found
    for name in found:
        _, remarks = CLASSES[name].from_pretrained(folders[family] / name, output_loading_info=True)
        assert not any(remarks.values()), (name, remarks)


def test_a_union_too(tmp_path: Path) -> None:
    _, remarks = ControlNetUnionModel.from_pretrained(write_controlnet(tmp_path, "sdxl", union=True), output_loading_info=True)
    assert not any(remarks.values()), remarks


@pytest.mark.parametrize(("family", "kind"), [("sd1", ""), ("sd2", ""), ("sdxl", "XL")])
def test_diffusers_draws_the_same_picture(folders: dict[FamilyName, Path], family: FamilyName, kind: str) -> None:
    """60 dB: one level of grey in one pixel of four hundred; nothing else may differ than float32's rounding."""
    options: dict[str, Any] = {"num_inference_steps": 3, "height": 64, "width": 96, "guidance_scale": 3.0}
    peer = open_peer(f"StableDiffusion{kind}Pipeline", folders[family], **({} if kind else {"safety_checker": None}))
    [theirs] = peer(PROMPT, generator=torch.Generator().manual_seed(3), output_type="np", **options).images
    [ours] = sdrt.load(folders[family]).generate(PROMPT, seed=3, **options).images
    error = np.mean((np.asarray(ours) / 255.0 - np.round(theirs * 255.0) / 255.0) ** 2)
    assert np.asarray(ours).std() > 10
    assert error < 1e-6


def test_every_tensor_is_random_and_activations_stay_of_order_one(folders: dict[FamilyName, Path]) -> None:
    """Nothing is 0 or 1 throughout, which would hide a weight that is ignored; and layers neither die nor grow."""
    for family in FAMILIES:
        for file in folders[family].rglob("*.safetensors"):
            for name, tensor in load_file(file).items():
                assert tensor.size < 4 or tensor.std() > 1e-3, (file, name)
    pipe = sdrt.load(folders["sd1"])
    last = list(pipe.steps("a red circle", seed=1, num_inference_steps=2, height=64, width=64))[-1]
    assert 0.3 < last.latents.std() < 30


def test_bytes_follow_from_the_seed(tmp_path: Path) -> None:
    def digest(folder: Path) -> str:
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

    first, again, other = (write_model(tmp_path / name, seed=seed) for name, seed in (("a", 5), ("b", 5), ("c", 6)))
    assert digest(first) == digest(again) != digest(other)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    unknown: Any = "sd3"
    needed: tuple[ComponentName, ...] = ("unet",)
    for call in (
        lambda: write_model(tmp_path, unknown),
        lambda: write_model(tmp_path, "sd1", extras=needed),
        lambda: write_controlnet(tmp_path, "lcm"),
        lambda: write_controlnet(tmp_path, "sd1", union=True),
    ):
        with pytest.raises(ConfigError):
            call()
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_folder_s_place_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_text("mine")
    for write in (write_model, write_controlnet):
        with pytest.raises(ImageError, match="cannot be made a folder"):
            write(file)
    assert file.read_text() == "mine"
