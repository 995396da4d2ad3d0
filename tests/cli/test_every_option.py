"""Each option of ``generate`` has a flag, moves the picture, stands in its record, and comes back from there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import UNet2DConditionModel
from PIL import Image

import sdrt
from sdrt.arrays import array_digest
from sdrt.cli import main
from sdrt.images.inputs import digest
from sdrt.pipeline.option_table import OPTIONS
from tests.factories import save_controlnet_folder, save_pipeline_folder, save_refiner_folder, save_t2i_adapter_folder, save_union_folder
from tests.fake_backend import FakeBackend
from tests.image_prompts import adapter_tensors, save_adapter, save_encoder
from tests.pictures import psnr

WEIGHTED = "a (red:3) circle"
REGION = ["--region-prompt", "a blue square, a photo of the night sky with a moon", "--guidance-scale", "20"]
MASKED = ["--image", "{one}", "--mask-image", "{mask}"]
EULER_A = ["--scheduler", "euler a"]


@dataclass(frozen=True)
class Case:
    """Two command lines that differ in one option.

    ``flags`` are the option's own, ``plain`` what stands in their place in the other call; a name in braces is a file.
    """

    flags: Sequence[str]
    recorded: Any
    beside: Sequence[str] = ()
    plain: Sequence[str] = ()
    model: str = "sd1"
    prompt: str = "a red circle on a blue background"


def adapter(*flags: str, recorded: Any) -> Case:
    return Case(flags, recorded, beside=["--adapter-image", "{one}"], model="adapted")


def looking(*flags: str, recorded: Any, image: str = "{one}") -> Case:
    return Case(flags, recorded, beside=["--ip-adapter-image", image], model="looking")


def hires(*flags: str, recorded: Any) -> Case:
    return Case(flags, recorded, beside=["--hires-scale", "1.25"])


def control(*flags: str, recorded: Any) -> Case:
    return Case(flags, recorded, beside=["--control-image", "{one}"], model="controlled")


def refined(*flags: str, recorded: Any) -> Case:
    return Case(flags, recorded, beside=["--refiner-start", "0.2"], model="refined")


CASES = {
    "seed": Case(["--seed", "94"], 94),
    "subseed": Case(["--subseed", "7"], 7, beside=["--subseed-strength", "0.5"], plain=["--subseed", "8"]),
    "subseed_strength": Case(["--subseed-strength", "0.5"], 0.5, beside=["--subseed", "7"]),
    "seed_resize_from": Case(["--seed-resize-from", "32", "32"], (32, 32)),
    "num_inference_steps": Case(["--steps", "4"], 4),
    "guidance_scale": Case(["--guidance-scale", "2"], 2.0),
    "guidance_rescale": Case(["--guidance-rescale", "0.7"], 0.7, beside=["--guidance-scale", "20"]),
    "guidance_start": Case(["--guidance-start", "0.5"], 0.5, beside=["--guidance-scale", "20"]),
    "guidance_end": Case(["--guidance-end", "0.5"], 0.5, beside=["--guidance-scale", "20"]),
    "guidance_schedule": Case(["--guidance-schedule", "Linear"], "linear", beside=["--guidance-scale", "20"]),
    "apg": Case(["--apg", "0", "2", "-0.5"], {"eta": 0.0, "norm_threshold": 2.0, "momentum": -0.5}, beside=["--guidance-scale", "20"]),
    "dynamic_thresholding": Case(
        ["--dynamic-thresholding", "0.9", "3"], {"percentile": 0.9, "mimic_scale": 3.0}, beside=["--guidance-scale", "20"]
    ),
    "height": Case(["-H", "48"], 48),
    "width": Case(["-W", "48"], 48),
    "scheduler": Case(EULER_A, {"_class_name": "EulerAncestralDiscreteScheduler"}),
    "eta": Case(["--eta", "0.5"], 0.5),
    "rng": Case(["--rng", "numpy"], "numpy"),
    "sampler_rng": Case(["--sampler-rng", "nv"], "nv", beside=EULER_A),
    "sampler_seed": Case(["--sampler-seed", "7"], 7, beside=EULER_A),
    "prompt_syntax": Case(["--prompt-syntax", "plain"], "plain", prompt=WEIGHTED),
    "long_prompts": Case(["--long-prompts", "truncate"], "truncate", prompt="red " * 75 + "blue circle"),
    "emphasis": Case(["--emphasis", "no_norm"], "no_norm", prompt=WEIGHTED),
    "clip_skip": Case(["--clip-skip", "1"], 1),
    "image": Case(["--image", "{two}"], "{two}", plain=["--image", "{one}"]),
    "strength": Case(["--strength", "0.4"], 0.4, beside=["--image", "{one}"]),
    "resize": Case(["--resize", "crop"], "crop", beside=["--image", "{one}", "-H", "32", "-W", "64"]),
    "background": Case(["--background", "navy"], "#000080", beside=["--image", "{clear}"]),
    "image_latents": Case(["--image-latents", "{other.npy}"], "{other.npy}", plain=["--image-latents", "{some.npy}"]),
    "latents": Case(["--latents", "{some.npy}"], "{some.npy}"),
    "mask_image": Case(["--mask-image", "{all}"], "{all}", beside=["--image", "{one}"], plain=["--mask-image", "{mask}"], model="inpaint"),
    "mask_mode": Case(["--mask-mode", "strength"], "strength", beside=["--image", "{one}", "--mask-image", "{grey}"]),
    "mask_blur": Case(["--mask-blur", "6"], 6.0, beside=MASKED),
    "masked_content": Case(["--masked-content", "fill"], "fill", beside=MASKED),
    "only_masked": Case(["--only-masked"], True, beside=["--image", "{one}", "--mask-image", "{spot}"]),
    "only_masked_padding": Case(["--only-masked-padding", "4"], 4, beside=["--only-masked", "--image", "{one}", "--mask-image", "{spot}"]),
    "paste": Case(["--no-paste"], False, beside=MASKED),
    "hires_scale": Case(["--hires-scale", "1.25"], 1.25),
    "hires_steps": hires("--hires-steps", "5", recorded=5),
    "hires_denoising": hires("--hires-denoising", "1", recorded=1.0),
    "hires_upscaler": hires("--hires-upscaler", "nearest", recorded="nearest"),
    "hires_scheduler": hires("--hires-scheduler", "euler a", recorded={"_class_name": "EulerAncestralDiscreteScheduler"}),
    "hires_prompt": hires("--hires-prompt", "a blue square", recorded="a blue square"),
    "hires_negative_prompt": hires("--hires-negative-prompt", "blue", recorded="blue"),
    "hires_guidance_scale": hires("--hires-guidance-scale", "1.5", recorded=1.5),
    "control_image": Case(["--control-image", "{two}"], ["{two}"], plain=["--control-image", "{one}"], model="controlled"),
    "controlnet_conditioning_scale": control("--controlnet-scale", "0.1", recorded=[0.1]),
    "control_guidance_start": control("--control-guidance-start", "0.5", recorded=[0.5]),
    "control_guidance_end": control("--control-guidance-end", "0.4", recorded=[0.4]),
    "control_mode": control("--control-mode", "prompt", recorded=["prompt"]),
    "guess_mode": control("--guess-mode", recorded=True),
    "control_preprocessor": control("--control-preprocessor", "canny", recorded=["canny"]),
    "control_type": Case(
        ["--control-type", "canny"], [3], beside=["--control-image", "{one}"], plain=["--control-type", "depth"], model="united"
    ),
    "region_prompt": Case(
        ["--region-prompt", "a red star"],
        ["a red star"],
        beside=["--region-mask", "{all}", *["--guidance-scale", "20"]],
        plain=["--region-prompt", "a blue square, a photo of the night sky with a moon"],
    ),
    "region_mask": Case(["--region-mask", "{mask}"], ["{mask}"], beside=REGION, plain=["--region-mask", "{spot}"]),
    "region_weight": Case(["--region-weight", "9"], [9.0], beside=[*REGION, "--region-mask", "{grey}"]),
    "prompt_2": Case(["--prompt-2", "a blue square"], "a blue square", model="sdxl"),
    "negative_prompt_2": Case(["--negative-prompt-2", "red"], "red", beside=["--negative-prompt", "blue"], model="sdxl"),
    "adapter_image": Case(["--adapter-image", "{two}"], ["{two}"], plain=["--adapter-image", "{one}"], model="adapted"),
    "adapter_conditioning_scale": adapter("--adapter-scale", "0.1", recorded=[0.1]),
    "adapter_conditioning_factor": adapter("--adapter-factor", "0.2", recorded=[0.2]),
    "adapter_preprocessor": adapter("--adapter-preprocessor", "canny", recorded=["canny"]),
    "ip_adapter_image": Case(["--ip-adapter-image", "{two}"], [[["{two}"]]], plain=["--ip-adapter-image", "{one}"], model="looking"),
    "ip_adapter_image_embeds": Case(
        ["--ip-adapter-image-embeds", "{embeds 2.npy}"],
        ["{embeds 2.npy}"],
        plain=["--ip-adapter-image-embeds", "{embeds 1.npy}"],
        model="looking",
    ),
    "ip_adapter_scale": looking("--ip-adapter-scale", "0.3", recorded=[0.3]),
    "ip_adapter_mask": looking("--ip-adapter-mask", "{mask}", recorded=[["{mask}"]]),
    "original_size": Case(["--original-size", "256", "512"], [256, 512], model="sdxl"),
    "crops_coords_top_left": Case(["--crops-coords-top-left", "300", "500"], [300, 500], model="sdxl"),
    "target_size": Case(["--target-size", "512", "256"], [512, 256], model="sdxl"),
    "aesthetic_score": refined("--aesthetic-score", "1", recorded=1.0),
    "negative_aesthetic_score": refined("--negative-aesthetic-score", "9", recorded=9.0),
    "refiner_start": Case(["--refiner-start", "0.4"], 0.4, model="refined"),
    "freeu": Case(["--freeu", "1.5", "1.6", "0.9", "0.2"], {"b1": 1.5, "b2": 1.6, "s1": 0.9, "s2": 0.2}),
    "pag_scale": Case(["--pag-scale", "6"], 6.0, beside=["--pag-applied-layers", "down"], plain=["--pag-scale", "0.1"]),
    "pag_applied_layers": Case(["--pag-applied-layers", "down_blocks.0"], ["down_blocks.0"], beside=["--pag-scale", "3"]),
    "pag_adaptive_scale": Case(["--pag-adaptive-scale", "0.01"], 0.01, beside=["--pag-scale", "6", "--pag-applied-layers", "down"]),
    "token_merging": Case(["--token-merging", "0.5"], 0.5),
    "compat": Case(["--compat", "diffusers"], "diffusers", prompt=WEIGHTED),
}

# Options that decide how many pictures there are, or how they are computed, and not what they show.
OTHERS = {"num_images", "guidance_batching", "record_paths"}


def test_no_option_is_left_out() -> None:
    assert CASES.keys() | OTHERS == {name for name, option in OPTIONS.items() if option.kind != "group"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures."""
    folder = tmp_path_factory.mktemp("every option")
    for name, seed in (("one", 1), ("two", 2)):
        coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(coarse).resize((64, 64), Image.Resampling.NEAREST).save(folder / f"{name}.png")
    mask = np.full((64, 64), 255, np.uint8)
    Image.fromarray(mask).save(folder / "all.png")
    mask[:, :32] = 0
    Image.fromarray(mask).save(folder / "mask.png")
    Image.fromarray(np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[:, None], 64, axis=1)).save(folder / "grey.png")
    spot = np.zeros((64, 64), np.uint8)
    spot[40:50, 16:24] = 255
    Image.fromarray(spot).save(folder / "spot.png")
    Image.fromarray(np.full((64, 64, 4), (200, 30, 30, 90), np.uint8)).save(folder / "clear.png")
    for name, seed in (("some", 1), ("other", 2)):
        np.save(folder / f"{name}.npy", np.random.default_rng(seed).standard_normal((1, 4, 8, 8), np.float32))
        np.save(folder / f"embeds {seed}.npy", np.random.default_rng(seed).standard_normal((1, 1, 12), np.float32))
    return folder


@pytest.fixture(scope="module")
def model_flags(root: Path) -> Callable[[str], list[str]]:
    """The flags that open a model, which is made when first asked for."""

    @cache
    def flags(model: str) -> list[str]:
        match model:
            case "looking":
                sd1 = flags("sd1")
                unet = UNet2DConditionModel.from_pretrained(Path(sd1[1]) / "unet")
                file, encoder = save_adapter(root / "ip-adapter.safetensors", adapter_tensors(unet)), save_encoder(root / "encoder")
                return [*sd1, "--ip-adapter", str(file), "--image-encoder", str(encoder)]
            case "controlled":
                return [*flags("sd1"), "--controlnet", str(save_controlnet_folder(root / "controlnet"))]
            case "adapted":
                return [*flags("sd1"), "--t2i-adapter", str(save_t2i_adapter_folder(root / "adapter", "full"))]
            case "united":
                return [*flags("sdxl"), "--controlnet", str(save_union_folder(root / "union"))]
            case "refined":
                return [*flags("sdxl"), "--refiner", str(save_refiner_folder(root / "refiner"))]
            case "sd1" | "sdxl" | "inpaint":
                return ["--model", str(save_pipeline_folder(root / model, model)), "--threads", "1"]
            case _:
                raise ValueError(model)

    return flags


@pytest.fixture(scope="module")
def draw(root: Path, model_flags: Callable[[str], list[str]]) -> Callable[..., Path]:
    """Run ``sdrt generate`` once for each command line; the file of its one picture."""

    @cache
    def drawn(model: str, *argv: str) -> Path:
        file = root / f"picture{drawn.cache_info().misses}.png"
        argv = tuple(in_folder(each, root) for each in argv)
        assert main(["generate", *argv, *model_flags(model), "-q", "-o", str(file)]) == 0
        return file

    return drawn


def in_folder(argument: str, root: Path) -> str:
    """An argument; the file of a name in braces, which is a picture unless it has an ending."""
    if not argument.startswith("{"):
        return argument
    name = argument.strip("{}")
    return str(root / (name if "." in name else f"{name}.png"))


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def recorded(name: str, settings: sdrt.Settings) -> Any:
    """What stands at an option's place in the record; None where nothing does."""
    field, _, key = OPTIONS[name].record.partition(".")
    value = settings.to_dict()[field]
    return value.get(key) if key else value


def with_digests(value: Any, root: Path) -> Any:
    """An expected value, in which a picture is its digest."""
    if isinstance(value, list):
        return [with_digests(each, root) for each in value]
    if isinstance(value, str) and value.startswith("{"):
        file = in_folder(value, root)
        if file.endswith(".npy"):
            # what the image encoder gave is recorded whole, latents by image
            return array_digest(np.load(file) if "embeds" in value else np.load(file)[0])
        with Image.open(file) as image:
            return digest(value, image)
    return value


@pytest.mark.parametrize("name", CASES)
def test_an_option_moves_the_picture_and_comes_back_from_its_record(
    name: str, root: Path, draw: Callable[..., Path], model_flags: Callable[[str], list[str]], tmp_path: Path
) -> None:
    case = CASES[name]
    common = [case.prompt, "--seed", "93", "--steps", "3", "--guidance-scale", "5", "--negative-prompt", "a blurry circle", *case.beside]
    without, given = draw(case.model, *common, *case.plain), draw(case.model, *common, *case.flags)
    assert case.flags[0].replace("--no-", "--") in OPTIONS[name].flags

    one, two = pixels(without), pixels(given)
    assert one.shape != two.shape or psnr(one, two) < 40

    settings = sdrt.Settings.from_png(given)
    expected, found = with_digests(case.recorded, root), recorded(name, settings)
    assert expected.items() <= found.items() if isinstance(expected, dict) else found == expected
    assert recorded(name, sdrt.Settings.from_png(without)) != found

    given_pictures = [
        each for each in (*case.beside, *case.flags) if each.startswith("{") or each.endswith(("image", "latents", "embeds", "mask"))
    ]
    pictures = [in_folder(each, root) for each in given_pictures]
    again = tmp_path / "again.png"
    assert main(["generate", "--from", str(given), *model_flags(case.model), *pictures, "-q", "-o", str(again)]) == 0
    assert pixels(again).tobytes() == two.tobytes()
    assert sdrt.Settings.from_png(again) == settings


def test_recorded_paths_draw_a_picture_again_by_themselves(
    root: Path, draw: Callable[..., Path], model_flags: Callable[[str], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = [tmp_path / "one.png", tmp_path / "mask.png"]
    for file in moved:
        file.write_bytes((root / file.name).read_bytes())
    argv = ["a red circle", "--seed", "93", "--steps", "2", "--image", str(moved[0]), "--mask-image", str(moved[1])]
    plain, given = draw("sd1", *argv), draw("sd1", *argv, "--record-paths")
    assert pixels(given).tobytes() == pixels(plain).tobytes()
    assert recorded("record_paths", sdrt.Settings.from_png(given)) == {"image": str(moved[0]), "mask_image": str(moved[1])}
    assert recorded("record_paths", sdrt.Settings.from_png(plain)) is None
    again = ["generate", "--from", str(given), *model_flags("sd1"), "-q", "-o", str(tmp_path / "again.png")]
    assert main(again) == 0
    assert (tmp_path / "again.png").read_bytes() == given.read_bytes()
    moved[0].write_bytes((root / "two.png").read_bytes())
    assert main(again) == 2
    assert "image must be the recorded picture, SHA-256" in capsys.readouterr().err


def test_the_number_of_images_is_the_number_of_files(model_flags: Callable[[str], list[str]], tmp_path: Path) -> None:
    assert main(["generate", "a", "--seed", "93", "--steps", "1", "-n", "3", *model_flags("sd1"), "-q", "-o", str(tmp_path)]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.93.png", "a.94.png", "a.95.png"]
    # each file carries the record of its own picture
    assert {sdrt.Settings.from_png(file).num_images for file in tmp_path.iterdir()} == {1}


def test_batching_decides_how_many_rows_the_network_sees(model_flags: Callable[[str], list[str]], draw: Callable[..., Path]) -> None:
    flags = ["a red circle", "--seed", "93", "--steps", "3"]
    together, apart = draw("sd1", *flags), draw("sd1", *flags, "--guidance-batching", "sequential")
    assert psnr(pixels(together), pixels(apart)) >= 60
    assert sdrt.Settings.from_png(apart).guidance_batching == "sequential"
    expected: dict[sdrt.GuidanceBatching, set[int]] = {"batched": {4}, "sequential": {1}}
    for batching, rows in expected.items():
        backend = FakeBackend()
        pipe = sdrt.load(model_flags("sd1")[1], backend)
        pipe.generate("a", num_images=2, num_inference_steps=2, guidance_batching=batching)
        assert set(backend.rows) == rows


@pytest.mark.parametrize(
    "flag",
    [
        "--vae",
        "--tokenizer",
        "--config",
        "--refiner",
        "--image",
        "--control-image",
        "--adapter-image",
        "--embedding",
        "--from",
        "--prompts",
        "-o",
    ],
)
def test_an_empty_path_is_not_the_current_folder(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As a shell gives it for a variable that is not set."""
    with pytest.raises(SystemExit, match="2"):
        raise SystemExit(main(["generate", "a", flag, ""]))
    told = capsys.readouterr().err
    assert flag in told
    assert "got ''" in told
