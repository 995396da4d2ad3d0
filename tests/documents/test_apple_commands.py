"""docs/apple.md: each command of Apple's has its form here by one rule, the command line takes it, and those that draw do so."""

import functools
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from sdrt.backends.coreml import program
from sdrt.cli import main, parser
from sdrt.models.mlpackage.package import open_package
from tests.documents.blocks import read
from tests.documents.foreign_commands import ForeignCommand, commands_of
from tests.documents.reader import status_of
from tests.factories import save_pipeline_folder
from tests.hub_repository import apple_files
from tests.hub_server import HubServer

# What Apple's commands begin with, and what ours begin with in its place.
RULES = {"python -m python_coreml_stable_diffusion.": "sdrt apple ", "swift run StableDiffusionSample ": "sdrt swift "}

COMMANDS = commands_of("docs/apple.md")
DRAWING = [command for command in COMMANDS if command.section.startswith("Drawing")]

# How a command makes few steps: the last of two flags counts.
FEW_STEPS = {"apple": ["--num-inference-steps", "2"], "swift": ["--step-count", "2"]}

PLACEHOLDERS = {
    "<output-mlpackages-directory>": "packages",
    "<xl-mlpackages-directory>": "xl",
    "</path/to/output/image>": "pictures",
    "<path/to/image>": "picture.png",
    "<prompt>": "a red circle",
    "<negative-prompt>": "a blue square",
    "<model-version>": "me/mine",
}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_ours_is_theirs_without_the_words_before_the_module(command: ForeignCommand) -> None:
    begin = next(begin for begin in RULES if command.theirs.startswith(begin))
    assert command.ours == RULES[begin] + command.theirs.removeprefix(begin)


def test_no_row_is_overlooked() -> None:
    rows = [line for line in read("docs/apple.md").splitlines() if line.startswith(tuple(f"| `{begin}" for begin in RULES))]
    # two of them are the rules themselves
    assert len(COMMANDS) == len(rows) - len(RULES) > 15


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, nano_packages: Path) -> Path:
    """What the drawing commands name: packages of nano, in which a ControlNet has the name of Apple's example, and SDXL's weights."""
    root = tmp_path_factory.mktemp("drawing")
    shutil.copytree(nano_packages, root / "packages")
    (root / "packages" / "ControlNet_nano-edges.mlpackage").rename(root / "packages" / "ControlNet_lllyasviel_sd-controlnet-mlsd.mlpackage")
    nets = root / "packages" / "Resources" / "controlnet"
    (nets / "NanoEdges.mlpackage").rename(nets / "LllyasvielSdControlnetMlsd.mlpackage")
    for name in ("packages", "compiled"):
        place = root / "models" / f"coreml-stable-diffusion-v1-4_original_{name}"
        shutil.copytree(nano_packages / "Resources", place, ignore=shutil.ignore_patterns("controlnet", "Controlled*"))
    save_pipeline_folder(root / "xl", "sdxl")
    Image.new("RGB", (64, 64), "red").save(root / "picture.png")
    return root


@pytest.fixture(scope="module")
def read_once() -> functools.partial[None]:
    """The reader of packages, which reads each file once for all commands: reading takes most of their time."""
    return functools.cache(open_package)  # type: ignore[return-value]


@pytest.mark.parametrize("command", DRAWING, ids=str)
def test_a_drawing_command_runs(
    command: ForeignCommand,
    folder: Path,
    read_once: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(program, "open_package", read_once)
    argv = command.argv(PLACEHOLDERS | {"</path/to/output/image>": str(tmp_path)})
    if argv[-1] in ("-h", "--help"):
        assert status_of(main, argv) == 0
        assert "--negative-prompt" in capsys.readouterr().out
        return
    status = main([*argv, *FEW_STEPS[argv[0]]])
    out, err = capsys.readouterr()
    pictures = list(tmp_path.rglob("*.png"))
    if command.refused:
        assert (status, out, pictures, err.count("\n")) == (2, "", [], 1)
    else:
        assert status == 0, err
        assert sorted(out.splitlines()) == sorted(map(str, pictures))
        assert pictures


@pytest.mark.parametrize("form", ["packages", "compiled"])
def test_the_download_makes_the_folder_that_drawing_names(
    form: str, hub: HubServer, nano_packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hub.add("apple/coreml-stable-diffusion-v1-4", apple_files(packages={"original/packages": nano_packages / "Resources"}))
    [command] = re.findall(rf"`sdrt (download [^`]*/{form} [^`]*)`", read("docs/apple.md"))
    assert main([*command.split(), "-q"]) == 0
    folder = Path(f"models/coreml-stable-diffusion-v1-4_original_{form}")
    assert any(str(folder) in each.ours for each in DRAWING)
    assert {path.suffix for path in folder.iterdir() if path.is_dir()} >= {{"packages": ".mlpackage", "compiled": ".mlmodelc"}[form]}


def test_every_flag_of_both_programs_is_in_the_table() -> None:
    """Apart from -q and -v, which are sdrt's own."""
    typed = {word for command in DRAWING for word in command.ours.split()}
    commands = next(action.choices for action in parser()._actions if isinstance(action.choices, dict))
    modules = next(action.choices for action in commands["apple"]._actions if isinstance(action.choices, dict))
    for command in (modules["pipeline"], commands["swift"]):
        missing = [action.option_strings for action in command._actions if action.option_strings and not typed & {*action.option_strings}]
        assert [strings for strings in missing if strings[0] not in ("-q", "-v", "-h")] == []
