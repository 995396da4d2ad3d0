"""The command line: each flag sets its option, and errors name the reason."""

import signal
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, get_args

import pytest

from converter import cli
from converter.compression.settings import LinearQuantization, MixedBits, Palettization, Pruning
from converter.options import Attention, ConvertOptions, DeploymentTarget
from converter.workplace import output_folder, workplace
from sdrt import cli as sdrt_cli
from sdrt.cli import plug_ins
from sdrt.errors import ConfigError

DEFAULT = ConvertOptions(model="CompVis/stable-diffusion-v1-4", out=Path())


def parsed(*arguments: str) -> ConvertOptions:
    return cli.parse_options(cli.parser().parse_args(arguments))


def test_the_defaults_are_apples() -> None:
    assert parsed() == DEFAULT
    assert (DEFAULT.attention, DEFAULT.batch, DEFAULT.compute_unit, DEFAULT.precision) == ("SPLIT_EINSUM", 2, "ALL", "float16")
    assert (DEFAULT.deployment_target, DEFAULT.check, DEFAULT.timestep_dtype) == ("macOS13", True, "float16")


FLAGS: dict[str, dict[str, Any]] = {
    "--model-version nano": {"model": "nano"},
    "--convert-unet": {"parts": ("unet",)},
    "--convert-text-encoder --convert-vae-decoder": {"parts": ("text_encoder", "vae_decoder")},
    "--convert-vae-encoder --convert-safety-checker": {"parts": ("vae_encoder", "safety_checker")},
    "--convert-controlnet lllyasviel/sd-controlnet-canny mine": {"controlnets": ("lllyasviel/sd-controlnet-canny", "mine")},
    "--convert-controlnet": {"controlnets": ()},
    "--unet-support-controlnet": {"unet_support_controlnet": True},
    "--unet-batch-one": {"batch": 1},
    "--attention-implementation ORIGINAL": {"attention": Attention.ORIGINAL},
    "--attention-implementation split_einsum_v2 ": {"attention": Attention.SPLIT_EINSUM_V2},
    "--attention-implementation original": {"attention": Attention.ORIGINAL},
    "--attention-implementation SPLIT_EINSUM_V2": {"attention": Attention.SPLIT_EINSUM_V2},
    "--chunk-unet": {"chunk": True},
    "--chunk-unet --merge-chunks-in-pipeline-model": {"chunk": True, "merge_chunks": True},
    "--quantize-nbits 6": {"compression": Palettization(nbits=6)},
    "--quantize-linear 4": {"compression": LinearQuantization(nbits=4)},
    "--prune 0.5": {"compression": Pruning(sparsity=0.5)},
    "--target-size 900M": {"compression": MixedBits(target_bytes=900_000_000)},
    "--target-size 1.5GB": {"compression": MixedBits(target_bytes=1_500_000_000)},
    "--target-size 123456": {"compression": MixedBits(target_bytes=123_456)},
    "--min-psnr 40": {"compression": MixedBits(min_psnr=40.0)},
    "--precision float32": {"precision": "float32"},
    "--precision float32 --no-quantized": {"precision": "float32", "float32_weights": True},
    # As Apple's command lines have it: in half precision nothing is left to change, and the folder may stand alone.
    "--precision float16 --convert-unet --no-quantized out": {"parts": ("unet",), "out": Path("out")},
    "out -o out": {"out": Path("out")},
    "--timestep-dtype float32": {"timestep_dtype": "float32"},
    "--latent-h 64 --latent-w 96": {"latent_height": 64, "latent_width": 96},
    # WIDTHxHEIGHT on the command line, (height, width) in the options.
    "--sizes 512x512,512x768": {"sizes": ((512, 512), (768, 512))},
    "--compute-unit CPU_AND_NE": {"compute_unit": "CPU_AND_NE"},
    "--min-deployment-target iOS17": {"deployment_target": "iOS17"},
    "--no-check-output-correctness": {"check": False},
    "--check-output-correctness --correctness-psnr 50": {"min_psnr": 50.0},
    "--bundle-resources-for-swift-cli": {"bundle": True},
    "--refiner-version stabilityai/stable-diffusion-xl-refiner-1.0": {"refiner": "stabilityai/stable-diffusion-xl-refiner-1.0"},
    "--custom-vae-version madebyollin/sdxl-vae-fp16-fix": {"vae": "madebyollin/sdxl-vae-fp16-fix"},
    "--text-token-sequence-length 154": {"text_token_sequence_length": 154},
    "--text-encoder-hidden-size 768": {"text_encoder_hidden_size": 768},
    "--cache-dir hub": {"cache_dir": Path("hub")},
    "--lora a.safetensors --lora b.safetensors:0.5 --lora c:/d.safetensors": {
        "loras": (("a.safetensors", 1.0), ("b.safetensors", 0.5), ("c:/d.safetensors", 1.0))
    },
    "--variant fp16": {"variant": "fp16"},
    "--revision v1.0": {"revision": "v1.0"},
    "--prediction-type v_prediction": {"prediction_type": "v_prediction"},
    "--pickled weights_only": {"pickled": "weights_only"},
    "--overwrite -o out": {"overwrite": True, "out": Path("out")},
}


@pytest.mark.parametrize("flags", FLAGS)
def test_a_flag_is_an_option(flags: str) -> None:
    assert parsed(*flags.split()) == replace(DEFAULT, **FLAGS[flags])


def test_every_flag_is_tried() -> None:
    known = {flag for action in cli.parser()._actions for flag in action.option_strings if flag.startswith("--")}
    tried = {word for flags in FLAGS for word in flags.split() if word.startswith("--")}
    assert known - tried == {"--help", "--version", "--verbose", "--quiet"}


WRONG = {
    "--sizes 512": r"--sizes must be WIDTHxHEIGHT, .* got '512'",
    "--sizes 512x512,512x512": r"sizes must be different",
    "--sizes 512x512 --latent-h 64": r"either by sizes or by the latents' sides",
    "--latent-h 0": r"latent_height must be a whole number from 1 to 16384, or null, got 0",
    "--sizes 99999x512": r"sizes must be .* got \(\(512, 99999\),\)",
    "--text-token-sequence-length -1": r"text_token_sequence_length must be a whole number from 1 to 16384",
    "--correctness-psnr nan": r"min_psnr must be a finite number, or null, got nan",
    "--lora style.safetensors:inf": r"loras must be a list whose entries are each a path and a number",
    "out -o elsewhere": r"one output folder, got out and -o elsewhere",
    "--quantize-nbits 6 --prune 0.5": r"in one way, got --quantize-nbits and --prune",
    "--target-size big": r"--target-size must be a number of bytes, or such as 900M or 1.5G, got 'big'",
    "--merge-chunks-in-pipeline-model": r"set chunk too",
    "--precision float32 --no-quantized --quantize-nbits 6": r"must not both be set",
    "--chunk-unet --sizes 512x512,512x768": r"to be cut in two must have one size",
    "--prune 1.5": r"sparsity must be above 0 and below 1",
}


@pytest.mark.parametrize("flags", WRONG)
def test_what_cannot_be_used_says_why(flags: str) -> None:
    with pytest.raises(ConfigError, match=WRONG[flags]):
        parsed(*flags.split())


def test_an_error_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--model-version", "nano", "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "converter: a conversion must be asked for a network, got none; "
        "pass parts, as --convert-unet --convert-text-encoder --convert-vae-decoder do\n"
    )
    assert cli.main(["--model-version", str(tmp_path / "none"), "--convert-unet", "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"converter: {tmp_path / 'none'}: no such folder")


@pytest.mark.parametrize(
    "arguments", [["--no-such-flag"], ["--latent-h", "two"], ["--quantize-nbits", "5"], ["--compute-unit", "a\x1b[2J\nb"]]
)
def test_a_wrong_argument_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith("converter: ")
    assert said.endswith("; 'python -m converter --help' lists the arguments\n")
    assert said.count("\n") == 1
    assert "\x1b" not in said


STOPS = {
    "Ctrl-C": (signal.SIGINT, 130, "interrupted; finished packages are kept"),
    "terminated": (signal.SIGTERM, 143, "terminated; finished packages are kept"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("program", ["converter", "sdrt"])
def test_a_stopped_conversion_says_so_in_one_line_and_leaves_nothing(
    stop: str, program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    number, status, text = STOPS[stop]

    def convert(options: ConvertOptions, progress: object) -> None:
        with output_folder(options.out), workplace(options.out) as work:
            (work / "half.mlpackage").mkdir()
            signal.raise_signal(number)

    monkeypatch.setattr("converter.conversion.convert", convert)
    arguments = ["--model-version", "nano", "--convert-unet", "-o", str(tmp_path / "out")]
    if program == "sdrt":
        _register(monkeypatch, ("convert", "converter.cli:add_command"))
        assert sdrt_cli.main(["convert", *arguments]) == status
    else:
        assert cli.main(arguments) == status
    assert capsys.readouterr().err == f"{program}: {text}\n"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_targets_are_those_of_the_options() -> None:
    assert len(get_args(DeploymentTarget)) > 1
    for target in get_args(DeploymentTarget):
        assert parsed("--min-deployment-target", target).deployment_target == target


def _register(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    found = [EntryPoint(name=name, value=value, group=plug_ins.GROUP) for name, value in points]
    monkeypatch.setattr(plug_ins, "entry_points", lambda group: found if group == plug_ins.GROUP else [])


def test_sdrt_convert_is_the_same_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _register(monkeypatch, ("convert", "converter.cli:add_command"))
    arguments = sdrt_cli.parser().parse_args(["convert", "--model-version", "nano", "--convert-unet", "-o", "out"])
    assert cli.parse_options(arguments) == replace(DEFAULT, model="nano", parts=("unet",), out=Path("out"))
    assert sdrt_cli.main(["convert", "--model-version", "nano", "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("sdrt: a conversion must be asked for a network")


def test_the_package_registers_the_command() -> None:
    text = (Path(cli.__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points."sdrt.commands"]\nconvert = "converter.cli:add_command"' in text


def test_a_command_that_cannot_be_loaded_names_the_extra_and_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _register(monkeypatch, ("convert", "package_that_is_nowhere.cli:add_command"), ("models", "converter.cli:add_command"))
    assert sdrt_cli.main(["convert", "--model-version", "nano", "--convert-unet"]) == 2
    expected = "sdrt: sdrt convert needs package_that_is_nowhere; install the extra: pip install 'sdrt[convert]'"
    assert expected in capsys.readouterr().err
    # A name that is already registered keeps its owner.
    assert sdrt_cli.main(["models"]) == 0
    assert "nano" in capsys.readouterr().out


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setattr("converter.tools.find_spec", lambda name: None if name == "coremltools" else object())
    assert cli.main(["--model-version", "nano", "--convert-unet", "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "converter: the converter needs coremltools; install the extra: pip install 'sdrt[convert]'\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--attention-implementation", "half"], "invalid choice: 'HALF' (choose from 'ORIGINAL', 'SPLIT_EINSUM', 'SPLIT_EINSUM_V2')"),
        (["-o", ""], "argument -o: must be a path, got ''; write '.' for the current folder"),
        (["--cache-dir", ""], "argument --cache-dir: must be a path, got ''"),
        ([""], "argument DIR: must be a path, got ''"),
    ],
)
def test_a_wrong_value_is_told_as_people_write_it(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert words in capsys.readouterr().err
