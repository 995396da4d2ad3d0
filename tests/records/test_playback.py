"""Pictures whose paths a record names are opened again, if they are still the same."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.errors import ConfigError
from sdrt.images import open_picture
from sdrt.images.inputs import digest, path_of
from sdrt.records import Settings


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 12, 3), np.uint8))


@pytest.fixture(scope="module")
def settings() -> Settings:
    with sdrt.load("nano", threads=1) as pipe:
        return pipe.resolve("a red circle", seed=93, num_inference_steps=2)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for seed, path in enumerate(paths):
        picture(seed).save(path)
    return paths


def recorded(settings: Settings, files: list[Path], paths: dict[str, Any]) -> Settings:
    """The record of a call with one picture to change and two to follow, after a way through JSON."""
    hashes = [digest("image", open_picture(file)) for file in files]
    painted = replace(settings, conditions={"image": hashes[0], "control_image": hashes, "record_paths": paths})
    return Settings.from_dict(json.loads(json.dumps(painted.to_dict(), allow_nan=False)))


def test_pictures_come_from_the_recorded_files(settings: Settings, files: list[Path]) -> None:
    one, two = map(str, files)
    options = recorded(settings, files, {"image": one, "control_image": [one, two]}).options()
    assert options["record_paths"] is True
    assert options["image"].tobytes() == picture(0).tobytes()
    assert [each.tobytes() for each in options["control_image"]] == [picture(0).tobytes(), picture(1).tobytes()]


def test_a_picture_that_is_passed_is_taken_instead(settings: Settings, files: list[Path]) -> None:
    one, two = map(str, files)
    of_files = recorded(settings, files, {"image": one, "control_image": [one, two]})
    same = picture(0)
    assert of_files.options(image=same)["image"] is same
    with pytest.raises(ConfigError, match=r"^image must be the recorded picture, SHA-256 \w{12}, got \w{12}; pass the same pixels$"):
        of_files.options(image=picture(1))


def test_a_file_that_changed_or_went_is_one_line(settings: Settings, files: list[Path]) -> None:
    one, two = map(str, files)
    of_files = recorded(settings, files, {"image": one, "control_image": [one, two]})
    picture(7).save(files[1])
    with pytest.raises(
        ConfigError, match=r"control_image must be the recorded picture, SHA-256 \w{12}, got \w{12} of .*two\.png; pass the same"
    ):
        of_files.options()
    files[1].unlink()
    with pytest.raises(ConfigError) as raised:
        of_files.options()
    reason = f"{two}: cannot be read (no such file); pass a picture"
    assert str(raised.value) == (
        f"control_image must be passed again, as the file of the record is not there ({reason}); pass the same pixels as control_image"
    )


@pytest.mark.parametrize("path", [None, "one.png", "//server/share/one.png", r"\\server\share\one.png", "x\0y"])
def test_paths_that_are_none_of_this_machine_are_not_opened(settings: Settings, files: list[Path], path: str | None) -> None:
    """A record may come from anybody, and from another system."""
    of_files = recorded(settings, files, {"image": path, "control_image": [str(files[0]), path]})
    for passed in ({}, {"image": picture(0)}):
        with pytest.raises(ConfigError, match=r"image must be passed again, as the record holds its SHA-256 alone \(\w{12}[,)]"):
            of_files.options(**passed)  # type: ignore[arg-type]


@pytest.mark.parametrize("paths", [3, {"image": 3}, {"image": ""}, {"image": {"a": "b"}}, ["a"]])
def test_damaged_paths_are_one_line(settings: Settings, files: list[Path], paths: Any) -> None:
    with pytest.raises(ConfigError, match=r"^a record's record_paths must be a mapping whose values are each "):
        recorded(settings, files, paths)


def test_a_picture_knows_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "one.png"
    picture(0).save(file)
    monkeypatch.chdir(tmp_path)
    assert path_of(open_picture("one.png")) == str(file)
    with Image.open("one.png") as image:
        assert path_of(image) == str(file)
    # what was made of it is another picture
    assert path_of(open_picture(file).resize((4, 4))) is None
    assert path_of(picture(0)) is None
    assert path_of(np.zeros((4, 4, 3), np.uint8)) is None
    server = picture(0)
    server.filename = "//server/share/one.png"  # type: ignore[attr-defined]
    assert path_of(server) is None
