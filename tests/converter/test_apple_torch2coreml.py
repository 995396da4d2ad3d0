"""``sdrt apple torch2coreml``: each flag of Apple's converter, with Apple's default and meaning."""

from pathlib import Path
from typing import Any

import pytest

from converter.arguments import parse_options
from converter.options import ConvertOptions
from sdrt.cli import main, parser

DEFAULT = ConvertOptions(model="CompVis/stable-diffusion-v1-4", out=Path(), check=False)

# Each flag of apple/ml-stable-diffusion at e12202c with what follows it, and the options that differ from the default.
FLAGS: dict[str, dict[str, Any]] = {
    "--model-version stabilityai/stable-diffusion-2-1-base": {"model": "stabilityai/stable-diffusion-2-1-base"},
    "--convert-text-encoder": {"parts": ("text_encoder",)},
    "--convert-vae-decoder": {"parts": ("vae_decoder",)},
    "--convert-vae-encoder": {"parts": ("vae_encoder",)},
    "--convert-unet": {"parts": ("unet",)},
    "--convert-safety-checker": {"parts": ("safety_checker",)},
    "--convert-controlnet lllyasviel/sd-controlnet-mlsd lllyasviel/sd-controlnet-depth": {
        "controlnets": ("lllyasviel/sd-controlnet-mlsd", "lllyasviel/sd-controlnet-depth")
    },
    "--convert-controlnet": {},
    "--refiner-version stabilityai/stable-diffusion-xl-refiner-1.0": {"refiner": "stabilityai/stable-diffusion-xl-refiner-1.0"},
    "--custom-vae-version madebyollin/sdxl-vae-fp16-fix": {"vae": "madebyollin/sdxl-vae-fp16-fix"},
    "--compute-unit CPU_AND_NE": {"compute_unit": "CPU_AND_NE"},
    "--latent-h 64": {"latent_height": 64},
    "--latent-w 96": {"latent_width": 96},
    "--text-token-sequence-length 154": {"text_token_sequence_length": 154},
    "--text-encoder-hidden-size 768": {"text_encoder_hidden_size": 768},
    "--attention-implementation ORIGINAL": {"attention": "ORIGINAL"},
    "--attention-implementation SPLIT_EINSUM_V2": {"attention": "SPLIT_EINSUM_V2"},
    "-o packages": {"out": Path("packages")},
    "--check-output-correctness": {"check": True},
    "--chunk-unet": {"chunk": True},
    "--unet-support-controlnet": {"unet_support_controlnet": True},
    "--unet-batch-one": {"batch": 1},
    "--bundle-resources-for-swift-cli": {"bundle": True},
    "--min-deployment-target macOS14": {"deployment_target": "macOS14"},
    "--xl-version": {},
    "--text-encoder-vocabulary-url https://example.org/vocab.json": {},
    "--text-encoder-merges-url https://example.org/merges.txt": {},
}
REFUSED = (
    "--sd3-version",
    "--convert-mmdit",
    "--include-t5",
    "--text-encoder-t5-url https://example.org/t5",
    "--text-encoder-t5-config-url https://example.org/config.json",
    "--text-encoder-t5-data-url https://example.org/tokenizer.json",
)


def parsed(flags: str) -> ConvertOptions:
    return parse_options(parser().parse_args(["apple", "torch2coreml", *flags.split()]))


@pytest.mark.parametrize("flags", ["", *FLAGS])
def test_a_flag_of_apples_has_its_meaning_and_its_default(flags: str) -> None:
    options = parsed(flags)
    changed = {name for name in vars(options) if getattr(options, name) != getattr(DEFAULT, name)}
    assert {name: getattr(options, name) for name in changed} == FLAGS.get(flags, {})


@pytest.mark.parametrize("nbits", [1, 2, 4, 6, 8])
def test_bits_of_palettes_are_apples(nbits: int) -> None:
    assert parsed(f"--quantize-nbits {nbits}").compression.nbits == nbits  # type: ignore[union-attr]


@pytest.mark.parametrize("target", ["macOS13", "macOS14", "macOS15", "iOS16", "iOS17", "iOS18"])
def test_deployment_targets_are_apples(target: str) -> None:
    assert parsed(f"--min-deployment-target {target}").deployment_target == target


@pytest.mark.parametrize("flags", REFUSED)
def test_what_belongs_to_stable_diffusion_3_is_refused_in_words(flags: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["apple", "torch2coreml", "--model-version", "nano", "--convert-unet", *flags.split(), "-o", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"sdrt: {flags.split()[0]} must be left out: Stable Diffusion 3 has a transformer (MMDiT)")
    assert said.count("\n") == 1
    assert not out.exists()


def test_addresses_of_a_vocabulary_are_remarked_on_and_not_fetched(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def no_conversion(options: ConvertOptions, progress: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("converter.conversion.convert", no_conversion)
    typed = ["--convert-unet", "--text-encoder-merges-url", "https://example.org/merges.txt", "-o", str(tmp_path)]
    assert main(["apple", "torch2coreml", *typed]) == 130
    assert caplog.messages == ["--text-encoder-merges-url: nothing is fetched; the packages get the model's own vocabulary and merges"]


def test_flags_of_apples_habit_alone_are_not_in_sdrts_own_help() -> None:
    commands = next(action for action in parser()._actions if hasattr(action, "choices") and action.choices)
    ours = {flag for action in commands.choices["convert"]._actions for flag in action.option_strings}  # type: ignore[index]
    assert not ours & {"--xl-version", "--sd3-version", "--text-encoder-merges-url"}
