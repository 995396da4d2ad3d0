"""`sdrt apple pipeline` beside diffusers, whose schedulers and tokenizer Apple's pipeline runs, and its arguments as people type them."""

import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import sdrt
from sdrt.cli import main, parser
from sdrt.cli.others.apple_pipeline import parse
from sdrt.models import path
from tests.factories import Form, save_pipeline_folder
from tests.peers import open_peer
from tests.pictures import psnr

# What weights, Swift's tokenizer and the real one read in three ways.
PROMPT = "a red circle, (4k) on a blue background"
CLASSES = {
    "DDIM": "DDIMScheduler",
    "DPMSolverMultistep": "DPMSolverMultistepScheduler",
    "EulerDiscrete": "EulerDiscreteScheduler",
    "LMSDiscrete": "LMSDiscreteScheduler",
    "PNDM": "PNDMScheduler",
}


def drawn(packages: Path, out: Path, *argv: str, prompt: str = PROMPT) -> Path:
    """Draw, and return the one file that is new."""
    before = set(out.rglob("*.png"))
    typed = ["apple", "pipeline", "--prompt", prompt, "-i", str(packages), "-o", str(out), "--num-inference-steps", "4", "-q", *argv]
    assert main(typed) == 0
    [file] = set(out.rglob("*.png")) - before
    return file


def pixels(file: Path) -> Any:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def peer_picture(side: int, scheduler: str | None = None, seed: int = 93, weights: Path | None = None, **options: Any) -> Any:
    """diffusers' picture from the noise that ``np.random.randn`` draws."""
    xl = weights is not None and (weights / "text_encoder_2").is_dir()
    peer = open_peer("StableDiffusionXLPipeline" if xl else "StableDiffusionPipeline", weights or path("nano"))
    latents = np.random.RandomState(seed).randn(1, 4, side // 8, side // 8).astype(np.float32)
    options = {"guidance_scale": 7.5, "num_inference_steps": 4, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if scheduler is not None:
            peer.scheduler = getattr(diffusers, CLASSES[scheduler]).from_config(peer.scheduler.config)
        [image] = peer(PROMPT, latents=torch.from_numpy(latents), height=side, width=side, **options).images
    return np.asarray(image)


@pytest.mark.parametrize("scheduler", [None, *CLASSES])
def test_pictures_are_those_of_diffusers_from_the_noise_of_numpy(tmp_path: Path, scheduler: str | None) -> None:
    chosen = [] if scheduler is None else ["--scheduler", scheduler]
    ours = pixels(drawn(path("nano"), tmp_path, *chosen))
    # float32 on both sides: no pixel is further than one grey level
    assert psnr(ours, peer_picture(128, scheduler)) > 60
    assert psnr(ours, peer_picture(128, scheduler, seed=94)) < 30


@pytest.mark.parametrize("form", ["sd2", "sdxl"])
def test_other_families_too(tmp_path: Path, form: Form) -> None:
    """What pads SD 2.x's prompts, and SDXL's zeros for an empty negative prompt, are diffusers'."""
    weights = save_pipeline_folder(tmp_path / form, form)
    assert psnr(pixels(drawn(weights, tmp_path / "out")), peer_picture(64, weights=weights)) > 60


def test_packages_draw_the_same(tmp_path: Path, nano_packages: Path) -> None:
    given = ["--negative-prompt", "blue", "--guidance-scale", "3", "-s", "5", "--compute-unit", "cpuAndGPU"]
    file = drawn(nano_packages, tmp_path, *given)
    assert file.name == "randomSeed_5_computeUnit_CPU_AND_GPU_modelVersion_CompVis_stable-diffusion-v1-4.png"
    peer = peer_picture(64, seed=5, negative_prompt="blue", guidance_scale=3.0)
    # weights and inputs are rounded to float16, which is 66 dB of one call
    assert psnr(pixels(file), peer) > 50


def test_the_file_has_apples_name_and_replaces_an_older_one(tmp_path: Path) -> None:
    file = drawn(path("nano"), tmp_path, prompt="a red/blue  circle")
    assert file.relative_to(tmp_path).as_posix() == (
        "a_red_blue__circle/randomSeed_93_computeUnit_ALL_modelVersion_CompVis_stable-diffusion-v1-4.png"
    )
    first = file.read_bytes()
    assert main(["apple", "pipeline", "--prompt", "a red/blue  circle", "-i", str(path("nano")), "-o", str(tmp_path), "-q"]) == 0
    assert len(list(tmp_path.rglob("*.png"))) == 1
    assert file.read_bytes() != first
    chosen = drawn(path("nano"), tmp_path, "--scheduler", "eulerdiscrete", "--model-version", "me/mine", prompt="..")
    assert chosen.relative_to(tmp_path).as_posix() == (
        "__/randomSeed_93_computeUnit_ALL_modelVersion_me_mine_customScheduler_EulerDiscrete_numInferenceSteps4.png"
    )


def test_its_record_draws_the_picture_again(tmp_path: Path) -> None:
    file = drawn(path("nano"), tmp_path, "--scheduler", "PNDM", "--unet-batch-one")
    again = tmp_path / "again.png"
    assert main(["generate", "--from", str(file), "--model", str(path("nano")), "-q", "-o", str(again)]) == 0
    assert np.array_equal(pixels(again), pixels(file))
    settings = sdrt.Settings.from_file(file)
    assert (settings.rng, settings.seed, settings.compat, settings.guidance_batching) == ("numpy", 93, "diffusers", "sequential")


def test_a_controlnet_leads(tmp_path: Path, nano_packages: Path) -> None:
    edges = Image.fromarray(np.pad(np.zeros((32, 32), np.uint8), 16, constant_values=255))
    edges.save(tmp_path / "edges.png")
    led = drawn(nano_packages, tmp_path / "led", "--controlnet", "nano-edges", "--controlnet-inputs", str(tmp_path / "edges.png"))
    options: dict[str, Any] = {"seed": 93, "rng": "numpy", "num_inference_steps": 4, "guidance_scale": 7.5, "compat": "diffusers"}
    with sdrt.load("nano", controlnet="nano-edges") as pipe:
        [ours, free] = (
            pipe.generate(PROMPT, height=64, width=64, control_image=edges, controlnet_conditioning_scale=scale, **options).images[0]
            for scale in (1.0, 0.0)
        )
    assert psnr(pixels(led), np.asarray(ours)) > 50
    assert psnr(np.asarray(ours), np.asarray(free)) < 40


def choice(*argv: str) -> Any:
    """The model that a command chooses."""
    return parse(parser().parse_args(["apple", "pipeline", "--prompt", "a", "-o", "out", *argv])).choice


def test_the_form_of_packages_that_is_asked_for_is_found(tmp_path: Path, nano_packages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiled = tmp_path / "Resources"
    shutil.copytree(nano_packages, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("Resources"))
    # which are chosen by name, and read when a picture is drawn
    for name in ("Unet", "TextEncoder", "VAEDecoder"):
        (compiled / f"{name}.mlmodelc").mkdir(parents=True)
    assert choice("-i", str(tmp_path)).model == choice("-i", str(tmp_path), "--model-sources", "packages").model == str(tmp_path)
    for folder in (tmp_path, compiled):
        assert choice("-i", str(folder), "--model-s", "COMPILED").model == str(compiled)
    typed = ["apple", "pipeline", "--prompt", "a", "-o", str(tmp_path / "out"), "-i"]
    assert main([*typed, str(compiled), "--model-sources", "packages"]) == 2
    assert "holds no .mlpackage, which --model-sources packages asks for" in capsys.readouterr().err
    (tmp_path / "Unet.mlmodelc").mkdir()
    assert main([*typed, str(tmp_path), "--model-sources", "compiled"]) == 2
    assert "holds .mlpackage and .mlmodelc side by side, of which sdrt takes the first" in capsys.readouterr().err


def test_packages_without_a_tokenizer_have_that_of_the_model_version_if_it_is_on_disk(tmp_path: Path, nano_packages: Path) -> None:
    bare, source = tmp_path / "bare", str(path("nano"))
    shutil.copytree(nano_packages, bare, ignore=shutil.ignore_patterns("Resources", "vocab.json", "merges.txt", "scheduler_config.json"))
    found = drawn(bare, tmp_path / "out", "--model-version", source)
    assert psnr(pixels(found), peer_picture(64)) > 50
    # what the packages bring goes first, and a model that is not there is no more than a name
    assert choice("-i", str(nano_packages), "--model-version", source).options == {"compute_unit": "ALL"}
    assert choice("-i", str(bare), "--model-version", "me/mine").options == {"compute_unit": "ALL"}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-i", "nowhere"], "-i must be the folder of a model's Core ML packages, got nowhere, which is not a folder; correct the path"),
        (["-i", "empty"], "-i: empty: has no text_encoder"),
        (["--controlnet", "canny"], "--controlnet-inputs must be a picture for each ControlNet (1), got 0; pass them in their order"),
        (["--controlnet", "canny", "--controlnet-inputs", "a.png", "b.png"], "for each ControlNet (1), got 2"),
        (["--controlnet", "canny", "--controlnet-inputs", "edges.png"], "controlnet must be one of its own (nano-edges) or the path"),
        (["--controlnet", "nano-edges", "--controlnet-inputs", "none.png"], "none.png: cannot be read (no such file); pass a picture"),
        (["--num-inference-steps", "0"], "num_inference_steps must be a whole number of at least 1, got 0"),
        (["-o", "edges.png"], "edges.png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path,
    nano_packages: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Image.new("RGB", (8, 8)).save("edges.png")
    before = sorted(tmp_path.rglob("*"))
    assert main(["apple", "pipeline", "--prompt", "a", "-i", str(nano_packages), "-o", "out", "-q", *argv]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: --prompt, -i, -o"),
        (
            ["--prompt", "a", "-i", "x", "-o", "x", "--scheduler", "Euler"],
            r"must be one of DDIM, DPMSolverMultistep, .*, PNDM, got 'Euler'",
        ),
        (
            ["--prompt", "a", "-i", "x", "-o", "x", "--compute-unit", "gpu"],
            "must be one of ALL, CPU_ONLY, CPU_AND_GPU, CPU_AND_NE, got 'gpu'",
        ),
        (["--prompt", "a", "-i", "x", "-o", "x", "-s", "-1"], "argument --seed/-s: must be a whole number from 0 to 4294967295, got '-1'"),
        (["--prompt", "a", "-i", "x", "-o", "x", "--seed", "4294967296"], "got '4294967296'"),
        (["--prompt", "a", "-i", "x", "-o", "x", "--model-sources", "zip"], "must be one of packages, compiled, got 'zip'"),
    ],
    ids=lambda value: " ".join(value[6:]) or "nothing" if isinstance(value, list) else None,
)
def test_arguments_that_cannot_be_read_name_what_can(capsys: pytest.CaptureFixture[str], argv: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["apple", "pipeline", *argv])
    err = capsys.readouterr().err
    assert (ended.value.code, err.count("\n")) == (2, 1)
    assert re.search(message, err)


def test_a_compute_unit_without_core_ml_and_zeros_that_are_not_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["apple", "pipeline", "--prompt", "a", "-i", str(path("nano")), "-o", str(tmp_path), "--num-inference-steps", "1"]
    assert main([*typed, "--compute-unit", "CPU_AND_NE", "--force-zeros-for-empty-prompt"]) == 0
    err = capsys.readouterr().err
    assert "which run without Core ML: the compute unit CPU_AND_NE has no effect" in err
    assert "--force-zeros-for-empty-prompt has no effect: this model encodes an empty negative prompt" in err


def test_a_model_version_too_long_for_a_path_is_a_part_of_the_name(tmp_path: Path, nano_packages: Path) -> None:
    typed = ["apple", "pipeline", "--prompt", "a", "-i", str(nano_packages), "-o", str(tmp_path), "--model-version", "x" * 300]
    [name] = parse(parser().parse_args(typed)).output.names  # type: ignore[union-attr]
    assert len(name) == 255
    assert name.endswith("xxx.png")
