"""`sdrt upscale`: files and their names, the records inside them, JSON, and what is refused or interrupted."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.batch.finished import Finished
from sdrt.cli import main
from sdrt.images import open_picture, read_text
from sdrt.records import Settings
from sdrt.records.upscaled import Enlargement, upscaled_texts
from tests.cli.programs import start
from tests.listings import check_listing
from tests.upscalers import rrdb_tensors, save_upscaler


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of nano with its record."""
    with sdrt.load("nano") as pipe:
        result = pipe.generate("a red circle", seed=93, num_inference_steps=1, height=64, width=64)
    return result.save(tmp_path_factory.mktemp("drawn"))[0]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_upscaler(tmp_path_factory.mktemp("network") / "x2.safetensors", rrdb_tensors(width=8, growth=4, blocks=1, upsamplings=1))


def _ends(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    status = main(["upscale", *map(str, argv)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_picture_is_that_of_python(drawn: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = _ends(capsys, drawn, "--upscaler", network, "-o", tmp_path / "large", "--tile", 32, "--overlap", 8)
    file = tmp_path / "large" / "a_red_circle.93-128x128.png"
    assert (status, out, err) == (0, f"{file}\n", "")
    wanted = sdrt.load_upscaler(network, tile=32, overlap=8)(open_picture(drawn))
    assert np.array_equal(np.asarray(Image.open(file)), np.asarray(wanted))


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_the_record_is_kept_and_says_what_was_done(
    ending: str, drawn: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"large.{ending}"
    assert _ends(capsys, drawn, "--upscaler", network, "-o", file)[0] == 0
    before, after = Settings.from_file(drawn), Settings.from_file(file)
    remark = after.remarks["upscaled"]
    fingerprint = sdrt.load_upscaler(network).fingerprint
    end = ", after it was drawn; the record draws the picture before that"
    assert remark == f"from 64x64 to 128x128 by x2.safetensors ({fingerprint}){end}"
    assert {**after.to_dict(), "remarks": before.remarks} == {**before.to_dict(), "remarks": before.remarks}
    assert read_text(file)["parameters"] == read_text(drawn)["parameters"]
    if ending == "png":
        assert read_text(file)["postprocessing"] == "Postprocess upscale to: 128x128, Postprocess upscaler: x2.safetensors"
    # enlarged once more
    assert _ends(capsys, file, "--scale", 0.5, "-o", tmp_path / "again.png")[0] == 0
    again = Settings.from_file(tmp_path / "again.png").remarks["upscaled"]
    assert again == remark.removesuffix(end) + f", then from 128x128 to 64x64 by lanczos{end}"


def test_its_record_draws_the_picture_before(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _ends(capsys, drawn, "--scale", 2, "-o", tmp_path / "large.png")
    assert main(["generate", "--from", str(tmp_path / "large.png"), "-o", str(tmp_path / "again.png")]) == 0
    assert "large.png was enlarged: from 64x64 to 128x128 by lanczos, after it was drawn" in capsys.readouterr().err
    assert np.array_equal(np.asarray(Image.open(tmp_path / "again.png")), np.asarray(Image.open(drawn)))


def test_a_batch_does_not_take_it_for_its_own(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _ends(capsys, drawn, "--scale", 2, "-o", tmp_path)
    assert Finished(tmp_path).find(Settings.from_file(drawn)) == [None]
    assert Finished(drawn.parent).find(Settings.from_file(drawn)) == [drawn]


def test_texts_that_are_no_records() -> None:
    made = Enlargement(upscaler="nearest", fingerprint="", before=(8, 8), after=(16, 8))
    assert set(upscaled_texts({}, made)) == {"postprocessing"}
    for damaged in ("{", "[1]", "[" * 100_000, '"a"'):
        assert set(upscaled_texts({"sdrt": damaged, "parameters": "a cat", "Comment": "x"}, made)) == {"parameters", "postprocessing"}
    odd = upscaled_texts({"sdrt": '{"remarks": 3, "later": 1}'}, made)
    assert json.loads(odd["sdrt"])["later"] == 1


def test_no_file_is_replaced(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        _ends(capsys, drawn, "--scale", 2, "-o", tmp_path)
        _ends(capsys, drawn, "--scale", 2, "-o", tmp_path / "a.png")
    names = ["a-2.png", "a.png", "a_red_circle.93-128x128-2.png", "a_red_circle.93-128x128.png"]
    assert sorted(file.name for file in tmp_path.iterdir()) == names


def test_json(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = _ends(capsys, drawn, drawn, "-W", 100, "--upscaler", "bicubic", "-o", tmp_path, "--json", "--format", "webp")
    assert (status, err) == (0, "")
    document = json.loads(out)
    check_listing("upscale", document)
    names = ["a_red_circle.93-100x100.webp", "a_red_circle.93-100x100-2.webp"]
    wanted = [{"source": str(drawn), "file": str(tmp_path / name), "width": 100, "height": 100} for name in names]
    assert document == {"upscaler": "bicubic", "pictures": wanted}


def test_exact_bytes_are_sdrts_own(drawn: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file, threads in zip(files, (1, 2), strict=True):
        argv = (drawn, "--upscaler", network, "--numerics", "exact", "--threads", threads, "-o", file)
        assert _ends(capsys, *argv)[0] == 0
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_is_refused(drawn: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, transparent = tmp_path / "text.png", tmp_path / "transparent.png"
    text.write_text("no picture")
    Image.new("RGBA", (8, 8), (1, 2, 3, 100)).save(transparent)
    place = ["-o", tmp_path / "out"]
    for argv, words in (
        ([text, "--scale", 2, *place], "must be a picture, got another kind of file"),
        ([tmp_path / "absent.png", "--scale", 2, *place], "no such file"),
        ([drawn, *place], "lanczos has no scale of its own"),
        ([drawn, "--scale", 0, *place], "scale must be"),
        ([drawn, "-W", 20_000, "-H", 20_000, *place], "the pixels of an enlarged picture must be at most"),
        ([drawn, "--upscaler", network, "--tile", 0, *place], "tile must be a whole number from 16"),
        ([drawn, "--upscaler", network, "--backend", "coreml", *place], "backend of upscaler must be one of numpy, torch"),
        ([drawn, "--upscaler", "nano-outline", *place], "got a LoRA"),
        ([drawn, "--upscaler", drawn, *place], "not a whole safetensors file"),
        ([drawn, drawn, "--scale", 2, "-o", tmp_path / "one.png"], "-o must be a folder for 2 pictures"),
        ([transparent, "--scale", 2, "-o", tmp_path / "a.jpg"], "is transparent, and a JPEG is not"),
    ):
        status, out, err = _ends(capsys, *argv)
        assert (status, out, err.count("\n")) == (2, "", 1), argv
        assert words in err, argv
    assert sorted(file.name for file in tmp_path.iterdir()) == ["text.png", "transparent.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
def test_an_interruption_leaves_no_part_of_a_file(drawn: Path, tmp_path: Path) -> None:
    # many pictures, each of a fraction of a second: an interruption waits for a tile
    network = save_upscaler(tmp_path / "x4.safetensors", rrdb_tensors(width=16, growth=8, blocks=1))
    argv = ["upscale", *[str(drawn)] * 200, "--upscaler", str(network), "--tile", "16", "--threads", "1", "-o", "out"]
    with start(*argv, cwd=tmp_path) as process:
        # the folder is made just before the network is opened
        while not (tmp_path / "out").exists() and process.poll() is None:
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "sdrt: interrupted; pictures that were finished are kept\n")
    assert not [file for file in tmp_path.glob("out/*") if file.suffix != ".png" or file.name.startswith(".")]
