"""`sdrt sdcpp`: what each flag of stable-diffusion.cpp becomes."""

import dataclasses
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdrt.arrays import F64
from sdrt.cli import main, parser
from sdrt.cli.generate import GenerateCommand
from sdrt.cli.others import sdcpp
from sdrt.cli.others.sdcpp_flags import IDLE, REFUSED
from sdrt.cli.others.sdcpp_pictures import numbered_names, numbered_pictures
from sdrt.cli.others.sdcpp_samplers import METHODS, SCHEDULES, scheduler_name, strength
from sdrt.errors import ConfigError
from sdrt.schedulers import make, sampler_from_name
from tests.factories import save_pipeline_folder

ROOT = Path(__file__).parents[3]

# Every flag of `sd-cli --help` in May 2026, and those of older releases that are gone since.
FLAGS_OF_MAY_2026 = """
-o --output --image --metadata-format --preview-path --preview-interval --output-begin-idx --canny --convert-name -v --verbose
--color --taesd-preview-only --preview-noisy --metadata-raw --metadata-brief --metadata-all -M --mode --preview -h --help -m
--model --clip_l --clip_g --clip_vision --t5xxl --llm --llm_vision --qwen2vl --qwen2vl_vision --diffusion-model
--high-noise-diffusion-model --vae --taesd --tae --control-net --embd-dir --lora-model-dir --hires-upscalers-dir
--tensor-type-rules --photo-maker --upscale-model -t --threads --chroma-t5-mask-pad --max-vram --force-sdxl-vae-conv-scale
--offload-to-cpu --mmap --control-net-cpu --clip-on-cpu --vae-on-cpu --fa --diffusion-fa --diffusion-conv-direct --vae-conv-direct
--circular --circularx --circulary --chroma-disable-dit-mask --qwen-image-zero-cond-t --chroma-enable-t5-mask --type --rng
--sampler-rng --prediction --lora-apply-mode -p --prompt -n --negative-prompt -i --init-img --end-img --mask --control-image
--control-video --pm-id-images-dir --pm-id-embed-path --hires-upscaler -H --height -W --width --steps --high-noise-steps
--clip-skip -b --batch-count --video-frames --fps --timestep-shift --upscale-repeats --upscale-tile-size --hires-width
--hires-height --hires-steps --hires-upscale-tile-size --cfg-scale --img-cfg-scale --guidance --slg-scale --skip-layer-start
--skip-layer-end --eta --flow-shift --high-noise-cfg-scale --high-noise-img-cfg-scale --high-noise-guidance --high-noise-slg-scale
--high-noise-skip-layer-start --high-noise-skip-layer-end --high-noise-eta --strength --pm-style-strength --control-strength
--moe-boundary --vace-strength --vae-tile-overlap --hires-scale --hires-denoising-strength --increase-ref-index
--disable-auto-resize-ref-image --disable-image-metadata --vae-tiling --hires -s --seed --sampling-method
--high-noise-sampling-method --scheduler --sigmas --skip-layers --high-noise-skip-layers -r --ref-image --cache-mode
--cache-option --scm-mask --scm-policy --vae-tile-size --vae-relative-tile-size
"""
FLAGS_OF_OLDER_RELEASES = "--schedule --normalize-input --style-ratio --input-id-images-dir --stacked-id-embd-dir"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what flags name."""
    folder = tmp_path_factory.mktemp("sdcpp")
    for name in ("cat.safetensors", "dog.pt", "bird.gguf", "cat.pt"):
        (folder / name).touch()
    return folder


the_parser = cache(parser)


def parsed(*argv: str) -> GenerateCommand:
    return sdcpp.parse(the_parser().parse_args(["sdcpp", *argv]))


def flat(command: GenerateCommand) -> dict[str, Any]:
    """A command as its fields and those of its parts."""
    fields = dataclasses.asdict(command)
    rows = {"prompts": fields["prompts"], "negative_prompt": fields["negative_prompt"], "quiet": fields["quiet"], **fields["options"]}
    for part in ("output", "choice", "pictures"):
        rows |= {f"{part}.{name}": value for name, value in fields[part].items()}
    return rows | {f"load.{name}": value for name, value in rows.pop("choice.options").items()}


CONTROLLED = ["--control-net", "depth", "--control-image", "cat.png"]

# Each flag with what it changes of the command beside it; "{}" is the folder.
CASES: dict[str, tuple[list[str], dict[str, Any], list[str]]] = {
    "-m": (["-m", "sd15.safetensors"], {"choice.model": "sd15.safetensors"}, []),
    "-p": (["-p", "a cat"], {"prompts": ("a cat",)}, []),
    "-n": (["-n", "a dog"], {"negative_prompt": "a dog"}, []),
    "-o": (["-o", "x/cat.jpg"], {"output.folder": Path("x"), "output.names": ("cat.jpg",)}, []),
    "--output-begin-idx": (["--output-begin-idx", "5"], {"output.names": ("output_5.png", "output_6.png")}, ["-b", "2"]),
    "-W": (["-W", "256"], {"width": 256}, []),
    "-H": (["-H", "384"], {"height": 384}, []),
    "-s": (["-s", "7"], {"seed": 7}, []),
    "-b": (["-b", "3"], {"num_images": 3, "output.names": ("output.png", "output_2.png", "output_3.png")}, []),
    "--steps": (["--steps", "5"], {"num_inference_steps": 5}, []),
    "--cfg-scale": (["--cfg-scale", "3.5"], {"guidance_scale": 3.5}, []),
    "--eta": (["--eta", "0.5"], {"eta": 0.5}, []),
    "--sampling-method": (["--sampling-method", "tcd"], {"scheduler": "tcd", "eta": 0.0}, []),
    "--scheduler": (["--scheduler", "karras"], {"scheduler": "euler a karras"}, []),
    "--rng": (["--rng", "std_default"], {"rng": "libstdc++"}, []),
    "--sampler-rng": (["--sampler-rng", "cpu"], {"sampler_rng": "torch"}, []),
    "-i": (
        ["-i", "cat.png"],
        {"pictures.image": (Path("cat.png"),), "strength": 0.8, "resize": "crop", "width": None, "height": None},
        [],
    ),
    "--strength": (["--strength", "0.5"], {"strength": 0.55}, ["-i", "cat.png"]),
    "--mask": (["--mask", "mask.png"], {"pictures.mask_image": (Path("mask.png"),), "paste": False}, ["-i", "cat.png"]),
    "--control-net": (["--control-net", "edges"], {"choice.controlnets": ("edges",)}, CONTROLLED),
    "--control-image": (["--control-image", "dog.png"], {"pictures.control_image": (Path("dog.png"),)}, CONTROLLED),
    "--control-strength": (["--control-strength", "0.4"], {"controlnet_conditioning_scale": 0.4}, CONTROLLED),
    "--canny": (["--canny"], {"control_preprocessor": "canny"}, CONTROLLED),
    "--clip-skip": (["--clip-skip", "2"], {"clip_skip": 1}, []),
    "--lora-model-dir": (["--lora-model-dir", "."], {"load.lora_dir": Path()}, []),
    "--embd-dir": (
        ["--embd-dir", "{}"],
        {"choice.embeddings": (("cat", "{}/cat.safetensors"), ("dog", "{}/dog.pt"))},
        ["-p", "a CAT, a bird", "-n", "dog"],
    ),
    "--vae": (["--vae", "vae.safetensors"], {"load.vae": Path("vae.safetensors")}, []),
    "--vae-tiling": (["--vae-tiling"], {"load.vae_tiling": True}, []),
    "--prediction": (["--prediction", "v"], {"load.prediction_type": "v_prediction"}, []),
    "-t": (["-t", "3"], {"load.threads": 3}, []),
    "--disable-image-metadata": (["--disable-image-metadata"], {"output.with_settings": False}, []),
    "-q": (["-q"], {"quiet": True}, []),
}
# The help, messages, and the mode, which must fit the other flags.
WITHOUT_A_CASE = {"-h", "-M", "-v", "program"}


def in_folder(value: Any, folder: Path) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(in_folder(each, folder) for each in value)
    return type(value)(str(value).replace("{}", str(folder))) if isinstance(value, str | Path) else value


@pytest.mark.parametrize("name", CASES)
def test_each_flag_changes_what_it_should_and_nothing_else(name: str, folder: Path) -> None:
    flags, changes, beside = CASES[name]
    without, given_flag = (flat(parsed(*in_folder(argv, folder))) for argv in (beside, [*beside, *flags]))
    names = without.keys() | given_flag.keys()
    assert {each: given_flag.get(each) for each in names if given_flag.get(each) != without.get(each)} == in_folder_of(changes, folder)


def in_folder_of(changes: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {name: in_folder(value, folder) for name, value in changes.items()}


def test_no_flag_of_the_parser_is_without_a_test() -> None:
    actions = the_parser()._subparsers._group_actions[0].choices["sdcpp"]._actions  # type: ignore[union-attr, index]
    named = {flag for flag in actions for flag in flag.option_strings}
    tested = {*CASES, *WITHOUT_A_CASE, *(flag.name for flag in (*IDLE, *REFUSED))}
    assert [action.option_strings for action in actions if not tested & {action.dest, *action.option_strings}] == []
    assert set(f"{FLAGS_OF_MAY_2026} {FLAGS_OF_OLDER_RELEASES}".split()) - named == set()


def test_the_documentation_names_every_flag() -> None:
    text = (ROOT / "docs" / "stable-diffusion-cpp.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(-[\w-]+)", text))
    assert {flag for flag in f"{FLAGS_OF_MAY_2026} {FLAGS_OF_OLDER_RELEASES}".split() if flag not in documented} == set()


def test_without_flags_it_draws_what_the_program_draws_by_default() -> None:
    command = parsed("-p", "a lovely cat")
    assert command.options == {
        "seed": 42,
        "num_images": 1,
        "num_inference_steps": 20,
        "guidance_scale": 7.0,
        "scheduler": "euler a normal",
        "eta": 1.0,
        "rng": "nv",
        "width": 512,
        "height": 512,
    }
    assert (command.choice.options, command.output) == ({}, numbered_pictures(Path("output.png"), 1, None, with_settings=True))


@pytest.mark.parametrize("flag", IDLE, ids=lambda flag: flag.name)
def test_a_flag_without_an_effect_is_said_once_and_changes_nothing(flag: Any, caplog: pytest.LogCaptureFixture) -> None:
    value = ["1"] if flag.takes_value else []
    assert flat(parsed(flag.name, *value)) == flat(parsed())
    assert [record.getMessage() for record in caplog.records] == [f"without an effect here: {flag.name} ({flag.why})"]


def test_several_flags_without_an_effect_are_one_remark(caplog: pytest.LogCaptureFixture) -> None:
    parsed("--fa", "--color", "--mmap")
    [record] = caplog.records
    assert record.getMessage() == (
        "without an effect here: --mmap, --fa (how ggml computes and where it puts weights); --color (messages have no colours)"
    )


@pytest.mark.parametrize("flag", REFUSED, ids=lambda flag: flag.name)
def test_a_flag_that_asks_for_what_is_not_here_is_refused(flag: Any) -> None:
    value = ["1"] if flag.takes_value else []
    with pytest.raises(ConfigError, match=f"^{re.escape(flag.name)} .*; (pass|leave|change|draw|choose)"):
        parsed(flag.name, *value)
    if flag.default is not None:
        assert flat(parsed(flag.name, flag.default)) == flat(parsed())


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["-M", "convert"], "'sdrt convert' makes Core ML packages"),
        (["-M", "vid_gen"], "sdrt draws no videos"),
        (["-M", "upscale"], "'sdrt upscale FILE --upscaler MODEL' makes pictures larger"),
        (["-M", "metadata"], "'sdrt inspect FILE' shows"),
        (["-M", "draw"], "-M must be one of img_gen, txt2img, img2img, got 'draw'"),
        (["-M", "img2img"], "-M img2img must come with -i"),
        (["-M", "txt2img", "-i", "cat.png"], "-M txt2img must come without -i"),
        (["-b", "0"], "-b must be at least 1, got 0"),
        (["-b", "100000000"], "-b must be at most 10000, got 100000000"),
        (["--strength", "1.5"], "--strength must be from 0 to 1, got 1.5"),
        (["--cfg-scale", "0.5"], "--cfg-scale must be at least 1, which turns guidance off, got 0.5"),
        (["--sampling-method", "er_sde"], "got er_sde, which sdrt does not have; choose one of those"),
        (["--sampling-method", "uni_pc"], "--sampling-method must be one of euler, euler_a, .* got 'uni_pc'"),
        (["--scheduler", "gits"], "--scheduler must be one of discrete, karras, .* got gits, which sdrt does not have"),
        (["--scheduler", "linear"], "got 'linear'"),
        (["--scheduler", "karras", "--sampling-method", "lcm"], "--scheduler must be lcm for lcm, got 'karras'; leave it out"),
        (["-o", "-"], "-o must be the name of a picture, got '-'"),
        (["-o", "."], r"-o must be the name of a picture, got the folder \.; write output.png"),
        (["--output-begin-idx", "-2"], "--output-begin-idx must be at least 0, got -2"),
        (["--embd-dir", "nowhere"], "--embd-dir must be a folder, got nowhere"),
        (["--lora-model-dir", "nowhere"], "--lora-model-dir must be a folder, got nowhere; pass that with the LoRAs"),
        (["a cat"], "the prompt must come after -p, got 'a cat' after no flag; write -p before it"),
        (["--mask", "mask.png"], "--mask must come with -i, got it without; add -i"),
        (["--control-image", "cat.png"], "--control-image must come with --control-net, got it without"),
        (["--control-net", "edges"], "--control-net must come with --control-image, got it without"),
    ],
)
def test_wrong_values_are_refused_in_words(argv: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parsed(*argv)


@pytest.mark.parametrize(
    "argv", [["--rng", "gpu"], ["-s", "seven"], ["--sampling", "euler"], ["a cat", "a dog"], ["--prediction", "flux_flow"]]
)
def test_what_cannot_be_parsed_is_one_line(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Flags are not abbreviated, as in the program."""
    with pytest.raises(SystemExit) as ended:
        main(["sdcpp", *argv])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_negative_numbers_are_values(caplog: pytest.LogCaptureFixture) -> None:
    command = parsed("-s", "-5", "--clip-skip", "-1", "-t", "-1")
    assert command.options["seed"] == -1
    assert "clip_skip" not in command.options
    assert "threads" not in command.choice.options


def test_a_picture_to_change_has_its_own_size_unless_both_sides_are_given(caplog: pytest.LogCaptureFixture) -> None:
    both = parsed("-i", "cat.png", "-W", "64", "-H", "96").options
    assert (both["width"], both["height"]) == (64, 96)
    assert caplog.records == []
    assert not {"width", "height"} & parsed("-i", "cat.png", "-W", "64").options.keys()
    assert "the picture has the size of -i, since -H is not given too" in caplog.text
    assert parsed("-W", "64").options["height"] == 512


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--strength", "0.5"], "--strength has no effect without -i"),
        (["--control-strength", "0.5"], "--control-strength has no effect without --control-image"),
        (["--canny"], "--canny has no effect without --control-image"),
        (["--output-begin-idx", "3"], "--output-begin-idx has no effect on the name of one picture"),
        (["-W", "65", "-H", "64"], "the picture is 72 x 64 pixels, since both sides are multiples of 8"),
    ],
)
def test_what_a_flag_cannot_do_is_told(argv: list[str], said: str, caplog: pytest.LogCaptureFixture) -> None:
    parsed(*argv)
    assert [record.getMessage() for record in caplog.records] == [said]


@pytest.mark.parametrize("program", ["sd", "./bin/sd-cli", "C:/sd/sd-cli.exe"])
def test_the_name_of_the_program_may_stand_in_front(program: str) -> None:
    assert flat(parsed(program, "-p", "a cat")) == flat(parsed("-p", "a cat"))


def test_loras_are_looked_for_in_the_current_folder_if_the_prompt_names_one() -> None:
    assert parsed("-p", "a cat <lora:ink:0.8>").choice.options == {"lora_dir": Path()}
    assert parsed("-p", "a cat").choice.options == {}


def test_an_eta_of_a_method_that_draws_none_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert "eta" not in parsed("--sampling-method", "heun", "--eta", "0.5").options
    assert "--eta has no effect: heun draws no noise by it" in caplog.text


@pytest.mark.parametrize(("form", "taken"), [("sd1", {1: 0, 2: 1, 3: 2}), ("sd2", {2: 0, 3: 1}), ("sdxl", {2: 0, 3: 1})])
def test_clip_skip_counts_from_the_last_layer_that_the_model_has(form: Any, taken: dict[int, int], tmp_path: Path) -> None:
    """Stable Diffusion 2 and XL go without the last layer: the program's default is 2 for them."""
    model = save_pipeline_folder(tmp_path / form, form)
    if form == "sd2":
        deepen(model)
    for count, skipped in taken.items():
        assert parsed("-m", str(model), "--clip-skip", str(count)).options["clip_skip"] == skipped
    if 1 not in taken:
        with pytest.raises(ConfigError, match="--clip-skip must be at least 2 for this model, which goes without its last layer, got 1"):
            parsed("-m", str(model), "--clip-skip", "1")


def deepen(model: Path) -> None:
    """State the number of layers that Stable Diffusion 2's text encoder has in diffusers' layout; its weights are not opened."""
    file = model / "text_encoder" / "config.json"
    file.write_text(re.sub(r'("num_hidden_layers": )\d+', r"\g<1>23", file.read_text()))


def test_align_your_steps_has_levels_of_its_own_for_xl(tmp_path: Path) -> None:
    model = save_pipeline_folder(tmp_path / "sdxl", "sdxl")
    assert parsed("-m", str(model), "--scheduler", "ays").options["scheduler"] == "euler a ays sdxl"
    assert parsed("--scheduler", "ays").options["scheduler"] == "euler a ays"


@pytest.mark.parametrize("method", METHODS)
def test_each_method_with_each_schedule_is_a_scheduler_of_sdrt(method: str) -> None:
    own = {"lcm": ["lcm"], "tcd": ["lcm"], "ddim_trailing": ["simple"]}.get(method, [*SCHEDULES])
    for schedule in [None, *own]:
        assert make(scheduler_name(method, schedule, is_xl=False))


@pytest.mark.parametrize("schedule", ["discrete", "karras", "exponential", "ays", "sgm_uniform"])
@pytest.mark.parametrize("steps", [1, 10, 20, 33])
def test_noise_levels_are_the_programs(schedule: str, steps: int) -> None:
    """As far as the documentation says: sgm_uniform is up to 4 % off, since sdrt's timesteps are whole, and ays 0.4 %."""
    if schedule in ("karras", "exponential") and steps == 1:
        pytest.skip("the program divides by zero")
    config = {"_class_name": "EulerDiscreteScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    plan = sampler_from_name(scheduler_name("euler", schedule, is_xl=False), config).plan(steps)
    bound = {"sgm_uniform": 0.04, "ays": 0.004}.get(schedule, 4e-5)
    np.testing.assert_allclose(plan.sigmas / plan.alphas, levels(schedule, steps), rtol=bound)


def levels(schedule: str, n: int) -> F64:
    """What get_sigmas of src/denoiser.hpp returns, in float64."""
    alpha_bar = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    table = np.log(np.sqrt((1 - alpha_bar) / alpha_bar))

    def at(timesteps: F64) -> F64:
        sigmas: F64 = np.exp(np.interp(timesteps, np.arange(1000), table))
        return sigmas

    found: F64
    low, high = np.exp(table[[0, -1]])
    share = np.arange(n) / max(n - 1, 1)
    match schedule:
        case "discrete":
            found = at(999 - 999 * share)
        case "karras":
            found = (high ** (1 / 7) + share * (low ** (1 / 7) - high ** (1 / 7))) ** 7
        case "exponential":
            found = np.exp(np.log(high) - (np.log(high) - np.log(low)) * share)
        case "sgm_uniform":
            found = at(999 - 999 * np.arange(n) / n)
        case _:
            stored = [14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092]
            stored += [0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582]
            found = np.exp(np.interp(np.arange(n) / n, np.linspace(0, 1, 11), np.log(stored)))
    return np.append(found, 0).astype(np.float64)


def test_a_changed_picture_is_drawn_in_as_many_steps_as_the_program_makes() -> None:
    """Of sigmas[n - t - 1:], where t is the integer part of float32 n * strength, at most n - 1; at strength 1 of all."""
    for steps in range(1, 201):
        for share in (hundredths / 100 for hundredths in range(101)):
            wanted = steps if share == 1 else min(int(np.float32(steps) * np.float32(share)), steps - 1) + 1
            assert int(steps * strength(share, steps)) == wanted
    for steps, share in ((20, 0.75), (141, 0.4), (7, 0.0), (3, 1.0)):
        plan = make("euler").sampler.plan(steps)
        taken = parsed("-i", "cat.png", "--steps", str(steps), "--strength", str(share)).options["strength"]
        assert taken == strength(share, steps)
        assert plan.start_at(taken) == steps - int(steps * taken)


@pytest.mark.parametrize(
    ("path", "count", "first", "names"),
    [
        ("output.png", 1, None, ["output.png"]),
        ("output.png", 3, None, ["output.png", "output_2.png", "output_3.png"]),
        ("output.png", 2, 0, ["output_0.png", "output_1.png"]),
        ("output.png", 1, 5, ["output.png"]),
        ("a b.JPG", 2, None, ["a b.JPG", "a b_2.JPG"]),
        ("cat", 1, None, ["cat.png"]),
        ("cat.bmp", 2, None, ["cat.bmp.png", "cat.bmp_2.png"]),
        ("cat_%d.webp", 2, None, ["cat_0.webp", "cat_1.webp"]),
        ("cat_%03d.png", 2, 9, ["cat_009.png", "cat_010.png"]),
        ("50%%_%d.png", 1, None, ["50%_0.png"]),
        ("50%% of it.png", 2, None, ["50%% of it.png", "50%% of it_2.png"]),
    ],
)
def test_pictures_have_the_programs_names(path: str, count: int, first: int | None, names: list[str]) -> None:
    assert list(numbered_names(Path("folder") / path, count, first)) == names
