"""``sdrt generate --outpaint``."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.cli import main
from sdrt.images import outpaint
from sdrt.images.inputs import digest

FLAGS = ["--steps", "2", "--seed", "93", "--threads", "1", "-q"]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    Image.fromarray(pixels).resize((48, 64), Image.Resampling.NEAREST).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def test_borders_are_drawn_around_a_picture(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    argv = ["--image", str(picture), "--outpaint", "16,0,0,8", *FLAGS]
    assert main(["generate", "a red circle", *argv, "-o", str(out)]) == 0
    with Image.open(picture) as image:
        canvas, mask = outpaint(image, left=16, bottom=8)
    with Image.open(out) as drawn:
        pixels = np.asarray(drawn)
    assert pixels.shape == (72, 64, 3)
    kept = np.asarray(mask) == 0
    assert 0 < kept.sum() < 64 * 48
    np.testing.assert_array_equal(pixels[kept], np.asarray(canvas)[kept])
    assert np.abs(pixels.astype(int) - np.asarray(canvas))[:, :16].max() > 20
    conditions = sdrt.Settings.from_png(out).conditions
    assert (conditions["image"], conditions["mask_image"]) == (digest("image", canvas), digest("mask_image", mask))
    # the same flags stand for both pictures when it is played back
    assert main(["generate", "--from", str(out), *argv, "-o", str(tmp_path / "again.png")]) == 0
    assert (tmp_path / "again.png").read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--outpaint", "8,0,0,0"], "--outpaint needs --image and makes the mask itself, got no --image; add it"),
        (["--outpaint", "8,0,0,0", "--image", "{}", "--mask-image", "{}"], "makes the mask itself, got --mask-image; leave it out"),
        (["--outpaint", "0,0,0,0", "--image", "{}"], "out-painting must have a border to draw, got none"),
        (["--outpaint=-8,0,0,0", "--image", "{}"], "left must be a whole number from 0 to 1048576, got -8"),
        (["--outpaint", "8", "--image", "{}"], "argument --outpaint: must be LEFT,TOP,RIGHT,BOTTOM in pixels, got '8'"),
        (["--outpaint", "8,a,0,0", "--image", "{}"], "must be LEFT,TOP,RIGHT,BOTTOM in pixels, got '8,a,0,0'"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    argv = [str(picture) if flag == "{}" else flag for flag in flags]
    with pytest.raises(SystemExit, match="2"):
        # argparse leaves by itself where a flag's value cannot be read
        raise SystemExit(main(["generate", "a", *argv, *FLAGS, "-o", str(tmp_path / "out.png")]))
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert not (tmp_path / "out.png").exists()
