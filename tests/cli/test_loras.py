"""``--lora FILE[:STRENGTH]`` and ``--lora-dir``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import sdrt
from sdrt.cli import main
from sdrt.cli.loras import parse_lora
from sdrt.errors import ConfigError
from sdrt.models import open_model
from tests.factories import normal

QUICK = ["--steps", "1", "--seed", "93", "-H", "32", "-W", "32", "-q", "--threads", "1"]
MODULE = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_v"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("style.safetensors", ("style.safetensors", 1.0)),
        ("style.safetensors:0.8", ("style.safetensors", 0.8)),
        ("style.safetensors:-1e-1", ("style.safetensors", -0.1)),
        ("C:\\loras\\style.safetensors", ("C:\\loras\\style.safetensors", 1.0)),
        ("C:\\loras\\style.safetensors:.5", ("C:\\loras\\style.safetensors", 0.5)),
        ("a:b/style.safetensors", ("a:b/style.safetensors", 1.0)),
        ("style:strong", ("style:strong", 1.0)),
    ],
)
def test_a_file_and_its_strength(text: str, parsed: tuple[str, float]) -> None:
    assert parse_lora(text) == parsed


def test_a_file_whose_own_name_ends_in_a_number_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda path: str(path) == "style:2")
    assert parse_lora("style:2") == ("style:2", 1.0)
    assert parse_lora("style:2:0.5") == ("style:2", 0.5)


@pytest.mark.parametrize("text", ["", ":", ":0.5"])
def test_a_file_must_be_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--lora must be a file or FILE:STRENGTH, got"):
        parse_lora(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two LoRAs for nano."""
    root = tmp_path_factory.mktemp("loras")
    out, into = open_model("nano").tensors("unet").shape(f"{MODULE}.weight")
    for seed, name in ((1, "fur"), (3, "ink")):
        factors = {"lora_A.weight": normal(seed, 2, into), "lora_B.weight": normal(seed + 1, out, 2)}
        save_file({f"unet.{MODULE}.{end}": tensor for end, tensor in factors.items()}, root / f"{name}.safetensors")
    return root


def pixels(file: Path) -> bytes:
    with Image.open(file) as image:
        return np.asarray(image).tobytes()


def test_pictures_of_the_command_line_are_those_of_the_library(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, again = tmp_path / "a.png", tmp_path / "b.png"
    lora = ["--lora", f"{folder / 'fur.safetensors'}:0.5", "--lora-dir", str(folder)]
    assert main(["generate", "a red circle<lora:ink:2>", *QUICK, *lora, "-o", str(file)]) == 0
    with sdrt.load("nano", threads=1, loras=[(folder / "fur.safetensors", 0.5), (folder / "ink.safetensors", 2)]) as pipe:
        options: dict[str, Any] = {"seed": 93, "num_inference_steps": 1, "height": 32, "width": 32}
        [wanted] = pipe.generate("a red circle", **options).images
        assert np.asarray(wanted).tobytes() == pixels(file)
        pipe.set_loras([])
        [plain] = pipe.generate("a red circle", **options).images
    assert np.asarray(plain).tobytes() != pixels(file)
    caplog.clear()
    assert main(["generate", "--from", str(file), "-q", "--threads", "1", *lora, "-o", str(again)]) == 0
    assert pixels(again) == pixels(file)
    assert not caplog.messages
    # without the pipeline's own LoRA the picture is another, and the difference is told as for embeddings
    assert main(["generate", "--from", str(file), "-q", "--threads", "1", "--lora-dir", str(folder), "-o", str(again)]) == 0
    assert pixels(again) != pixels(file)
    [told] = caplog.messages
    sha256 = sdrt.Settings.from_png(file).loras["fur"].sha256
    assert told.endswith(f"was drawn with loras fur=0.5 ({sha256[:12]}), and this is none: the picture may differ")


def test_what_is_wrong_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, said in (
        (["a <lora:furs>", "--lora-dir", str(folder)], "no LoRA of the name 'furs' in it; near are 'fur'"),
        (["a", "--lora", str(folder / "none.safetensors")], "none.safetensors"),
        (["a", "--lora", f"{folder / 'fur.safetensors'}:nan"], "a path and a strength"),
    ):
        assert main(["generate", *wrong, *QUICK, "-o", str(tmp_path)]) == 2
        output = capsys.readouterr().err
        assert said in output
        assert output.count("\n") == 1
