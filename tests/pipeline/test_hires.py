"""Hi-res fix: the two calls that it stands for give its bytes, and diffusers' two pipelines its picture."""

import hashlib
import threading
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image

import sdrt
from sdrt.errors import ConfigError, SdrtError
from sdrt.pipeline.latent_resizing import LATENT_RESIZINGS, LatentResizing
from tests.factories import save_controlnet_folder, save_pipeline_folder, save_refiner_folder, save_t2i_adapter_folder
from tests.image_prompts import adapter_tensors, save_adapter, save_encoder
from tests.peers import NEGATIVE, PROMPT, mask, open_peer, picture
from tests.pictures import psnr
from tests.upscalers import rrdb_tensors, save_upscaler

QUICK: dict[str, Any] = {"seed": 93, "num_inference_steps": 3, "guidance_scale": 5.0, "height": 64, "width": 48}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folders of models and what goes with them, made when first asked for."""
    root = tmp_path_factory.mktemp("hires")

    @cache
    def folder(name: str) -> Path:
        match name:
            case "controlnet":
                return save_controlnet_folder(root / name)
            case "adapter":
                return save_t2i_adapter_folder(root / name, "full")
            case "refiner":
                return save_refiner_folder(root / name)
            case "encoder":
                return save_encoder(root / name)
            case "ip":
                unet = UNet2DConditionModel.from_pretrained(folder("sd1") / "unet")
                return save_adapter(root / "ip.safetensors", adapter_tensors(unet))
            case _:
                return save_pipeline_folder(root / name, name)  # type: ignore[arg-type]

    return folder


@pytest.fixture(scope="module")
def pipe(folders: Any) -> sdrt.Pipeline:
    return sdrt.load(folders("sd1"), threads=1)


def digests(result: sdrt.Result) -> list[str]:
    """Of the bytes of each picture: pytest would take minutes to show where two pictures differ."""
    return [hashlib.sha256(np.asarray(image).tobytes()).hexdigest() for image in result.images]


def second_pass(first: sdrt.Result, name: str, height: int, width: int) -> dict[str, Any]:
    return {"image_latents": LatentResizing(name)(first.latents, height // 8, width // 8), "height": height, "width": width}


# ---- what it stands for


@pytest.mark.parametrize("backend", ["numpy", pytest.param("torch", marks=pytest.mark.slow)])
def test_the_two_calls_that_it_stands_for_give_its_bytes(folders: Any, backend: str) -> None:
    pipe = sdrt.load(folders("sd1"), backend, threads=1)
    whole = pipe.generate(PROMPT, NEGATIVE, **QUICK, num_images=2, hires_scale=1.5, scheduler="euler a")
    first = pipe.generate(PROMPT, NEGATIVE, **QUICK, num_images=2, scheduler="euler a")
    start = second_pass(first, "latent", 96, 72)
    assert whole.images[0].size == (72, 96)
    again = pipe.generate(PROMPT, NEGATIVE, **QUICK | start, num_images=2, scheduler="euler a", strength=0.7)
    assert digests(whole) == digests(again)
    # and as torch interpolates, whose last bits differ
    latents = torch.nn.functional.interpolate(torch.from_numpy(first.latents.copy()), size=(12, 9), mode="bilinear").numpy()
    torchs = pipe.generate(PROMPT, NEGATIVE, **QUICK | start | {"image_latents": latents}, num_images=2, scheduler="euler a", strength=0.7)
    assert all(psnr(np.asarray(a), np.asarray(b)) >= 60 for a, b in zip(whole.images, torchs.images, strict=True))
    assert psnr(np.asarray(whole.images[0]), np.asarray(first.images[0].resize((72, 96)))) < 40


@pytest.mark.parametrize("name", [name if "cubic" in name else pytest.param(name, marks=pytest.mark.slow) for name in LATENT_RESIZINGS])
def test_every_way_to_resize_latents(pipe: sdrt.Pipeline, name: str) -> None:
    whole = pipe.generate(PROMPT, **QUICK, hires_scale=1.3, hires_upscaler=name)
    # 83.2 and 62.4 pixels
    start = second_pass(pipe.generate(PROMPT, **QUICK), name, 80, 64)
    assert whole.images[0].size == (64, 80)
    assert digests(whole) == digests(pipe.generate(PROMPT, **QUICK | start, strength=0.7))


@pytest.mark.parametrize(
    "upscaler", ["lanczos", pytest.param("nearest", marks=pytest.mark.slow), "network", pytest.param("opened", marks=pytest.mark.slow)]
)
def test_pictures_are_enlarged_and_encoded_again(pipe: sdrt.Pipeline, tmp_path: Path, upscaler: str) -> None:
    file = save_upscaler(tmp_path / "twice.safetensors")
    choice: Any = {"network": str(file), "opened": sdrt.load_upscaler(file)}.get(upscaler, upscaler)
    whole = pipe.generate(PROMPT, **QUICK, num_images=2, hires_scale=2, hires_upscaler=choice)
    first = pipe.generate(PROMPT, **QUICK, num_images=2)
    enlarged = sdrt.load_upscaler(file if upscaler in ("network", "opened") else upscaler).upscale(first.images, 96, 128)
    changed = {"image": enlarged, "height": 128, "width": 96, "strength": 0.7}
    assert digests(whole) == digests(pipe.generate(PROMPT, **QUICK | changed, num_images=2))
    assert whole.settings.conditions["hires_upscaler"] == ("twice.safetensors" if upscaler in ("network", "opened") else upscaler)
    assert ("hires_upscaler" in whole.settings.weights) == (upscaler in ("network", "opened"))
    assert "vae_encoder" in whole.settings.weights


def test_what_has_a_form_of_its_own_for_the_second_pass(pipe: sdrt.Pipeline) -> None:
    own = {
        "hires_prompt": "a blue square",
        "hires_negative_prompt": "red",
        "hires_scheduler": "euler",
        "hires_steps": 5,
        "hires_denoising": 0.5,
        "hires_guidance_scale": 2.0,
    }
    whole = pipe.generate(PROMPT, NEGATIVE, **QUICK, hires_scale=1.5, **own)  # type: ignore[arg-type]
    start = second_pass(pipe.generate(PROMPT, NEGATIVE, **QUICK), "latent", 96, 72)
    changed = {"scheduler": "euler", "num_inference_steps": 5, "strength": 0.5, "guidance_scale": 2.0}
    assert digests(whole) == digests(pipe.generate("a blue square", "red", **QUICK | start | changed))
    assert len(whole.step_seconds) == 3 + 2


def test_a_list_of_scales_is_for_the_first_pass_alone(pipe: sdrt.Pipeline) -> None:
    """As many as that has steps; the second pass has another number of them, and one scale."""
    options: dict[str, Any] = {name: value for name, value in QUICK.items() if name != "guidance_scale"}
    scales: dict[str, Any] = {"guidance_schedule": [9.0, 1.0, 4.0]}
    whole = pipe.generate(PROMPT, NEGATIVE, **options, **scales, hires_scale=1.5, hires_steps=6, hires_guidance_scale=2.0)
    start = second_pass(pipe.generate(PROMPT, NEGATIVE, **options, **scales), "latent", 96, 72)
    again = pipe.generate(PROMPT, NEGATIVE, **options | start | {"num_inference_steps": 6}, strength=0.7, guidance_scale=2.0)
    assert len(whole.step_seconds) == 3 + 4
    assert digests(whole) == digests(again)
    assert digests(pipe.generate(**sdrt.Settings.from_dict(whole.settings.to_dict()).options())) == digests(whole)
    # a named curve is laid over the steps of either
    assert digests(pipe.generate(PROMPT, **QUICK, guidance_schedule="linear", hires_scale=1.5)) != digests(
        pipe.generate(PROMPT, **QUICK, guidance_schedule=[2.3333333333333335, 5.0, 7.666666666666667], hires_scale=1.5)
    )
    with pytest.raises(ConfigError, match=r"^guidance_schedule must have a scale for each of the 3 steps of the run, got 4"):
        pipe.resolve(PROMPT, **QUICK, guidance_schedule=[5.0] * 4, hires_scale=1.5, hires_steps=6)


@pytest.mark.parametrize(
    "job", ["sdxl", pytest.param("refiner", marks=pytest.mark.slow), pytest.param("controlnet", marks=pytest.mark.slow), "ip"]
)
def test_other_jobs_see_the_second_size(folders: Any, job: str) -> None:
    parts: dict[str, Any] = {job: folders(job)} if job in ("refiner", "controlnet") else {}
    parts |= {"t2i_adapter": folders("adapter")} if job in ("adapter", "ip") else {}
    parts |= {"ip_adapter": folders("ip"), "image_encoder": folders("encoder")} if job == "ip" else {}
    pipe = sdrt.load(folders("sdxl" if job in ("sdxl", "refiner") else "sd1"), threads=1, **parts)
    options: dict[str, Any] = {"control_image": picture(3)} if job == "controlnet" else {}
    options |= {"adapter_image": picture(3)} if job in ("adapter", "ip") else {}
    options |= {"ip_adapter_image": picture(4), "ip_adapter_mask": mask()} if job == "ip" else {}
    whole = pipe.generate(PROMPT, **QUICK, **options, hires_scale=1.5)
    start = second_pass(pipe.generate(PROMPT, **QUICK, **options), "latent", 96, 72)
    assert digests(whole) == digests(pipe.generate(PROMPT, **QUICK | start, **options, strength=0.7))


def test_equals_diffusers_two_pipelines(folders: Any) -> None:
    first = open_peer("StableDiffusionPipeline", folders("sd1"), safety_checker=None)
    second = open_peer("StableDiffusionImg2ImgPipeline", folders("sd1"), safety_checker=None)
    common = {"negative_prompt": NEGATIVE, "num_inference_steps": 4, "guidance_scale": 5.0}
    latents = first(PROMPT, height=64, width=48, generator=torch.Generator().manual_seed(93), output_type="latent", **common).images
    large = torch.nn.functional.interpolate(latents, scale_factor=2, mode="bilinear")
    [want] = second(PROMPT, image=large, strength=0.7, generator=torch.Generator().manual_seed(93), **common).images
    for backend in ("numpy", "torch"):
        pipe = sdrt.load(folders("sd1"), backend, threads=1)
        [got] = pipe.generate(PROMPT, NEGATIVE, **QUICK | {"num_inference_steps": 4}, hires_scale=2).images
        assert psnr(np.asarray(got), np.asarray(want)) >= 60


def test_variations_and_streams_draw_on(pipe: sdrt.Pipeline) -> None:
    """A stream that is an object goes on; the noise of seeds, and of what they are mixed with, is drawn anew."""
    varied: dict[str, Any] = QUICK | {"subseed": 7, "subseed_strength": 0.4}
    start = second_pass(pipe.generate(PROMPT, **varied), "latent", 96, 72)
    whole = pipe.generate(PROMPT, **varied, hires_scale=1.5)
    assert digests(whole) == digests(pipe.generate(PROMPT, **varied | start, strength=0.7))
    plain = {name: value for name, value in QUICK.items() if name != "seed"} | {"scheduler": "euler a"}
    one, other = (sdrt.rng.stream("torch", 5) for _ in range(2))
    whole = pipe.generate(PROMPT, **plain, rng=one, hires_scale=1.5)
    start = second_pass(pipe.generate(PROMPT, **plain, rng=other), "latent", 96, 72)
    assert digests(whole) == digests(pipe.generate(PROMPT, **plain | start, rng=other, strength=0.7))


def test_exact_numbers_enlarge_latents_and_leave_pillow_out(folders: Any) -> None:
    pipe = sdrt.load(folders("sd1"), numerics="exact", threads=1)
    whole = pipe.generate(PROMPT, **QUICK, hires_scale=1.5)
    start = second_pass(pipe.generate(PROMPT, **QUICK), "latent", 96, 72)
    assert digests(whole) == digests(pipe.generate(PROMPT, **QUICK | start, strength=0.7))
    pipe.resolve(PROMPT, hires_scale=2, hires_upscaler="nano-upscale")
    for scale, upscaler in ((2, "lanczos"), (1.5, "nano-upscale")):
        with pytest.raises(ConfigError, match="must be a latent one, 'nearest' or a network at its own scale with numerics='exact', got "):
            pipe.resolve(PROMPT, hires_scale=scale, hires_upscaler=upscaler)


# ---- steps, progress, cancelling


def test_steps_count_on(pipe: sdrt.Pipeline) -> None:
    steps = pipe.steps(PROMPT, **QUICK, hires_scale=1.5, hires_steps=4, hires_denoising=0.5)
    assert steps.num_steps == 3 + 2
    made = list(steps)
    assert [(step.index, step.num_steps) for step in made] == [(k, 5) for k in range(5)]
    assert [step.latents.shape for step in made] == [(1, 4, 8, 6)] * 3 + [(1, 4, 12, 9)] * 2
    assert [step.decode(0).size for step in made] == [(48, 64)] * 3 + [(72, 96)] * 2
    assert len(steps.result().step_seconds) == 5


def test_progress_counts_the_steps_of_both_passes(pipe: sdrt.Pipeline) -> None:
    told: list[sdrt.Progress] = []
    pipe.generate(PROMPT, **QUICK, hires_scale=1.5, on_progress=told.append)
    assert [(each.index, each.total) for each in told if each.stage == "denoise"] == [(k, 5) for k in range(5)]


@pytest.mark.parametrize("upscaler", [pytest.param("latent", marks=pytest.mark.slow), "nearest"])
def test_a_call_is_cancelled_in_either_pass_and_between_them(pipe: sdrt.Pipeline, upscaler: str) -> None:
    for at in range(5):
        seen: list[int] = []

        def stop(step: sdrt.Step, at: int = at, seen: list[int] = seen) -> bool:
            seen.append(step.index)
            return step.index < at

        result = pipe.generate(PROMPT, **QUICK, hires_scale=1.5, hires_upscaler=upscaler, on_step=stop)
        assert result.cancelled
        assert not result.images
        assert seen == list(range(at + 1))
    steps = pipe.steps(PROMPT, **QUICK, hires_scale=1.5, hires_upscaler=upscaler)
    for _ in range(3):
        next(steps)
    threading.Thread(target=steps.cancel).start()
    steps.cancel()
    assert list(steps) == []
    assert steps.result().cancelled
    # and one that is left
    steps = pipe.steps(PROMPT, **QUICK, hires_scale=1.5)
    next(steps)
    steps.close()
    assert list(steps) == []


# ---- records


def test_a_record_draws_both_passes_again(pipe: sdrt.Pipeline) -> None:
    prompts, others = ["a red circle", "a blue square"], ["a green star", "a yellow ring"]
    drawn = pipe.generate(
        prompts,
        **QUICK,
        hires_scale=1.5,
        hires_prompt=others,
        hires_scheduler=sdrt.schedulers.make("euler", s_churn=0.5),
        hires_upscaler="nearest",
    )
    settings = sdrt.Settings.from_dict(drawn.settings.to_dict())
    assert settings == drawn.settings
    again = pipe.generate(**settings.options())
    assert digests(again) == digests(drawn)
    assert again.settings == drawn.settings
    for k in range(2):
        alone = settings.alone(k)
        assert alone.conditions["hires_prompt"] == others[k]
        [image] = pipe.generate(**alone.options()).images
        assert psnr(np.asarray(image), np.asarray(drawn.images[k])) >= 60
    text = sdrt.records.parameters_text(settings, 93)
    for words in ("Size: 48x64", "Denoising strength: 0.7", "Hires upscale: 1.5", "Hires steps: 3", "Hires upscaler: nearest"):
        assert words in text


@pytest.mark.parametrize(
    "choice",
    [
        "euler a",
        pytest.param("tcd", marks=pytest.mark.slow),
        pytest.param(sdrt.schedulers.make("euler a", eta=0.5), marks=pytest.mark.slow),
        pytest.param({"_class_name": "EulerDiscreteScheduler"}, marks=pytest.mark.slow),
    ],
)
def test_a_scheduler_of_the_second_pass_has_an_amount_of_noise_of_its_own(pipe: sdrt.Pipeline, choice: Any) -> None:
    drawn = pipe.generate(PROMPT, **QUICK, eta=0.3, hires_scale=1.5, hires_scheduler=choice)
    start = second_pass(pipe.generate(PROMPT, **QUICK, eta=0.3), "latent", 96, 72)
    assert digests(drawn) == digests(pipe.generate(PROMPT, **QUICK | start, strength=0.7, scheduler=choice))
    again = pipe.generate(**sdrt.Settings.from_dict(drawn.settings.to_dict()).options())
    assert digests(again) == digests(drawn)
    assert again.settings == drawn.settings


def test_the_record_of_one_pass_stays_as_it_was(pipe: sdrt.Pipeline) -> None:
    assert not [name for name in pipe.resolve(PROMPT, **QUICK).to_dict()["conditions"] if "hires" in name]


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"hires_scale": 0.5}, "hires_scale must be"),
        ({"hires_scale": float("nan")}, "hires_scale must be"),
        ({"hires_scale": float("inf")}, "hires_scale must be"),
        ({"hires_scale": "2"}, "hires_scale must be"),
        ({"hires_scale": 1e6}, "hires_scale: height times width must be at most"),
        ({"hires_scale": 1e300}, "hires_scale: height times width must be at most"),
        ({"hires_scale": 2, "hires_denoising": 0}, "hires_denoising must be"),
        ({"hires_scale": 2, "hires_denoising": 1.01}, "hires_denoising must be"),
        ({"hires_scale": 2, "hires_denoising": 0.3}, "hires_denoising must leave at least one step of 3, got 0.3; take at least 0.333"),
        ({"hires_scale": 2, "hires_steps": 0}, "hires_steps must be"),
        ({"hires_scale": 2, "hires_steps": 10**9}, "the second pass of hi-res fix: num_inference_steps must be at most"),
        ({"hires_scale": 2, "hires_scheduler": "eular"}, "the second pass of hi-res fix: .*eular"),
        ({"hires_scale": 2, "hires_prompt": ["a", "b", "c"]}, "the second pass of hi-res fix: prompt must be"),
        ({"hires_scale": 2, "hires_upscaler": "latnt"}, "hires_upscaler must be latent, .*lanczos.*, got 'latnt'"),
        ({"hires_scale": 2, "hires_upscaler": 4}, "hires_upscaler must be latent"),
        ({"hires_scale": 2, "hires_upscaler": ""}, "hires_upscaler must be latent"),
        ({"hires_scale": 2, "compat": "apple", "scheduler": "plms"}, "hires_scale must be left out with compat='apple'"),
        ({"hires_steps": 4}, "hires_steps is for hi-res fix; set hires_scale too"),
        ({"hires_steps": 4, "hires_prompt": "a"}, "hires_steps, hires_prompt are for hi-res fix; set hires_scale too"),
        ({"hires_scale": 2, "image": picture(1)}, "hires_scale must be left out where a picture is changed, got image too"),
        ({"hires_scale": 2, "image": picture(1), "mask_image": mask()}, "got image, mask_image too"),
        ({"hires_scale": 2, "image_latents": np.zeros((1, 4, 8, 6), np.float32)}, "got image_latents too"),
        ({"hires_scale": 2, "strength": 0.5}, "strength needs image or image_latents"),
    ],
)
def test_options_that_do_not_fit_are_refused(pipe: sdrt.Pipeline, options: dict[str, Any], says: str) -> None:
    with pytest.raises(SdrtError, match=says) as refusal:
        pipe.resolve(PROMPT, **QUICK | {"num_images": 2} | options)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_no_upscaler_is_refused_before_anything_runs(pipe: sdrt.Pipeline, folders: Any, tmp_path: Path) -> None:
    tensors = rrdb_tensors()
    tensors |= {"conv_first.weight": tensors["conv_first.weight"][:, :1], "conv_last.weight": tensors["conv_last.weight"][:1]}
    tensors["conv_last.bias"] = tensors["conv_last.bias"][:1]
    refusing = partial(pipe.resolve, PROMPT, hires_scale=2)
    with pytest.raises(SdrtError, match=r"hires_upscaler must be .*no such file"):
        refusing(hires_upscaler=str(tmp_path / "none.safetensors"))
    with pytest.raises(SdrtError, match="hires_upscaler must be"):
        refusing(hires_upscaler=folders("controlnet") / "diffusion_pytorch_model.safetensors")
    with pytest.raises(SdrtError, match="hires_upscaler must be"):
        refusing(hires_upscaler=save_upscaler(tmp_path / "grey.safetensors", tensors))


def test_a_repository_that_cannot_be_reached_is_refused(pipe: sdrt.Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SdrtError, match=r"hires_upscaler must be .*, got 'nobody/nothing': .*HF_HUB_OFFLINE is set"):
        pipe.resolve(PROMPT, hires_scale=2, hires_upscaler="nobody/nothing")


def test_a_watched_run_has_one_pass(pipe: sdrt.Pipeline, tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="hires_scale must be left out while runs are recorded"),
        sdrt.compare.record(tmp_path / "a", pipe),
    ):
        pipe.generate(PROMPT, **QUICK, hires_scale=2)


def test_the_largest_denoising_starts_from_the_picture_under_the_most_noise(pipe: sdrt.Pipeline) -> None:
    whole = pipe.generate(PROMPT, **QUICK, hires_scale=1, hires_denoising=1)
    assert whole.images[0].size == (48, 64)
    assert len(whole.step_seconds) == 6
    assert isinstance(whole.images[0], Image.Image)
