"""Prompt options on the command line, and back out of the picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import sdrt
from sdrt.cli import main
from sdrt.images.png import read_text
from sdrt.models import read_embedding

QUICK = ["--seed", "93", "--steps", "2", "-q"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two embeddings for the embedded model, as strong as its own table."""
    folder = tmp_path_factory.mktemp("embeddings")
    rows = np.random.default_rng(1).standard_normal((3, 128)).astype(np.float32)
    save_file({"<blob>": rows[:1]}, folder / "learned.safetensors")
    save_file({"emb_params": rows[1:]}, folder / "odd=name.safetensors")
    return sorted(folder.iterdir())


def test_every_option_reaches_the_picture_and_stands_in_it(tmp_path: Path, files: list[Path]) -> None:
    learned, odd = files
    prompt = "a (<blob>:1.5) circle BREAK <mine> and odd=name"
    argv = ["generate", prompt, *QUICK, "-o", str(tmp_path / "a.png")]
    flags = ["--clip-skip", "1", "--emphasis", "no_norm", "--prompt-syntax", "weighted", "--long-prompts", "truncate"]
    given = ["--embedding", str(learned), "--embedding", f"<mine>={odd}", "--embedding", str(odd)]
    assert main([*argv, *flags, *given]) == 0
    text = read_text(tmp_path / "a.png")
    settings: dict[str, Any] = json.loads(text["sdrt"])
    hashes = {"<blob>": read_embedding(learned).sha256, "<mine>": read_embedding(odd).sha256, "odd=name": read_embedding(odd).sha256}
    want: dict[str, Any] = {
        "clip_skip": 1,
        "emphasis": "no_norm",
        "prompt_syntax": "weighted",
        "long_prompts": "truncate",
        "embeddings": hashes,
    }
    assert {key: settings[key] for key in want} == want
    assert 'Clip skip: 2, Emphasis: No norm, TI hashes: "<blob>: ' in text["parameters"]
    pipe = sdrt.load("nano", embeddings=[learned, odd, read_embedding(odd, "<mine>")])
    options = {key: value for key, value in want.items() if key != "embeddings"}
    [image] = pipe.generate(prompt, seed=93, num_inference_steps=2, **options).images
    with Image.open(tmp_path / "a.png") as saved:
        assert np.abs(np.asarray(image, np.int16) - np.asarray(saved, np.int16)).max() <= 1


@pytest.mark.parametrize(
    ("prompt", "flags"),
    [
        ("a (red:2) circle", ["--prompt-syntax", "plain"]),
        ("a red circle", ["--clip-skip", "1"]),
        ("red " * 75 + "circle", ["--long-prompts", "truncate"]),
        ("a (red:3) circle", ["--emphasis", "no_norm"]),
    ],
)
def test_every_option_moves_the_picture(tmp_path: Path, prompt: str, flags: list[str]) -> None:
    for name, more in (("without.png", []), ("with.png", flags)):
        assert main(["generate", prompt, *QUICK, *more, "-o", str(tmp_path / name)]) == 0
    with Image.open(tmp_path / "without.png") as one, Image.open(tmp_path / "with.png") as two:
        assert np.abs(np.asarray(one, np.int16) - np.asarray(two, np.int16)).max() > 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prompt-syntax", "a1111"], "prompt_syntax must be 'full' or 'weighted' or 'plain', got 'a1111'"),
        (["--clip-skip", "3"], "clip_skip must be below 3, the layers of this model's text_encoder, got 3"),
        (["--embedding", "no/such.safetensors"], "no/such.safetensors: no such file; an embedding is a safetensors file"),
        (["--embedding", "<x>=no/such.safetensors"], "no/such.safetensors: no such file"),
        (["--embedding", "=no/such.safetensors"], "--embedding must be a file or TOKEN=FILE, got '=no/such.safetensors'"),
    ],
)
def test_an_error_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str], flags: list[str], message: str) -> None:
    assert main(["generate", "a red circle", *QUICK, *flags]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
