"""What a call returns: it saves, shows and names itself."""

import json
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.errors import ArrayContractError, ImageError
from sdrt.images.png import read_text
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> sdrt.Result:
    pipe = sdrt.load(save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1"), FakeBackend())
    return pipe.generate("a red circle", seed=93, num_images=3, num_inference_steps=2, scheduler="euler a")


@pytest.fixture(scope="module")
def cancelled(tmp_path_factory: pytest.TempPathFactory) -> sdrt.Result:
    pipe = sdrt.load(save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1"), FakeBackend())
    return pipe.generate("a red circle", seed=93, num_inference_steps=2, on_step=lambda step: False)


def test_saving_writes_each_image_with_its_record(result: sdrt.Result, tmp_path: Path) -> None:
    files = result.save(tmp_path / "new" / "folder")
    assert [file.name for file in files] == ["a_red_circle.93.png", "a_red_circle.94.png", "a_red_circle.95.png"]
    for file, image, seed in zip(files, result.images, result.seeds, strict=True):
        with Image.open(file) as saved:
            assert saved.tobytes() == image.tobytes()
        assert json.loads(read_text(file)["sdrt"])["seed"] == seed
        assert read_text(file)["parameters"].startswith("a red circle\nSteps: 2, Sampler: euler a")


@pytest.mark.parametrize(("kind", "ending"), [("jpeg", "jpg"), ("webp", "webp")])
def test_a_lossy_file_carries_the_same_record(result: sdrt.Result, tmp_path: Path, kind: Literal["jpeg", "webp"], ending: str) -> None:
    plain, lossy = result.save(tmp_path), result.save(tmp_path, format=kind, quality=80)
    assert [file.name for file in lossy] == [file.with_suffix(f".{ending}").name for file in plain]
    for one, two in zip(plain, lossy, strict=True):
        assert read_text(one) == read_text(two)
        assert sdrt.Settings.from_file(one) == sdrt.Settings.from_file(two) == sdrt.Settings.from_png(two)
    for options, message in (
        ({"format": "gif"}, "format must be 'png' or 'jpeg' or 'webp', got 'gif'"),
        ({"quality": 90}, "left out for PNG"),
    ):
        with pytest.raises(ImageError, match=message):
            result.save(tmp_path / "none", **options)
        assert not (tmp_path / "none").exists()


def test_saving_again_takes_other_names(result: sdrt.Result, tmp_path: Path) -> None:
    first, second = result.save(tmp_path, title="dots"), result.save(str(tmp_path), title="dots")
    assert [file.name for file in first] == ["dots.93.png", "dots.94.png", "dots.95.png"]
    assert [file.name for file in second] == ["dots.93-2.png", "dots.94-2.png", "dots.95-2.png"]


def test_a_folder_that_is_a_file_is_one_error(result: sdrt.Result, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(ImageError, match=r"taken: cannot be made a folder"):
        result.save(tmp_path / "taken")


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.png"])
def test_the_name_of_a_picture_is_no_folder(result: sdrt.Result, tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match=r"folder must be a folder, got the name of a file, .*; pass '\.', and title='a'"):
        result.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / name).mkdir()
    assert [file.parent.name for file in result.save(tmp_path / name)] == [name] * 3


def test_a_notebook_shows_the_batch_side_by_side(result: sdrt.Result) -> None:
    shown = result._repr_png_()
    assert shown is not None
    with Image.open(BytesIO(shown)) as sheet:
        assert sheet.size == (2 * 64 + 4, 2 * 64 + 4)
        assert sheet.crop((68, 0, 132, 64)).tobytes() == result.images[1].tobytes()


def test_a_cancelled_run_has_nothing_to_save_or_show(cancelled: sdrt.Result, tmp_path: Path) -> None:
    assert cancelled.save(tmp_path) == []
    assert cancelled._repr_png_() is None
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_one_readable_line(result: sdrt.Result, cancelled: sdrt.Result) -> None:
    assert repr(result) == "Result(3 images, 64x64, seeds 93 to 95, 2 steps of 'euler a')"
    assert repr(cancelled) == "Result(cancelled, 64x64, seed 93, 2 steps of 'ddim')"


def test_a_decoder_whose_picture_has_another_size_is_named() -> None:
    narrow = FakeBackend({"vae_decoder": lambda z: {"image": np.zeros((1, 3, 8 * z.shape[2], 8 * z.shape[3] - 1), z.dtype)}})
    with pytest.raises(ArrayContractError, match=r"vae_decoder output: expected image float32\[1,3,128,128\], got float32\[1,3,128,127\]"):
        sdrt.load("nano", narrow).generate("a", seed=1, num_inference_steps=1)
