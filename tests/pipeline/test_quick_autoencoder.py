"""Whole pictures through a quick autoencoder (TAESD) in the place of a model's VAE, against diffusers' pipelines with AutoencoderTiny."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file

import sdrt
from sdrt.errors import ConfigError, SdrtError
from tests.factories import Form, random_quick_vae, save_pipeline_folder
from tests.peers import NEGATIVE, PROMPT, mask, open_peer, peer_picture, picture
from tests.pictures import psnr

QUICK: dict[str, Any] = {"num_inference_steps": 2, "guidance_scale": 5.0, "height": 64, "width": 48}
# In real proportions, which is a tenth of a second a picture of this size.
CONFIG: dict[str, Any] = {}
SAME = 60  # dB: the same picture but for pixels that round the other way
OTHER = 40  # below it a picture is another one


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("models")
    return cache(lambda form: save_pipeline_folder(root / form, form))


@pytest.fixture(scope="module")
def taesd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taesd")
    random_quick_vae(CONFIG, seed=5).save_pretrained(folder)
    return folder


def _peer(kind: str, folder: Path, taesd: Path) -> Any:
    return open_peer(f"StableDiffusion{kind}Pipeline", folder, vae=AutoencoderTiny.from_pretrained(taesd))


def _drawn(pipe: sdrt.Pipeline, **options: Any) -> np.ndarray:
    [image] = pipe.generate(PROMPT, NEGATIVE, seed=93, **(QUICK | options)).images
    return np.asarray(image)


@pytest.mark.parametrize(
    ("form", "backend"),
    [("sd1", "numpy"), ("sd1", "torch"), ("sdxl", "numpy"), pytest.param("sdxl", "torch", marks=pytest.mark.slow)],
)
def test_a_picture_of_a_text(models: Any, taesd: Path, form: Form, backend: str) -> None:
    peer = _peer("XL" if form == "sdxl" else "", models(form), taesd)
    wanted = peer_picture(peer, negative_prompt=NEGATIVE, **QUICK)
    pipe = sdrt.load(models(form), backend, vae=taesd)
    assert psnr(_drawn(sdrt.load(models(form), backend)), wanted) < OTHER
    assert psnr(_drawn(pipe), wanted) > SAME


@pytest.mark.parametrize("backend", ["numpy", pytest.param("torch", marks=pytest.mark.slow)])
def test_a_picture_of_a_picture_draws_no_noise_for_a_posterior(models: Any, taesd: Path, backend: str) -> None:
    """diffusers' generator goes straight to the noise of the latents, since the encoder gives latents."""
    options: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 5.0, "strength": 0.5, "image": picture(3)}
    wanted = peer_picture(_peer("Img2Img", models("sd1"), taesd), negative_prompt=NEGATIVE, **options)
    pipe = sdrt.load(models("sd1"), backend, vae=taesd)
    found = np.asarray(pipe.generate(PROMPT, NEGATIVE, seed=93, **options).images[0])
    assert psnr(found, wanted) > SAME
    plain = np.asarray(sdrt.load(models("sd1"), backend).generate(PROMPT, NEGATIVE, seed=93, **options).images[0])
    assert psnr(plain, wanted) < OTHER


@pytest.mark.parametrize("form", ["sd1", "inpaint"])
def test_in_painting(models: Any, taesd: Path, form: Form) -> None:
    """With a plain U-Net and with one that takes the masked picture's latents: here too nothing is drawn for a posterior."""
    options: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 5.0, "strength": 0.75, "image": picture(3), "mask_image": mask()}
    size: dict[str, Any] = {"height": 64, "width": 48}
    wanted = peer_picture(_peer("Inpaint", models(form), taesd), negative_prompt=NEGATIVE, **options, **size)
    pipe = sdrt.load(models(form), vae=taesd)
    found = np.asarray(pipe.generate(PROMPT, NEGATIVE, seed=93, paste=False, **options).images[0])
    assert psnr(found, wanted) > SAME


def test_several_images_of_several_pictures(models: Any, taesd: Path) -> None:
    """Each image is that of its own picture alone."""
    pipe = sdrt.load(models("sd1"), vae=taesd, numerics="float64")
    options: dict[str, Any] = {"num_inference_steps": 2, "strength": 0.5}
    together = pipe.generate(PROMPT, seed=93, num_images=2, image=[picture(3), picture(4)], **options).images
    for k, each in enumerate((picture(3), picture(4))):
        [alone] = pipe.generate(PROMPT, seed=93 + k, image=each, **options).images
        assert psnr(together[k], alone) > SAME
    one_for_all = pipe.generate(PROMPT, seed=93, num_images=2, image=picture(3), **options).images
    assert psnr(one_for_all[0], together[0]) > SAME
    assert psnr(one_for_all[1], together[1]) < OTHER


def test_exact_pictures_are_the_same_bytes_with_less_memory(models: Any, taesd: Path) -> None:
    memories: tuple[dict[str, Any], ...] = ({"threads": 1}, {"threads": 2, "reduce_memory": True})
    pictures = [
        sdrt.load(models("sd1"), vae=taesd, numerics="exact", **more).generate(PROMPT, seed=1, num_inference_steps=1, height=64, width=64)
        for more in memories
    ]
    assert pictures[0].images[0].tobytes() == pictures[1].images[0].tobytes()


def test_a_decoder_alone_makes_no_latents_of_pictures(models: Any, tmp_path: Path) -> None:
    """And the model's own encoder, whose latents have another scale, does not stand in for it."""
    vae = random_quick_vae(CONFIG, seed=5)
    names = {f"{int(name.split('.')[1]) + 1}.{name.split('.', 2)[2]}": tensor for name, tensor in vae.decoder.state_dict().items()}
    save_file(names, tmp_path / "taesd_decoder.safetensors")
    pipe = sdrt.load(models("sd1"), vae=tmp_path / "taesd_decoder.safetensors")
    assert "vae_encoder" not in pipe.model.components
    assert pipe.generate(PROMPT, seed=1, num_inference_steps=1, height=64, width=48).images
    with pytest.raises(ConfigError, match=r"image must be left out for .*, which has no vae_encoder, got 1; pass image_latents"):
        pipe.generate(PROMPT, image=picture(3))


def test_latents_of_other_channels_are_refused(models: Any, tmp_path: Path) -> None:
    """Stable Diffusion 3's and FLUX's quick autoencoders have sixteen."""
    random_quick_vae({"latent_channels": 16}).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="as many channels as the vae has, 16"):
        sdrt.load(models("sd1"), vae=tmp_path)
    with pytest.raises(ConfigError, match="preview_vae must be for latents of 4 channels and 8 pixels along each side"):
        sdrt.load(models("sd1"), preview_vae=tmp_path)


@pytest.mark.parametrize("option", ["vae", "preview_vae"])
def test_taesd_is_a_name_where_one_is_known(models: Any, option: str) -> None:
    named: dict[str, Any] = {option: "taesd"}
    with pytest.raises(ConfigError, match="no quick autoencoder is known for its latents; pass the path or the repository of one"):
        sdrt.load(models("sd1"), **named)


def test_taesd_of_a_published_model_is_a_repository(models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The U-Net's width tells; here the Hub is not asked, which the message says."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for form, name in (("sd1", "madebyollin/taesd"), ("sdxl", "madebyollin/taesdxl")):
        from sdrt.models import open_model
        from sdrt.models.families import family_of

        model = open_model(models(form))
        wide = {**model.config("unet"), "block_out_channels": [320, 640]}
        known = family_of(model).latent_space(wide)
        assert known is not None
        assert known.quick_vae == name
        assert len(known.rgb_factors) == 4
        assert family_of(model).latent_space(model.config("unet")) is None


def test_a_vae_is_no_quick_autoencoder(models: Any) -> None:
    with pytest.raises(SdrtError, match=r"preview_vae must be a quick autoencoder \(AutoencoderTiny\), got a VAE; pass it as vae"):
        sdrt.load(models("sd1"), preview_vae=models("sd1") / "vae")


def test_the_torch_decoder_is_the_peers_own(taesd: Path) -> None:
    """Shown once that the reference of this file is what it says: diffusers decodes latents as they are."""
    vae = AutoencoderTiny.from_pretrained(taesd)
    assert vae.config.scaling_factor == 1.0
    assert torch.equal(vae.decode(torch.ones(1, 4, 2, 2)).sample, vae.decoder(torch.ones(1, 4, 2, 2)))
