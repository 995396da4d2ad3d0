"""In-painting with U-Nets of 4 and of 9 channels: whole pictures against diffusers' pipelines, and masks whose grey means something."""

from functools import cache
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import sdrt
from tests.factories import Form, save_pipeline_folder
from tests.peers import NEGATIVE, PROMPT, SCHEDULERS, drawn, mask, open_peer, peer_drawn, picture, scheduler
from tests.pictures import psnr

QUICK: dict[str, Any] = {"num_inference_steps": 5, "guidance_scale": 5.0}
SIZE = {"height": 64, "width": 48}

FEW: list[tuple[Form, str, float]] = [
    ("sd1", "euler a", 0.6),
    ("sd1", "dpm++ 2m sde", 1.0),
    ("sd1", "heun", 0.6),
    ("sd1", "pndm", 0.6),
    ("inpaint", "euler a", 0.6),
    ("inpaint", "ddim", 1.0),
    ("sdxl", "euler a", 0.6),
]
FORMS: tuple[Form, ...] = ("sd1", "inpaint", "sdxl")
ALL = [(form, name, strength) for form in FORMS for name in SCHEDULERS for strength in (0.6, 1.0)]
TRIPLES = [*FEW, *(pytest.param(*triple, marks=pytest.mark.slow) for triple in ALL if triple not in FEW)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("models")
    return cache(lambda form: save_pipeline_folder(root / form, form))


@pytest.fixture(scope="module")
def peers(models: Any) -> Any:
    def opened(form: Form) -> Any:
        return open_peer(f"StableDiffusion{'XL' if form == 'sdxl' else ''}InpaintPipeline", models(form))

    return cache(opened)


@pytest.fixture(scope="module")
def load(models: Any) -> Any:
    return cache(lambda form, backend="numpy": sdrt.load(models(form), backend, threads=1))


def as_peer(name: str, **options: Any) -> dict[str, Any]:
    """The options with which sdrt draws diffusers' picture; pixels that are kept come through the autoencoder there."""
    own: dict[str, Any] = {"eta": 0.0} if name == "tcd" else {}
    return QUICK | {"scheduler": scheduler(name), "compat": "diffusers" if SCHEDULERS[name][2] else None, "paste": False} | own | options


@pytest.mark.parametrize(("form", "name", "strength"), TRIPLES)
def test_a_picture_is_in_painted_as_in_diffusers(load: Any, peers: Any, form: Form, name: str, strength: float) -> None:
    given: dict[str, Any] = {"image": picture(1), "mask_image": mask(), "strength": strength}
    [want], calls = peer_drawn(peers(form), config=scheduler(name), negative_prompt=NEGATIVE, **given, **SIZE, **QUICK)
    [got], own_calls = drawn(load(form), **as_peer(name, **given))
    assert want.std() > 10
    assert (psnr(got, want) >= 60, own_calls) == (True, calls), psnr(got, want)


@pytest.mark.parametrize(("form", "strength"), [("sd1", 0.6), ("inpaint", 1.0)])
def test_so_it_is_on_torch(load: Any, peers: Any, form: Form, strength: float) -> None:
    given: dict[str, Any] = {"image": picture(1), "mask_image": mask(), "strength": strength}
    [want], _ = peer_drawn(peers(form), config=scheduler("euler a"), negative_prompt=NEGATIVE, **given, **SIZE, **QUICK)
    [got], _ = drawn(load(form, "torch"), **as_peer("euler a", **given))
    assert psnr(got, want) >= 60


def test_picture_mask_and_strength_move_what_is_drawn(load: Any) -> None:
    given: dict[str, Any] = {"image": picture(1), "mask_image": mask(), "strength": 0.6}
    [plain], _ = drawn(load("sd1"), **as_peer("euler a", **given))
    for change in (
        {"image": picture(2)},
        {"mask_image": 255 - np.asarray(mask())},
        {"strength": 1.0},
        {"mask_image": None, "paste": None},
    ):
        [other], _ = drawn(load("sd1"), **as_peer("euler a", **(given | change)))
        assert psnr(plain, other) < 40, change


@pytest.mark.parametrize("form", ["sd1", "inpaint"])
def test_pictures_of_a_list_are_in_painted_each_from_its_own_seed(load: Any, peers: Any, form: Form) -> None:
    generators = [torch.Generator().manual_seed(93 + k) for k in range(2)]
    pictures, masks = [picture(1), picture(2)], [mask(), Image.fromarray(255 - np.asarray(mask()))]
    texts: dict[str, Any] = {"prompt": [PROMPT] * 2, "negative_prompt": [NEGATIVE] * 2}
    given: dict[str, Any] = {"image": pictures, "mask_image": masks, "strength": 0.6}
    want, _ = peer_drawn(peers(form), generators, scheduler("euler a"), **texts, **given, **SIZE, **QUICK)
    got, _ = drawn(load(form), **as_peer("euler a", **given))
    assert len(got) == 2
    for one, other in zip(got, want, strict=True):
        assert psnr(one, other) >= 60


def test_one_stream_in_paints_several(load: Any, peers: Any) -> None:
    """From one generator diffusers draws a posterior for each picture, and noise for each image."""
    given: dict[str, Any] = {"image": picture(1), "mask_image": mask(), "strength": 0.6}
    want, _ = peer_drawn(
        peers("sd1"), config=scheduler("euler a"), negative_prompt=NEGATIVE, num_images_per_prompt=2, **given, **SIZE, **QUICK
    )
    own = {"rng": sdrt.rng.stream("torch", 93), "seed": None, "num_images": 2}
    got, _ = drawn(load("sd1"), **as_peer("euler a", **given, **own))
    for one, other in zip(got, want, strict=True):
        assert psnr(one, other) >= 60


# ---- grey as a strength


def differential(peer: Any, picture: Image.Image, mask: np.ndarray, config: dict[str, Any], steps: int) -> np.ndarray:
    """Draw a whole run in which each cell stays the picture's while its threshold is above the share of steps that are done.

    Levin and Fried 2023 (arXiv:2306.00950), algorithm 1, over diffusers' networks. ``mask`` is float[h,w], how free each cell is.
    """
    generator = torch.Generator().manual_seed(93)
    peer.scheduler = diffusers.DDIMScheduler.from_config(config)
    peer.scheduler.set_timesteps(steps)
    with torch.no_grad():
        pixels = torch.from_numpy(np.asarray(picture, np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        clean = peer.vae.encode(pixels).latent_dist.sample(generator) * peer.vae.config.scaling_factor
        noise = torch.randn(clean.shape, generator=generator)
        texts = torch.cat(peer.encode_prompt(PROMPT, "cpu", 1, True, NEGATIVE)[::-1])
        free, x = torch.from_numpy(mask.astype(np.float32)), torch.empty(0)
        for i, t in enumerate(peer.scheduler.timesteps):
            at_this_level = peer.scheduler.add_noise(clean, noise, t[None])
            kept = 1 - free > i / steps
            x = torch.where(kept, at_this_level, x) if i else at_this_level
            negative, positive = peer.unet(torch.cat([x, x]), t, texts).sample.chunk(2)
            x = peer.scheduler.step(negative + 5.0 * (positive - negative), t, x).prev_sample
        x = torch.where(free <= 0, clean, x)
        image = peer.vae.decode(x / peer.vae.config.scaling_factor).sample
    return np.asarray(peer.image_processor.postprocess(image)[0])


def test_a_grey_mask_is_a_map_of_strengths(load: Any, peers: Any) -> None:
    shades = np.repeat(np.repeat(np.array([[0, 40, 110, 160, 210, 255]] * 8, np.uint8), 8, axis=0), 8, axis=1)
    given: dict[str, Any] = {"image": picture(1), "mask_image": shades, "mask_mode": "strength", "strength": 1.0}
    want = differential(peers("sd1"), picture(1), shades[::8, ::8] / 255, scheduler("ddim"), 5)
    [got], _ = drawn(load("sd1"), **as_peer("ddim", **given))
    assert psnr(got, want) >= 60
    [binary], _ = drawn(load("sd1"), **as_peer("ddim", **(given | {"mask_mode": "binary"})))
    assert psnr(binary, want) < 40


@pytest.mark.parametrize("mode", ["soft", "strength", "binary"])
def test_a_white_mask_is_no_mask(load: Any, mode: str) -> None:
    white = np.full((64, 48), 255, np.uint8)
    options = as_peer("ddim", image=picture(1), strength=0.6)
    [masked], _ = drawn(load("sd1"), **options, mask_image=white, mask_mode=mode)
    [plain], _ = drawn(load("sd1"), **(options | {"paste": None}))
    assert psnr(masked, plain) >= 60


@pytest.mark.parametrize("mode", ["soft", "strength", "binary"])
def test_a_black_mask_leaves_the_picture(load: Any, mode: str) -> None:
    """Without pasting it comes out as the autoencoder has it; with, byte for byte. A remark says that nothing is redrawn."""
    pipe, black = load("sd1"), np.zeros((64, 48), np.uint8)
    options = as_peer("ddim", image=picture(1), strength=0.6) | {"mask_image": black, "mask_mode": mode, "seed": 93}
    result = pipe.generate(PROMPT, NEGATIVE, **options)
    moments = pipe._assembly.base.networks.get("vae_encoder")(x=np.asarray(picture(1), np.float32).transpose(2, 0, 1)[None] / 127.5 - 1)
    mean, log_variance = np.split(moments["moments"], 2, axis=1)
    drawn_first = sdrt.rng.stream("torch", 93).normal(mean.shape)
    clean = (mean + np.exp(0.5 * np.clip(log_variance, -30, 20)) * drawn_first) * pipe.model.config("vae_encoder")["scaling_factor"]
    np.testing.assert_allclose(result.latents, clean, rtol=1e-4, atol=1e-4)
    assert "nothing is redrawn" in result.settings.remarks["empty mask"]
    pasted = pipe.generate(PROMPT, NEGATIVE, **(options | {"paste": True}))
    np.testing.assert_array_equal(np.asarray(pasted.images[0]), np.asarray(picture(1)))


def test_a_soft_mask_mixes_latents_in_its_proportion(load: Any) -> None:
    """A uniform grey takes its share of the picture's latents after each call, so that it lies between white and black."""
    options = as_peer("ddim", image=picture(1), strength=0.6) | {"mask_mode": "soft"}
    found = [
        load("sd1").generate(PROMPT, NEGATIVE, seed=93, mask_image=np.full((64, 48), shade, np.uint8), **options).latents
        for shade in (0, 128, 255)
    ]
    black, grey, white = found
    distances = [np.abs(grey - each).mean() for each in (black, white)]
    assert 0 < distances[0] < np.abs(white - black).mean()
    assert 0 < distances[1] < np.abs(white - black).mean()
    assert "empty mask" not in load("sd1").resolve(PROMPT, mask_image=mask(), **options).remarks
