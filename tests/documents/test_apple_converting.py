"""docs/apple.md: the commands that convert, cut and palettize run on packages of nano."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from converter.compression.analysing import analyse
from converter.compression.drawing import prompts_for
from sdrt.backends.coreml import describe
from sdrt.cli import main, parser
from sdrt.models import path
from tests.documents.foreign_commands import ForeignCommand, commands_of
from tests.documents.reader import status_of
from tests.factories import CONTROLNETS, NARROW_UNET, UNETS, Form, random_controlnet, random_unet, save_pipeline_folder

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

COMMANDS = [command for command in commands_of("docs/apple.md") if command.section.startswith(("Converting", "Cutting"))]
CONVERTING = [command for command in COMMANDS if command.section == "Converting"]
OTHERS = [command for command in COMMANDS if command.section.startswith("Cutting")]

# What torch2coreml and the other modules take at apple/ml-stable-diffusion e12202c.
# fmt: off
THEIR_FLAGS = (
    "--model-version", "--convert-text-encoder", "--convert-vae-decoder", "--convert-vae-encoder", "--convert-unet", "--convert-mmdit",
    "--convert-safety-checker", "--convert-controlnet", "--refiner-version", "--custom-vae-version", "--compute-unit", "--latent-h",
    "--latent-w", "--text-token-sequence-length", "--text-encoder-hidden-size", "--attention-implementation", "-o",
    "--check-output-correctness", "--chunk-unet", "--quantize-nbits", "--unet-support-controlnet", "--unet-batch-one", "--include-t5",
    "--bundle-resources-for-swift-cli", "--text-encoder-vocabulary-url", "--text-encoder-merges-url", "--text-encoder-t5-url",
    "--text-encoder-t5-config-url", "--text-encoder-t5-data-url", "--min-deployment-target", "--xl-version", "--sd3-version",
    "--mlpackage-path", "--remove-original", "--merge-chunks-in-pipeline-model", "--default-nbits", "--num-recipes",
    "--pre-analysis-json-path", "--selected-recipe", "--generate-calibration-data", "--layerwise-sensitivity", "--quantize-pytorch",
    "--calibration-nsamples", "--seed", "--conv-psnr", "--attn-psnr", "--input-path", "--output-dir",
)
# fmt: on

# As Apple's tool writes it.
_BLOCK = "mid_block.attentions.0.transformer_blocks.0"
RECIPE = {
    "conv_in": 1,
    f"{_BLOCK}.attn1.to_q": 2,
    f"{_BLOCK}.attn1.to_k": 4,
    f"{_BLOCK}.ff.net.0.proj": 6,
    "conv_out": 8,
    "mid_block.resnets.0.conv1": 16,
}

# The last of two flags counts: with these, the packages of the fixture are made with the same options, and kept.
AS_MADE = ["--model-version", "nano", "--attention-implementation", "ORIGINAL", "--latent-h", "8", "--latent-w", "8"]
PLACEHOLDERS = {
    "<output-mlpackages-directory>": "packages",
    "<output-directory>": "out",
    "<model-version>": "me/mine",
    "<url>": "https://example.org/file",
    "<width>": "128",
    "<vae>": "me/vae",
    "<path-to-json>": "recipes.json",
    "<recipe-string-key>": "recipe_4.00_bit_mixedpalette",
    "<path-to-projection>": "projection.pt",
}


def test_every_flag_of_theirs_is_in_the_table() -> None:
    typed = {word for command in COMMANDS for word in command.theirs.split()}
    assert [flag for flag in THEIR_FLAGS if flag not in typed] == []


def test_every_flag_of_ours_that_theirs_has_not_is_said_to_be_ours() -> None:
    commands = next(action.choices for action in parser()._actions if isinstance(action.choices, dict))
    modules = next(action.choices for action in commands["apple"]._actions if isinstance(action.choices, dict))
    for name in ("chunk_mlprogram", "mixed_bit_compression_pre_analysis", "mixed_bit_compression_apply"):
        flags = {flag for action in modules[name]._actions for flag in action.option_strings}
        assert flags - {*THEIR_FLAGS} <= {"-q", "--quiet", "-v", "--verbose", "-h", "--help"}


@pytest.fixture
def folder(nano_packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with packages of nano, as a user has them after a conversion, and a recipe."""
    shutil.copytree(nano_packages, tmp_path / "packages", ignore=shutil.ignore_patterns("Resources"))
    (tmp_path / "recipes.json").write_text(json.dumps({"model_version": "nano", "recipes": {"recipe_4.00_bit_mixedpalette": RECIPE}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("converter.compression.drawing.prompts_for", lambda _: prompts_for("nano")[:1])
    monkeypatch.setattr("converter.compression.analysing.analyse", partial(analyse, bits=(8,)))
    return tmp_path


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


# Their packages are none of those that are there: made whole by the slow test below.
ANEW = ("--quantize-nbits", "--unet-batch-one", "--refiner-version")


@pytest.mark.parametrize("command", [command for command in CONVERTING if not any(flag in command.ours for flag in ANEW)], ids=str)
def test_a_converting_command_runs_over_what_is_there(command: ForeignCommand, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = command.argv(PLACEHOLDERS)
    if argv[-1] == "-h":
        assert status_of(main, argv) == 0
        assert "--convert-unet" in capsys.readouterr().out
        return
    before = names_in(folder / "packages")
    nets = ["--convert-controlnet", str(path("nano-edges"))] if "--convert-controlnet" in argv else []
    status = main([*argv, *AS_MADE, *nets])
    out, err = capsys.readouterr()
    if command.refused:
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert names_in(folder / "packages") == before
        return
    assert status == 0, err
    made = names_in(folder / "packages") - before
    if "--chunk-unet" in argv:
        assert made == {f"Stable_Diffusion_version_nano_unet_chunk{number}.mlpackage" for number in (1, 2)}
        assert "at least 90 dB: passed" in out
    else:
        assert made == ({"Resources"} if "--bundle-resources-for-swift-cli" in argv else set())
        assert out.count("(kept: made with the same options)") == len(out.splitlines()) - len(made)
    assert ("no safety checker; none is converted" in err) == ("--convert-safety-checker" in argv)
    assert ("nothing is fetched" in err) == ("<url>" in command.ours)


@pytest.mark.parametrize("command", OTHERS, ids=str)
def test_a_command_that_cuts_or_palettizes_runs(command: ForeignCommand, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unet = folder / "packages" / "Stable_Diffusion_version_nano_unet.mlpackage"
    argv = command.argv(PLACEHOLDERS | {"<path-to-unet-mlpackage>": str(unet), "<path-to-float16-unet-mlpackage>": str(unet)})
    module = argv[1]
    status = main([*argv, *(["--model-version", "nano"] if module.endswith("pre_analysis") else [])])
    out, err = capsys.readouterr()
    made = names_in(folder / "out")
    if command.refused:
        assert (status, out, err.count("\n"), made) == (2, "", 1, set())
        return
    assert status == 0, err
    match module:
        case "chunk_mlprogram":
            endings = ["chunked_pipeline"] if "--merge-chunks-in-pipeline-model" in argv else ["chunk1", "chunk2"]
            assert made == {f"{unet.stem}_{ending}.mlpackage" for ending in endings}
            kept = describe(unet).metadata if unet.exists() else {}
            assert unet.exists() != ("--remove-original" in argv)
            assert all(describe(folder / "out" / name).metadata == kept for name in made if kept)
        case "mixed_bit_compression_pre_analysis":
            assert made == {"nano_palettization_recipe.json"}
            recipes = json.loads((folder / "out" / "nano_palettization_recipe.json").read_text())["recipes"]
            assert {bits for recipe in recipes.values() for bits in recipe.values()} <= {8, 8 if "--default-nbits" in argv else 16}
        case _:
            assert made == {f"{unet.stem}_recipe_4.00_bit_mixedpalette.mlpackage"}
            compression = describe(folder / "out" / made.pop()).functions[0].compression
            assert compression == {f"palettized {bits} bit": 1 for bits in (1, 2, 4, 6, 8)}
    assert ("--custom-vae-version: not opened" in err) == ("--custom-vae-version" in argv)


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in CONVERTING if not (command.refused or command.ours.endswith("-h"))], ids=str)
def test_a_converting_command_converts(command: ForeignCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything as it is typed, on random models under the names that the command gives."""
    monkeypatch.chdir(tmp_path)
    forms: dict[str, Form] = {
        "CompVis/stable-diffusion-v1-4": "sd1",
        "me/mine": "sd1",
        "stabilityai/stable-diffusion-xl-base-1.0": "sdxl",
        "stabilityai/stable-diffusion-xl-refiner-1.0": "sdxl-refiner",
    }
    named = command.argv(PLACEHOLDERS | {"<vae>": "me/mine/vae", "<width>": "8"})
    for name, form in forms.items():
        if name in named or (name.startswith("CompVis") and "--model-version" not in named):
            save_pipeline_folder(Path(name), form, safety_checker=form == "sd1")
            # narrow ones convert faster, but have no weight that is large enough for a palette, and no ControlNet
            if form == "sd1" and not {"--quantize-nbits", "--convert-controlnet"} & {*named}:
                random_unet({**UNETS[form], **NARROW_UNET}, seed=1).save_pretrained(Path(name) / "unet")
    for name in ("lllyasviel/sd-controlnet-mlsd", "lllyasviel/sd-controlnet-depth"):
        random_controlnet(CONTROLNETS["sd1"], seed=6).save_pretrained(name)
    # a repository's name means a folder where there is one
    assert main(named) == 0
    made = names_in(tmp_path / "packages")
    asked = {word.removeprefix("--convert-").replace("-", "_") for word in named if word.startswith("--convert-")} - {"controlnet"}
    suffixes = {"unet": "control-unet"} if "--unet-support-controlnet" in named else {}
    for part in asked:
        assert any(name.endswith(f"_{suffixes.get(part, part)}.mlpackage") for name in made)
    assert len([name for name in made if name.startswith("ControlNet_")]) == (2 if "--convert-controlnet" in named else 0)
    assert ("Resources" in made) == ("--bundle-resources-for-swift-cli" in named)
    assert any(name.endswith("_refiner.mlpackage") for name in made) == ("--refiner-version" in named)
    assert any(name.endswith("_chunk2.mlpackage") for name in made) == ("--chunk-unet" in named)
    if "--quantize-nbits" in named:
        (half,) = [tmp_path / "packages" / name for name in made if name.endswith("_chunk1.mlpackage")]
        assert set(describe(half).functions[0].compression) == {"palettized 6 bit"}
