"""SDXL, its refiner, LCM, in-painting, ControlNets and the safety checker: whole pictures against diffusers' own pipelines.

Each condition is first shown to move the picture: a pipeline that ignores it would pass otherwise.
"""

import warnings
from functools import cache, partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image

import sdrt
from sdrt.errors import ConfigError, ImageError
from sdrt.pipeline import safety_checker as safety
from tests.factories import Form, save_controlnet_folder, save_pipeline_folder, save_refiner_folder
from tests.peers import NEGATIVE, PROMPT, mask, open_peer, peer_picture, picture
from tests.pictures import psnr

QUICK: dict[str, Any] = {"num_inference_steps": 5, "guidance_scale": 5.0, "height": 64, "width": 48}
EULER: dict[str, Any] = {
    "_class_name": "EulerDiscreteScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Model folders by form, made when first asked for."""
    root = tmp_path_factory.mktemp("jobs")

    @cache
    def folder(form: Form) -> Path:
        if form == "sdxl-refiner":
            return save_refiner_folder(root / form)
        return save_pipeline_folder(root / form, form, safety_checker=form == "sd1")

    return folder


@pytest.fixture(scope="module")
def controlnets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("controlnets")

    @cache
    def folder(form: Form, seed: int = 0) -> Path:
        return save_controlnet_folder(root / f"{form}{seed}", form, seed)

    return folder


@pytest.fixture(params=["numpy", "torch"])
def load(request: pytest.FixtureRequest) -> Any:
    """sdrt.load with each backend that runs these models here."""
    return partial(sdrt.load, backend=request.param)


def drawn(pipe: sdrt.Pipeline, negative: str = NEGATIVE, **settings: Any) -> np.ndarray:
    every: dict[str, Any] = {"seed": 93} | settings
    [image] = pipe.generate(PROMPT, negative, **every).images
    return np.asarray(image)


def moved(pipe: sdrt.Pipeline, plain: np.ndarray, change: dict[str, Any], **settings: Any) -> None:
    assert psnr(plain, drawn(pipe, **(settings | change))) < 40, change


# ---- SDXL


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0, 5.0])
def test_sdxl_equals_diffusers(models: Any, guidance_scale: float, load: Any) -> None:
    pipe, peer = load(models("sdxl")), open_peer("StableDiffusionXLPipeline", models("sdxl"))
    settings = QUICK | {"guidance_scale": guidance_scale}
    want = peer_picture(peer, negative_prompt=NEGATIVE, **settings)
    assert want.std() > 10
    assert psnr(drawn(pipe, **settings), want) >= 60


def test_sdxls_sizes_equal_diffusers_and_move_the_picture(models: Any, load: Any) -> None:
    pipe, peer = load(models("sdxl")), open_peer("StableDiffusionXLPipeline", models("sdxl"))
    sizes: dict[str, Any] = {"original_size": (512, 1024), "crops_coords_top_left": (200, 40), "target_size": (1024, 512)}
    want = peer_picture(peer, negative_prompt=NEGATIVE, **QUICK, **sizes)
    got = drawn(pipe, **QUICK, **sizes)
    assert psnr(got, want) >= 60
    for name in sizes:
        moved(pipe, got, {name: None}, **QUICK, **sizes)


def test_an_empty_negative_prompt_of_sdxl_is_zeros_where_the_model_says_so(models: Any, load: Any) -> None:
    pipe, peer = load(models("sdxl")), open_peer("StableDiffusionXLPipeline", models("sdxl"))
    assert pipe.model.flags.force_zeros_for_empty_prompt
    want = peer_picture(peer, **QUICK)
    assert psnr(drawn(pipe, "", **QUICK), want) >= 60
    assert psnr(peer_picture(peer, negative_prompt="", **QUICK), want) < 40


def test_a_refiner_takes_over_where_diffusers_lets_it(models: Any, load: Any) -> None:
    """Euler has no memory, so that a run cut in two is the run: base down to the cut, refiner from there."""
    base, refiner = (
        open_peer("StableDiffusionXLPipeline", models("sdxl")),
        open_peer("StableDiffusionXLImg2ImgPipeline", models("sdxl-refiner")),
    )
    pipe = load(models("sdxl"), refiner=models("sdxl-refiner"))
    generator = torch.Generator().manual_seed(93)
    settings = {key: value for key, value in QUICK.items() if key not in ("height", "width")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for peer in (base, refiner):
            peer.scheduler = diffusers.EulerDiscreteScheduler.from_config(EULER)
        common: dict[str, Any] = {"negative_prompt": NEGATIVE, "generator": generator, **settings}
        latents = base(PROMPT, denoising_end=0.4, output_type="latent", height=64, width=48, **common).images
        [image] = refiner(PROMPT, image=latents, denoising_start=0.4, original_size=(64, 48), target_size=(64, 48), **common).images
    got = drawn(pipe, scheduler=EULER, refiner_start=0.4, **QUICK)
    assert psnr(got, np.asarray(image)) >= 60
    moved(pipe, got, {"refiner_start": 1.0}, scheduler=EULER, refiner_start=0.4, **QUICK)
    # a number in a time embedding says little to a random network: 43 dB, where parity asks for 60
    early = QUICK | {"refiner_start": 0.05, "scheduler": EULER}
    assert psnr(drawn(pipe, **early), drawn(pipe, **early, aesthetic_score=60.0)) < 50


# ---- LCM


@pytest.mark.parametrize("guidance_scale", [1.0, 8.0])
def test_a_guidance_distilled_model_equals_diffusers(models: Any, guidance_scale: float, load: Any) -> None:
    pipe, peer = load(models("lcm")), open_peer("LatentConsistencyModelPipeline", models("lcm"))
    settings = QUICK | {"guidance_scale": guidance_scale, "num_inference_steps": 4}
    scheduler = {**pipe.model.scheduler_config, "_class_name": "LCMScheduler"}
    want = peer_picture(peer, scheduler=scheduler, **settings)
    got = drawn(pipe, "", scheduler=scheduler, **settings)
    assert psnr(got, want) >= 60
    moved(pipe, got, {"guidance_scale": 3.0}, negative="", scheduler=scheduler, **settings)


# ---- in-painting


def test_in_painting_equals_diffusers_and_sees_picture_and_mask(models: Any, load: Any) -> None:
    pipe, peer = load(models("inpaint")), open_peer("StableDiffusionInpaintPipeline", models("inpaint"))
    settings = QUICK | {"image": picture(1), "mask_image": mask()}
    want = peer_picture(peer, negative_prompt=NEGATIVE, strength=1.0, **settings)
    assert psnr(drawn(pipe, compat="diffusers", **settings), want) >= 60
    got = drawn(pipe, **settings)
    redrawn = np.asarray(mask().convert("L").resize((want.shape[1], want.shape[0]), Image.Resampling.LANCZOS)) == 255
    assert redrawn.any()
    assert psnr(got[redrawn], want[redrawn]) >= 60
    moved(pipe, got, {"image": picture(2)}, **settings)
    moved(pipe, got, {"mask_image": Image.fromarray(255 - np.asarray(mask()))}, **settings)


def test_in_painting_draws_each_image_as_alone(models: Any) -> None:
    pipe = sdrt.load(models("inpaint"))
    settings = QUICK | {"image": picture(1), "mask_image": mask(), "scheduler": "euler a"}
    batch = pipe.generate(PROMPT, NEGATIVE, seed=93, num_images=2, **settings)
    alone = pipe.generate(PROMPT, NEGATIVE, seed=94, **settings)
    assert psnr(np.asarray(batch.images[1]), np.asarray(alone.images[0])) >= 60


def test_a_model_that_in_paints_asks_for_its_pictures(models: Any) -> None:
    with pytest.raises(ConfigError, match="image and mask_image must be set for this in-painting model, got no mask_image"):
        sdrt.load(models("inpaint")).generate(PROMPT, image=picture(1))
    with pytest.raises(ConfigError, match="mask_image, strength need image or image_latents, got none; pass one, or leave them out"):
        sdrt.load(models("sd1")).generate(PROMPT, mask_image=mask(), strength=0.5)
    with pytest.raises(ConfigError, match="paste needs mask_image, got none; pass one, or leave it out"):
        sdrt.load(models("sd1")).generate(PROMPT, image=picture(1), paste=False)
    with pytest.raises(ImageError, match=r"image must be a PIL image, uint8\[H,W\] or uint8\[H,W,3\], got str"):
        sdrt.load(models("inpaint")).generate(PROMPT, image="cat.png", mask_image=mask())  # type: ignore[arg-type]


# ---- ControlNets


@pytest.mark.parametrize(("form", "kind"), [("sd1", "StableDiffusionControlNetPipeline"), ("sdxl", "StableDiffusionXLControlNetPipeline")])
def test_a_controlnet_equals_diffusers_and_leads(models: Any, controlnets: Any, form: Form, kind: str, load: Any) -> None:
    pipe = load(models(form), controlnet=controlnets(form))
    checker = {} if form == "sdxl" else {"safety_checker": None}
    peer = open_peer(kind, models(form), controlnet=diffusers.ControlNetModel.from_pretrained(controlnets(form)), **checker)
    options: dict[str, Any] = {"controlnet_conditioning_scale": 0.1, "control_guidance_start": 0.2, "control_guidance_end": 0.8}
    want = peer_picture(peer, negative_prompt=NEGATIVE, image=picture(3), **QUICK, **options)
    settings = QUICK | options | {"control_image": picture(3)}
    got = drawn(pipe, **settings)
    assert psnr(got, want) >= 60
    moved(pipe, got, {"control_image": picture(4)}, **settings)
    for change in ({"controlnet_conditioning_scale": 0.01}, {"control_guidance_start": 0.0}, {"control_guidance_end": 0.4}):
        moved(pipe, got, change, **settings)


def test_two_controlnets_add_up_as_in_diffusers(models: Any, controlnets: Any, load: Any) -> None:
    folders = [controlnets("sd1", 0), controlnets("sd1", 1)]
    pipe = load(models("sd1"), controlnet=folders)
    nets = [diffusers.ControlNetModel.from_pretrained(each) for each in folders]
    peer = open_peer("StableDiffusionControlNetPipeline", models("sd1"), controlnet=nets, safety_checker=None)
    options: dict[str, Any] = {"controlnet_conditioning_scale": [0.7, 0.4]}
    want = peer_picture(peer, negative_prompt=NEGATIVE, image=[picture(3), picture(4)], **QUICK, **options)
    settings = QUICK | options | {"control_image": [picture(3), picture(4)]}
    assert psnr(drawn(pipe, **settings), want) >= 60
    with pytest.raises(ConfigError, match="control_image must be a picture for each ControlNet, got 1; this pipeline takes 2"):
        drawn(pipe, **(settings | {"control_image": picture(3)}))
    with pytest.raises(ConfigError, match="controlnet_conditioning_scale must be one value, or one for each of 2 ControlNets, got 3"):
        drawn(pipe, **(settings | {"controlnet_conditioning_scale": [1, 2, 3]}))


def test_a_controlnet_of_another_family_is_refused_when_it_is_opened(models: Any, controlnets: Any, load: Any) -> None:
    with pytest.raises(ConfigError, match=r"a ControlNet's cross_attention_dim must be that of its model, 32, got \d+; pass a"):
        load(models("sd1"), controlnet=[controlnets("sd1", 0), controlnets("sdxl")])


def test_a_control_image_without_a_controlnet_is_refused(models: Any) -> None:
    with pytest.raises(ConfigError, match=r"got 1; this pipeline has no ControlNet: sdrt.load\(..., controlnet=folder\)"):
        drawn(sdrt.load(models("sd1")), control_image=picture(3), **QUICK)


# ---- memory


@pytest.mark.parametrize("form", ["sd1", "sdxl"])
def test_rows_one_after_the_other_give_the_same_picture(models: Any, controlnets: Any, form: Form, load: Any) -> None:
    pipe = load(models(form), controlnet=controlnets(form))
    settings = QUICK | {"control_image": picture(3), "num_images": 2}
    together, apart = (pipe.generate(PROMPT, NEGATIVE, seed=93, guidance_batching=how, **settings) for how in ("batched", "sequential"))
    for a, b in zip(together.images, apart.images, strict=True):
        assert psnr(np.asarray(a), np.asarray(b)) >= 60


def test_one_network_in_memory_at_a_time_gives_the_same_picture(models: Any, load: Any) -> None:
    plain, small = load(models("sd1")), load(models("sd1"), reduce_memory=True, vae_tiling=False)
    assert psnr(drawn(plain, **QUICK), drawn(small, **QUICK)) >= 60
    assert not small._assembly.base.networks._shelf.networks
    assert plain._assembly.base.networks._shelf.networks


def test_decoding_by_tiles_equals_diffusers(models: Any, load: Any) -> None:
    pipe, peer = load(models("sd1"), vae_tiling=True), open_peer("StableDiffusionPipeline", models("sd1"), safety_checker=None)
    peer.vae.enable_tiling()
    settings = QUICK | {"height": 128, "width": 96, "num_inference_steps": 2}
    assert max(settings["height"], settings["width"]) > peer.vae.tile_sample_min_size
    want = peer_picture(peer, negative_prompt=NEGATIVE, **settings)
    got = drawn(pipe, **settings)
    assert psnr(got, want) >= 60
    assert psnr(drawn(load(models("sd1")), **settings), got) < 60


# ---- the safety checker


def test_the_safety_checker_says_what_diffusers_says(models: Any, load: Any) -> None:
    pipe, unchecked = load(models("sd1"), safety_checker=True), load(models("sd1"))
    checker = StableDiffusionSafetyChecker.from_pretrained(models("sd1") / "safety_checker").eval()
    for seed in range(4):
        result = pipe.generate(PROMPT, seed=seed, **QUICK)
        image = unchecked.decode(result.latents)[0]
        clip_input = torch.from_numpy(safety.clip_input([image], checker.config.vision_config.image_size))
        _, [want] = checker(images=np.asarray(image)[None].copy(), clip_input=clip_input)
        assert result.flagged == (want,)
        assert (np.asarray(result.images[0]).max() == 0) == want
    assert load(models("sd1")).generate(PROMPT, seed=0, **QUICK).flagged is None
    assert safety.is_flagged(np.full(17, -0.004), np.array([0.1, -1, -1]))
    assert not safety.is_flagged(np.full(17, -0.004), np.full(3, -1.0))


@pytest.mark.parametrize("extractor", [{}, {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.26, 0.5, 0.4]}])
def test_pictures_go_to_clip_as_its_own_processor_sends_them(extractor: dict[str, list[float]]) -> None:
    from transformers import CLIPImageProcessor

    image = picture(5, 300, 260)
    want = CLIPImageProcessor(**extractor)(image, return_tensors="np")["pixel_values"]
    # Pillow rounds resized pixels to bytes; other resizers may round one byte apart
    np.testing.assert_allclose(safety.clip_input([image], 224, extractor), want, atol=2 / 255 / 0.26)
