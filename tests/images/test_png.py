"""Pictures as bytes and as files."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdrt.errors import ImageError
from sdrt.images.png import read_text, save_png, to_bytes, to_pil
from tests.factories import normal


@given(st.integers(0, 200))
def test_bytes_equal_diffusers(seed: int) -> None:
    image = normal(seed, 2, 3, 7, 5)
    expected = VaeImageProcessor().postprocess(torch.from_numpy(image), output_type="pil")
    for got, want in zip(to_pil(image), expected, strict=True):
        np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


def test_every_byte_survives_the_way_to_floats_and_back() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    floats = (values.transpose(0, 3, 1, 2) / np.float32(255)) * 2 - 1
    np.testing.assert_array_equal(to_bytes(floats), values)


TEXT = {"parameters": "a red circle\nSteps: 20", "sdrt": '{"prompt": "ein Kreis, größer; 円 🟥"}'}


def test_text_comes_back_and_the_picture_is_whole(tmp_path: Path) -> None:
    [image] = to_pil(normal(0, 1, 3, 16, 24))
    save_png(image, tmp_path / "a.png", TEXT)
    assert read_text(tmp_path / "a.png") == TEXT
    with Image.open(tmp_path / "a.png") as saved:
        np.testing.assert_array_equal(np.asarray(saved), np.asarray(image))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_a_picture_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    save_png(to_pil(normal(0, 1, 3, 8, 8))[0], tmp_path / "a.png", {})
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_an_interrupted_write_leaves_the_old_picture_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [image] = to_pil(normal(0, 1, 3, 8, 8))
    save_png(image, tmp_path / "a.png", TEXT)
    before = (tmp_path / "a.png").read_bytes()

    def half_written(self: Image.Image, stream: object, **_: object) -> None:
        stream.write(b"\x89PNG half")  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", half_written)
    with pytest.raises(KeyboardInterrupt):
        save_png(image, tmp_path / "a.png", TEXT)
    assert (tmp_path / "a.png").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a\.png: cannot be written \(No such file or directory\); choose another place"):
        save_png(to_pil(normal(0, 1, 3, 8, 8))[0], tmp_path / "none" / "a.png", {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no picture", "got another kind of file"),
        (b"\x89PNG\r\n\x1a\n", "got another kind of file|cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_png_is_one_clear_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "a.png"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ImageError, match=message):
        read_text(file)


def test_a_truncated_png_is_named(tmp_path: Path) -> None:
    [image] = to_pil(normal(0, 1, 3, 64, 64))
    save_png(image, tmp_path / "a.png", TEXT)
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"cut\.png: cannot be read"):
        read_text(tmp_path / "cut.png")
