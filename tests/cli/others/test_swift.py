"""`sdrt swift` beside ``generate(compat="apple")``, and the arguments of Apple's StableDiffusionSample as people type them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.cli import main, parser
from sdrt.cli.others.swift import parse
from sdrt.cli.others.swift_pictures import PictureNames
from sdrt.images.png import read_text
from sdrt.models import path
from tests.factories import save_pipeline_folder
from tests.nano_packages import as_epsilon
from tests.pictures import psnr

PROMPT = "a photo of an astronaut riding a horse on mars"
STEM = "a_photo_of_an_astronaut_riding_a_horse_on_mars"
# The whole configuration of Apple's schedulers, whatever lies beside the packages.
TRAINED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
PNDM = {**TRAINED, "_class_name": "PNDMScheduler", "skip_prk_steps": True, "steps_offset": 1}
DPM = {**TRAINED, "_class_name": "DPMSolverMultistepScheduler"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion 1.x, small and random."""
    return save_pipeline_folder(tmp_path_factory.mktemp("weights") / "sd1")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory, nano_packages: Path) -> Path:
    return as_epsilon(nano_packages, tmp_path_factory.mktemp("packages") / "nano")


def swift(resources: Path, out: Path, *argv: str, prompt: str = PROMPT) -> list[str]:
    """Draw, and return the names of the files that are there."""
    typed = ["--resource-path", str(resources), "--output-path", str(out), "--step-count", "3", "-q", *argv]
    assert main(["swift", prompt, *typed]) == 0
    return sorted(file.name for file in out.glob("*.png"))


def pixels(file: Path) -> Any:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def expected(pipe: sdrt.Pipeline, prompt: str = PROMPT, **options: Any) -> list[Any]:
    options = {"num_inference_steps": 3, "guidance_scale": 7.5, "compat": "apple", "scheduler": PNDM, **options}
    return [np.asarray(image) for image in pipe.generate(prompt, **options).images]


def test_packages_draw_several_images_from_one_stream(tmp_path: Path, packages: Path) -> None:
    names = swift(packages, tmp_path, "--seed", "93", "--image-count", "2", "--compute-units", "cpuAndNeuralEngine")
    assert names == [f"{STEM}.0.93.final.png", f"{STEM}.1.93.final.png"]
    stream = sdrt.rng.stream("numpy", 93)
    latents = np.stack([stream.normal((4, 8, 8)) for _ in range(2)])
    with sdrt.load(packages, "coreml") as pipe:
        one_stream = expected(pipe, rng=sdrt.rng.stream("numpy", 93), num_images=2)
        for images in (one_stream, expected(pipe, latents=latents, seed=1, num_images=2)):
            assert [np.array_equal(pixels(tmp_path / name), image) for name, image in zip(names, images, strict=True)] == [True, True]
    # one of them again, from its own record
    again = tmp_path / "again.png"
    assert main(["generate", "--from", str(tmp_path / names[1]), "--model", str(packages), "-q", "-o", str(again)]) == 0
    assert np.array_equal(pixels(again), pixels(tmp_path / names[1]))


@pytest.mark.parametrize(("typed", "name"), [("numpy", "numpy"), ("torch", "torch"), ("nvidia", "nv"), ("CUDA", "nv")])
def test_each_image_is_the_next_array_of_the_stream(tmp_path: Path, weights: Path, typed: str, name: str) -> None:
    """A stream that counts arrays, as CUDA's does, gives other numbers for two at once."""
    names = swift(weights, tmp_path, "--seed", "7", "--image-count", "2", "--rng", typed, "--scheduler", "DPMPP")
    stream = sdrt.rng.stream(name, 7)
    with sdrt.load(weights) as pipe:
        [_, second] = expected(pipe, latents=np.stack([stream.normal((4, 8, 8)) for _ in range(2)]), seed=0, scheduler=DPM, num_images=2)
    assert np.array_equal(pixels(tmp_path / names[1]), second)
    again = tmp_path / "again.png"
    assert main(["generate", "--from", str(tmp_path / names[1]), "--model", str(weights), "-q", "-o", str(again)]) == 0
    assert np.array_equal(pixels(again), second)


def test_one_image_and_its_previews(tmp_path: Path, weights: Path) -> None:
    """Every second of three steps: the last prediction of the clean picture is the picture in the end."""
    prompt = "a cat, sitting (on) a mat/"
    names = swift(weights, tmp_path, "--seed", "93", "--save-every", "2", "--scheduler", "dpmpp", prompt=prompt)
    assert names == [f"a_cat,_sitting_(on)_a_mat_.93.{step}.png" for step in ("0", "2", "final")]
    with sdrt.load(weights) as pipe:
        [image] = expected(pipe, prompt, seed=93, rng="numpy", scheduler=DPM)
        first = next(pipe.steps(prompt, num_inference_steps=3, seed=93, rng="numpy", compat="apple", scheduler=DPM))
        assert np.array_equal(pixels(tmp_path / names[0]), np.asarray(first.preview[0]))
    # the same prediction, computed in another order
    assert psnr(pixels(tmp_path / names[1]), image) > 60
    assert np.array_equal(pixels(tmp_path / names[2]), image)
    # the record of the call would draw another picture than a preview
    assert [bool(read_text(tmp_path / name)) for name in names] == [False, False, True]


def test_a_start_image_of_another_size(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "start.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (48, 96, 3), np.uint8)).save(file)
    assert swift(weights, tmp_path / "out", "--seed", "93", "--image", str(file), "--strength", "0.7") == [f"{STEM}.str70.93.final.png"]
    with sdrt.load(weights) as pipe, Image.open(file) as start:
        size: dict[str, Any] = {"height": 64, "width": 64, "seed": 93, "rng": "numpy"}
        [changed] = expected(pipe, image=start, strength=0.7, **size)
        [free] = expected(pipe, **size)
    assert np.array_equal(pixels(tmp_path / "out" / f"{STEM}.str70.93.final.png"), changed)
    # at 1 it is ignored, and beyond
    swift(weights, tmp_path / "all", "--seed", "93", "--image", str(file), "--strength", "1.5")
    assert np.array_equal(pixels(tmp_path / "all" / f"{STEM}.str100.93.final.png"), free)
    assert (
        main(["swift", "a", "--resource-path", str(weights), "--image", str(file), "--step-count", "2", "--output-path", str(tmp_path)])
        == 0
    )
    assert "start.png: is 96x48, and the model's pictures are 64x64: it is resized" in capsys.readouterr().err


def test_what_is_transparent_in_a_controlnets_picture_is_to_be_in_painted(tmp_path: Path) -> None:
    hole = np.full((128, 128, 4), 255, np.uint8)
    hole[32:96, 32:96, 3] = 0
    for name, picture in {"hole": hole, "whole": hole[..., :3]}.items():
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
        given = ["--seed", "3", "--controlnet", "nano-edges", "--controlnet-inputs", str(tmp_path / f"{name}.png")]
        swift(path("nano"), tmp_path / name, *given)
    file = f"{STEM}.3.final.png"
    with sdrt.load("nano", controlnet="nano-edges") as pipe:
        options: dict[str, Any] = {"compat": None, "scheduler": "plms", "seed": 3, "rng": "numpy"}
        [whole] = expected(pipe, control_image=Image.fromarray(hole[..., :3]), **options)
    assert np.array_equal(pixels(tmp_path / "whole" / file), whole)
    assert not np.array_equal(pixels(tmp_path / "hole" / file), whole)


def test_what_the_safety_checker_flags_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, out = save_pipeline_folder(tmp_path / "sd1", safety_checker=True), tmp_path / "out"
    typed = ["swift", "a cat", "--resource-path", str(weights), "--step-count", "1", "--seed", "5", "--image-count", "2", "--output-path"]
    assert parse(parser().parse_args([*typed, "."])).choice.options["safety_checker"] is True
    assert "safety_checker" not in parse(parser().parse_args([*typed, ".", "--disable-safety"])).choice.options
    assert "safety_checker" not in parse(parser().parse_args(["swift", "a", "--resource-path", str(path("nano"))])).choice.options
    verdicts = iter([False, True])
    monkeypatch.setattr("sdrt.pipeline.safety_checker.is_flagged", lambda *_: next(verdicts))
    assert main([*typed, str(out)]) == 0
    assert [file.name for file in out.iterdir()] == ["a_cat.0.5.final.png"]
    assert "a_cat.1.5.final.png failed the safety check, and is not saved" in capsys.readouterr().err


def test_every_flag_has_swifts_default(weights: Path) -> None:
    command = parse(parser().parse_args(["swift", PROMPT, "--resource-path", str(weights)]))
    seed = command.options.pop("seed")
    assert 0 <= seed < 2**32
    scheduler = command.options.pop("scheduler")
    assert (scheduler["_class_name"], scheduler["beta_end"]) == ("PNDMScheduler", 0.012)
    assert command.options == {"rng": "numpy", "num_images": 1, "num_inference_steps": 50, "guidance_scale": 7.5, "compat": "apple"}
    assert (command.negative_prompt, command.output, command.on_step) == (
        "",
        PictureNames(prompt=PROMPT, image_count=1, strength=None, seed=seed).destination(Path()),
        None,
    )
    assert command.choice.options == {"reduce_memory": False}
    other = parse(parser().parse_args(["swift", PROMPT, "--resource-path", str(weights)]))
    assert other.options["seed"] != seed


def test_sdxl_is_told_sizes_of_1024_and_encodes_an_empty_negative_prompt(tmp_path: Path) -> None:
    weights = save_pipeline_folder(tmp_path / "sdxl", "sdxl")
    index = weights / "model_index.json"
    for zeros in (True, False):
        index.write_text(json.dumps(json.loads(index.read_text()) | {"force_zeros_for_empty_prompt": zeros}))
        assert swift(weights, tmp_path / str(zeros), "--seed", "93", "--xl") == [f"{STEM}.93.final.png"]
    assert np.array_equal(*(pixels(tmp_path / str(zeros) / f"{STEM}.93.final.png") for zeros in (True, False)))
    record = sdrt.Settings.from_file(tmp_path / "True" / f"{STEM}.93.final.png")
    assert record.conditions["original_size"] == record.conditions["target_size"] == [1024, 1024]
    assert parse(parser().parse_args(["swift", "a", "--resource-path", str(weights)])).options["target_size"] == (1024, 1024)


def test_a_refiner_among_the_packages_takes_over(tmp_path: Path) -> None:
    """Which is chosen by its name, and read when a picture is drawn."""
    for name in ("TextEncoder", "TextEncoder2", "Unet", "VAEDecoder"):
        (tmp_path / f"{name}.mlmodelc").mkdir()
    (tmp_path / "scheduler_config.json").write_text(json.dumps(PNDM))
    typed = ["swift", "a", "--resource-path", str(tmp_path)]
    assert "refiner" not in parse(parser().parse_args(typed)).choice.options
    (tmp_path / "UnetRefiner.mlmodelc").mkdir()
    assert parse(parser().parse_args(typed)).choice.options["refiner"] == str(tmp_path)


def test_a_model_that_predicts_velocities_is_drawn_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = "a (red) circle"
    typed = ["--resource-path", str(path("nano")), "--output-path", str(tmp_path), "--seed", "3", "--step-count", "3"]
    assert main(["swift", prompt, *typed]) == 0
    assert "this model predicts v_prediction, which the Swift package takes for noise" in capsys.readouterr().err
    with sdrt.load("nano") as pipe:
        [image] = expected(pipe, prompt, compat=None, scheduler="plms", prompt_syntax="plain", seed=3, rng="numpy")
    assert np.array_equal(pixels(tmp_path / "a_(red)_circle.3.final.png"), image)


@pytest.mark.parametrize(
    ("names", "expected_name"),
    [
        ({"prompt": "x" * 80}, f"{'x' * 75}.93.final.png"),
        ({"prompt": "é" * 80, "image_count": 3}, f"{'é' * 75}.2.93.final.png"),
        # a Character of Swift: here a family of four, which has 25 bytes, and a name has 255
        ({"prompt": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466" * 80}, None),
        ({"prompt": "a", "strength": 0.29}, "a.str29.93.final.png"),
        ({"prompt": "a", "strength": 0.58}, "a.str58.93.final.png"),
        ({"prompt": "a/b\0c"}, "a_b_c.93.final.png"),
    ],
)
def test_names_are_swifts_and_fit(names: dict[str, Any], expected_name: str | None) -> None:
    options: dict[str, Any] = {"image_count": 1, "strength": None, "seed": 93, **names}
    name = PictureNames(**options).name(2)
    assert name == expected_name or (expected_name is None and len(name.encode()) <= 255 and name.endswith(".93.final.png"))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["StableDiffusionSample", "a cat"], "stands for 'swift run StableDiffusionSample': leave that name out"),
        (["run", "StableDiffusionSample", "a cat", "--seed", "93"], "leave that name out"),
        (["a", "red", "circle"], "the prompt must be one text, got 3 ('a red circle'); put it between quotation marks"),
        (
            ["a", "--resource-path", "nowhere"],
            "--resource-path must be the folder of a model's Core ML packages, got nowhere, which is not a folder",
        ),
        (["a"], "--resource-path: .: has no text_encoder"),
        (["a", "--use-multilingual-text-encoder"], "needs Apple's own NLContextualEmbedding, which only its systems have"),
        (["a", "--use-multilingual-text-encoder", "--script", "cjk"], "needs Apple's own NLContextualEmbedding"),
        (["a", "--script", "latin"], "--script is for --use-multilingual-text-encoder"),
        (["a", "--sd3"], "--sd3 needs the MMDiT of Stable Diffusion 3, which sdrt does not have"),
        (["a", "--resource-path", "WEIGHTS", "--xl"], "--xl must come with packages of SDXL"),
        (["a", "--strength", "nan"], "--strength must be above 0, got nan"),
        (["a", "--strength=-inf"], "--strength must be above 0, got -inf"),
        (["a", "--image-count", "0"], "--image-count must be at least 1, got 0; leave it out for one picture"),
        (["a", "--image-count", "100000000"], "--image-count must be at most 10000, got 100000000"),
        (["a", "--save-every", "-1"], "--save-every must be a number of steps, or 0 for no previews, got -1"),
        (["a", "--resource-path", "WEIGHTS", "--image", "no.png"], "no.png: cannot be read (no such file); pass a picture"),
        (["a", "--controlnet", "Canny", "Depth", "--controlnet-inputs", "a.png"], "must be a picture for each ControlNet (2), got 1"),
        (["a", "--resource-path", "PACKAGES", "--controlnet", "Canny", "--controlnet-inputs", "a.png"], "one of its own (nano-edges)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path,
    weights: Path,
    packages: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("a.png")
    places = {"WEIGHTS": str(weights), "PACKAGES": str(packages)}
    assert main(["swift", *(places.get(word, word) for word in argv)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: PROMPT"),
        (["a", "--scheduler", "euler"], "must be one of pndm, dpmpp, got 'euler'"),
        (["a", "--rng", "dice"], "must be one of numpy, torch, nvidia, got 'dice'"),
        (["a", "--compute-units", "gpu"], "must be one of all, cpuOnly, cpuAndGPU, cpuAndNeuralEngine, got 'gpu'"),
        (["a", "--seed", "1.5"], "argument --seed: must be a whole number from 0 to 4294967295, got '1.5'"),
        (["a", "--seed", "4294967296"], "got '4294967296'"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else None,
)
def test_arguments_that_cannot_be_read_name_what_can(capsys: pytest.CaptureFixture[str], argv: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["swift", *argv])
    err = capsys.readouterr().err
    assert (ended.value.code, err.count("\n")) == (2, 1)
    assert re.search(message, err)


def test_a_strength_without_a_picture_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parse(parser().parse_args(["swift", "a", "--resource-path", str(path("nano")), "--strength", "0.3"]))
    assert "--strength has no effect without --image" in caplog.messages
