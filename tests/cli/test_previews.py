"""``sdrt generate --preview-every``: files beside the pictures, whole at any moment, and pictures that stay as they are."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import sdrt
from sdrt.cli import main
from sdrt.images import read_text
from tests.pictures import psnr

QUICK = ["a red circle", "--seed", "93", "--steps", "5", "-H", "64", "-W", "64", "-q"]


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were put in their places, in order."""
    names: list[str] = []
    move: Callable[..., Any] = os.replace

    def replace(self: Path, target: Path) -> Path:
        names.append(Path(target).name)
        assert not self.name.endswith(".png") or self.name != Path(target).name
        move(self, target)
        return Path(target)

    monkeypatch.setattr(Path, "replace", replace)
    return names


def test_every_second_step_replaces_the_preview_beside_each_picture(tmp_path: Path, replaced: list[str]) -> None:
    """Steps 2 and 4 of 5, each under a temporary name first; the pictures are those without previews, and carry the same record."""
    assert main(["generate", *QUICK, "-n", "2", "--preview-every", "2", "-o", str(tmp_path / "with")]) == 0
    previews = ["a_red_circle.93.preview.png", "a_red_circle.94.preview.png"]
    assert [name for name in replaced if "preview" in name] == previews * 2
    assert main(["generate", *QUICK, "-n", "2", "-o", str(tmp_path / "without")]) == 0
    pictures = ["a_red_circle.93.png", "a_red_circle.94.png"]
    assert sorted(file.name for file in (tmp_path / "with").iterdir()) == sorted([*pictures, *previews])
    for name in pictures:
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
    for name in previews:
        with Image.open(tmp_path / "with" / name) as preview:
            assert preview.size == (64, 64)
        assert read_text(tmp_path / "with" / name) == {}


@pytest.mark.parametrize("kind", ["latent", "taesd", "vae", None])
def test_the_kind_that_is_asked_for(tmp_path: Path, kind: str | None) -> None:
    """What a step of the same run decodes; without a kind, the cheapest."""
    flags = [] if kind is None else ["--preview-kind", kind.upper()]
    quick = [*QUICK, "--preview-vae", "taesd", "--preview-every", "4", *flags]
    assert main(["generate", *quick, "-o", str(tmp_path / "a.png")]) == 0
    with sdrt.load("nano", preview_vae="taesd") as pipe:
        for step in pipe.steps("a red circle", seed=93, num_inference_steps=5, height=64, width=64):
            if step.index == 3:
                wanted = step.decode(0, kind or "latent")  # type: ignore[call-overload]
    with Image.open(tmp_path / "a.preview.png") as found:
        assert psnr(found, wanted) == float("inf")


def test_one_file_and_several_images(tmp_path: Path) -> None:
    """Named as the pictures are, those of one seed with a number."""
    assert main(["generate", *QUICK, "-n", "3", "--seed", "5,5,6", "--preview-every", "4", "-o", str(tmp_path / "a.jpg")]) == 0
    previews = {"a.5.preview.png", "a.5-2.preview.png", "a.6.preview.png"}
    assert {file.name for file in tmp_path.iterdir()} == previews | {"a.5.jpg", "a.5-2.jpg", "a.6.jpg"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--preview-every", "0"], "--preview-every must be a number of steps of at least 1, got 0; leave it out for no previews"),
        (["--preview-every", "-3"], "--preview-every must be a number of steps of at least 1, got -3"),
        (["--preview-kind", "vae"], "--preview-kind is for previews, got 'vae' without --preview-every; pass that too"),
        (["--preview-every", "1", "--preview-kind", "dream"], "--preview-kind must be 'latent' or 'taesd' or 'vae', got 'dream'"),
        (["--preview-every", "1", "--preview-kind", "taesd"], "--preview-kind must be 'latent' or 'vae' for this pipeline, got 'taesd'"),
        (["--preview-every", "1", "--preview-vae", "nowhere/at all"], "nowhere/at all"),
    ],
)
def test_previews_that_cannot_be_are_refused_before_anything_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert main(["generate", *QUICK, *flags, "-o", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []
