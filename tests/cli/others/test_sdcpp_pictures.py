"""`sdrt sdcpp`: whole pictures, beside `generate` and beside the program's own loop around the same networks."""

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt import rng
from sdrt.arrays import Array
from sdrt.backends import BackendOptions, registry
from sdrt.cli import main
from sdrt.images import read_text
from sdrt.models import open_model
from tests.pictures import psnr

PROMPT = ["-p", "a red circle on a blue background", "-n", "a green (star:1.2)"]
SMALL = ["--steps", "4", "-W", "64", "-H", "64"]
TEXTS: dict[str, Any] = {"prompt": "a red circle on a blue background", "negative_prompt": "a green (star:1.2)"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture and a mask."""
    folder = tmp_path_factory.mktemp("pictures")
    coarse = np.random.default_rng(3).integers(0, 256, (6, 9, 3), np.uint8)
    Image.fromarray(coarse).resize((96, 64), Image.Resampling.NEAREST).save(folder / "one.png")
    mask = np.zeros((64, 96), np.uint8)
    mask[:, 40:] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    return folder


def drawn(folder: Path, *argv: str) -> list[Path]:
    """The pictures of a command, by their names."""
    assert main(["sdcpp", *PROMPT, *argv, "-t", "1", "-q", "-o", str(folder / "output.png")]) == 0
    return sorted(folder.glob("output*.png"))


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def test_pictures_are_those_of_the_options_and_come_back_from_their_records(root: Path, tmp_path: Path) -> None:
    one, mask = Image.open(root / "one.png"), Image.open(root / "mask.png")
    inpainting = ["-i", str(root / "one.png"), "--mask", str(root / "mask.png"), "--rng", "cpu", "--sampler-rng", "std_default"]
    cases: list[tuple[list[str], dict[str, Any], dict[str, Any]]] = [
        (["-b", "2", "-s", "7"], {}, {"seed": 7, "num_images": 2, "rng": "nv", "scheduler": "euler a normal", "width": 64, "height": 64}),
        (
            ["--sampling-method", "tcd", "--rng", "std_default", "--cfg-scale", "2", "--clip-skip", "2", "--eta", "0.5"],
            {},
            {"rng": "libstdc++", "scheduler": "tcd", "guidance_scale": 2.0, "clip_skip": 1, "eta": 0.5, "width": 64, "height": 64},
        ),
        (
            [*inpainting, "--scheduler", "karras", "--strength", "0.6"],
            {},
            {
                "image": one,
                "mask_image": mask,
                "paste": False,
                "strength": 0.75,
                "resize": "crop",
                "rng": "torch",
                "sampler_rng": "libstdc++",
            }
            | {"scheduler": "euler a karras", "width": 64, "height": 64},
        ),
        (
            ["--control-net", "nano-edges", "--control-image", str(root / "one.png"), "--canny", "--vae-tiling"],
            {"controlnet": "nano-edges", "vae_tiling": True},
            {"control_image": one, "control_preprocessor": "canny", "controlnet_conditioning_scale": 0.9, "rng": "nv"}
            | {"scheduler": "euler a normal", "width": 64, "height": 64},
        ),
    ]
    for number, (argv, loading, options) in enumerate(cases):
        folder = tmp_path / str(number)
        files = drawn(folder, *SMALL, *argv)
        with sdrt.load("nano", threads=1, **loading) as pipe:
            result = pipe.generate(**TEXTS, **{"seed": 42, "guidance_scale": 7.0, "num_inference_steps": 4} | options)
        np.testing.assert_array_equal([pixels(file) for file in files], result.images)
        assert [read_text(file)["sdrt"] for file in files] == [text["sdrt"] for text in result.texts]
        files_of = {"image": "one.png", "mask_image": "mask.png", "control_image": "one.png"}
        given = [f"--{name.replace('_', '-')}={root / file}" for name, file in files_of.items() if name in options]
        given += ["--controlnet", "nano-edges"] if loading else []
        again = folder / "again.png"
        assert main(["generate", "--from", str(files[-1]), *given, "--threads", "1", "-q", "-o", str(again)]) == 0
        np.testing.assert_array_equal(pixels(again), pixels(files[-1]))


def test_a_picture_to_change_keeps_its_size(root: Path, tmp_path: Path) -> None:
    [file] = drawn(tmp_path, "-i", str(root / "one.png"), "--steps", "1")
    assert pixels(file).shape == (64, 96, 3)


def test_a_lora_and_an_embedding_of_the_prompt_are_found(tmp_path: Path) -> None:
    [plain] = drawn(tmp_path / "plain", *SMALL)
    loras = str(sdrt.models.path("nano-outline").parent)
    [outlined] = drawn(tmp_path / "lora", "-p", f"{TEXTS['prompt']} <lora:nano-outline:0.9>", *SMALL, "--lora-model-dir", loras)
    assert psnr(pixels(plain), pixels(outlined)) < 40


def test_pictures_without_settings_hold_none(tmp_path: Path) -> None:
    for name in ("cat.png", "cat.jpg", "cat.webp"):
        assert (
            main(["sdcpp", *PROMPT, "--steps", "1", "-W", "64", "-H", "64", "--disable-image-metadata", "-q", "-o", str(tmp_path / name)])
            == 0
        )
        assert read_text(tmp_path / name) == {}


def test_a_random_seed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sdcpp", *PROMPT, *SMALL, "--steps", "1", "-s", "-1", "-o", str(tmp_path / "a.png")]) == 0
    captured = capsys.readouterr()
    seed = sdrt.Settings.from_png(tmp_path / "a.png").seed
    assert f"the seed was drawn: {seed}" in captured.err
    assert captured.out == f"{tmp_path / 'a.png'}\n"


class Inputs:
    """Keeps what the U-Net was given."""

    def __init__(self) -> None:
        self.unet: dict[str, Array] = {}

    def called(self, component: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        if component == "unet":
            self.unet = dict(inputs)

    def _ignore(self, *_: Any) -> None:
        pass

    begins = stepped = ends = fails = _ignore


def own_loop(schedule: str, seed: int, stream: str, cfg: float = 7.0, n: int = 4) -> np.ndarray:
    """stable-diffusion.cpp's picture: CompVisVDenoiser, get_sigmas, sample_euler_ancestral of src/denoiser.hpp, around nano's networks."""
    config = open_model("nano").scheduler_config
    betas = np.linspace(config["beta_start"] ** 0.5, config["beta_end"] ** 0.5, 1000) ** 2
    alpha_bar = np.cumprod(1 - betas)
    table = np.sqrt((1 - alpha_bar) / alpha_bar)
    if schedule == "discrete":
        levels = np.exp(np.interp(999 - 999 * np.arange(n) / (n - 1), np.arange(1000), np.log(table)))
    else:
        ends = table[[0, -1]] ** (1 / 7)
        levels = (ends[1] + np.arange(n) / (n - 1) * (ends[0] - ends[1])) ** 7
    levels = np.append(levels, 0)
    inputs = Inputs()
    with sdrt.load("nano", threads=1) as pipe:
        with pipe.observing(lambda: inputs):
            pipe.generate(**TEXTS, num_inference_steps=1, width=64, height=64, guidance_scale=cfg)
        unet = registry.get("numpy").open("unet", open_model("nano"), BackendOptions(threads=1))
        noise = rng.stream(stream, seed)
        shape = (1, *inputs.unet["sample"].shape[1:])
        x = noise.normal(shape) * np.float32(levels[0])
        for level, after in pairwise(levels):
            scaled = (x / np.sqrt(level**2 + 1)).astype(np.float32)
            timestep = np.interp(np.log(level), np.log(table), np.arange(1000))
            rows = unet(
                sample=np.repeat(scaled, 2, 0),
                timestep=np.full(2, timestep, np.float32),
                encoder_hidden_states=inputs.unet["encoder_hidden_states"],
            )["noise_pred"]
            velocity = rows[:1] + cfg * (rows[1:] - rows[:1])
            denoised = x / (level**2 + 1) - velocity * level / np.sqrt(level**2 + 1)
            up = min(after, math.sqrt(max(after**2 * (level**2 - after**2) / level**2, 0)))
            down = math.sqrt(max(after**2 - up**2, 0))
            x = x + (x - denoised) / level * (down - level)
            if after > 0:
                x = x + noise.normal(shape) * up
        [image] = pipe.decode(x.astype(np.float32))
    return np.asarray(image)


@pytest.mark.parametrize(
    ("flags", "schedule", "stream"), [([], "discrete", "nv"), (["--scheduler", "karras", "--rng", "cpu"], "karras", "torch")]
)
def test_a_picture_is_what_the_programs_own_loop_draws(flags: list[str], schedule: str, stream: str, tmp_path: Path) -> None:
    """Within the rounding of noise levels that sdrt takes in float32, and what that moves in 8 bits; another schedule is far away."""
    [file] = drawn(tmp_path, *SMALL, *flags)
    assert psnr(own_loop(schedule, 42, stream), pixels(file)) > 60
    assert psnr(own_loop("karras" if schedule == "discrete" else "discrete", 42, stream), pixels(file)) < 40
