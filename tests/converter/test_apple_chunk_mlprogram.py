"""``sdrt apple chunk_mlprogram``: on packages of U-Nets, with the numbers of the whole, and nothing lost where it fails."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter import chunking
from converter.compression import Palettization, compress
from converter.report import Report
from converter.verification.cases import TIMESTEPS, cases_of
from converter.verification.chain import Chain
from sdrt.backends.coreml import describe
from sdrt.backends.coreml.executor import Precision
from sdrt.cli import main
from tests.converter.small import EXACT, opened, saved
from tests.factories import Form

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CHUNK = ("apple", "chunk_mlprogram")


# Packages that other tests of the converter use too: each is converted once.
FLOAT16: dict[str, Any] = {"attention": "SPLIT_EINSUM", "precision": "float16"}
FLOAT32: dict[str, Any] = {"attention": "ORIGINAL", **EXACT}


@pytest.fixture
def unet(model_folder: Callable[[Form], Path], converted: Callable[..., Report], tmp_path: Path) -> Callable[..., Path]:
    """Return a function that copies the package of a random U-Net into the test's own folder."""

    def make(**options: Any) -> Path:
        (whole,) = converted(model_folder("sd1"), parts=("unet",), **(options or FLOAT16)).packages
        place = tmp_path / "from" / "X.mlpackage"
        shutil.copytree(whole, place)
        return place

    return make


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def metadata(package: Path) -> dict[str, str]:
    summary = describe(package)
    return {**summary.metadata, **summary.user_defined}


def run(*typed: object) -> int:
    return main([*CHUNK, *map(str, typed)])


@pytest.mark.parametrize("form", ["plain", "6 bits", "ORIGINAL"])
def test_halves_and_the_pipeline_compute_what_the_package_computes(form: str, unet: Callable[..., Path], tmp_path: Path) -> None:
    package, out = unet(**(FLOAT32 if form == "ORIGINAL" else {})), tmp_path / "out"
    if form == "6 bits":
        smaller = compress(opened(package), Palettization(nbits=6))
        shutil.rmtree(package)
        saved(smaller, package)
    assert run("--mlpackage-path", package, "-o", out) == 0
    assert run("--mlpackage-path", package, "-o", out, "--merge-chunks-in-pipeline-model") == 0
    assert names_in(out) == ["X_chunk1.mlpackage", "X_chunk2.mlpackage", "X_chunked_pipeline.mlpackage"]
    halves, merged = [out / "X_chunk1.mlpackage", out / "X_chunk2.mlpackage"], [out / "X_chunked_pipeline.mlpackage"]
    # In the package's own precision. In float32, operations on both sides of the boundary are not fused: sums in another order there.
    precision: Precision
    precision, tolerance = ("float32", 1e-5) if form == "ORIGINAL" else ("float16", 0.0)
    with Chain([package], precision) as whole, Chain(halves, precision) as two, Chain(merged, precision) as one:
        for case in cases_of(whole, 3, TIMESTEPS[:1]):
            right = whole.predict(case.inputs)["noise_pred"]
            assert np.abs(right).max() > 0.1
            for chain in (two, one):
                np.testing.assert_allclose(chain.predict(case.inputs)["noise_pred"], right, rtol=0, atol=tolerance)
    assert all(metadata(each) == metadata(package) for each in (*halves, *merged))
    assert metadata(package)["com.github.apple.ml-stable-diffusion.version"] == "1.1.0"


def test_the_original_goes_after_the_halves_were_compared(
    unet: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = unet()
    assert run("--mlpackage-path", package, "-o", package.parent, "--check-output-correctness", "--remove-original") == 0
    assert names_in(package.parent) == ["X_chunk1.mlpackage", "X_chunk2.mlpackage"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == [str(package.with_name(f"X_chunk{number}.mlpackage")) for number in (1, 2)]
    assert printed[2].endswith("unet, at least 90 dB: passed")


def test_halves_that_differ_leave_the_original_and_nothing_else(
    unet: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def damaged(*given: Any, **named: Any) -> Any:
        first, second = chunking.chunk(*given, **named)
        file = next(second.rglob("weight.bin"))
        numbers = bytearray(file.read_bytes())
        # in the last weight, behind its header
        numbers[-64:] = bytes(64)
        file.write_bytes(numbers)
        return first, second

    monkeypatch.setattr("converter.halving.chunk", damaged)
    package = unet()
    assert run("--mlpackage-path", package, "-o", tmp_path / "out", "--check-output-correctness", "--remove-original") == 2
    said = capsys.readouterr().err
    assert "noise_pred must reach 90 dB against its source, got" in said
    assert "the error originates in" in said
    assert names_in(package.parent) == ["X.mlpackage"]
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_the_original_and_nothing_else(
    unet: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("converter.chunking.copy_records", full)
    package = unet()
    assert run("--mlpackage-path", package, "-o", package.parent, "--remove-original") == 2
    assert "writing failed (No space left on device), and nothing incomplete is left; make room" in capsys.readouterr().err
    assert names_in(package.parent) == ["X.mlpackage"]


def test_what_cannot_be_cut_is_told_in_one_line(
    model_folder: Callable[[Form], Path], converted: Callable[..., Report], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (encoder,) = converted(model_folder("sd1"), parts=("text_encoder",)).packages
    empty, text = tmp_path / "empty.mlpackage", tmp_path / "text.mlpackage"
    empty.mkdir()
    text.write_text("a U-Net")
    for package, reason in (
        (tmp_path / "none.mlpackage", "must be an .mlpackage folder, got nothing there"),
        (encoder, "must be a whole U-Net, with inputs encoder_hidden_states, sample, timestep and output noise_pred, got inputs input_ids"),
        (empty, str(empty)),
        (text, str(text)),
    ):
        assert run("--mlpackage-path", package, "-o", tmp_path / "out") == 2
        said = capsys.readouterr().err
        assert reason in said
        assert said.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_to_is_named(unet: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package, file = unet(), tmp_path / "file"
    file.write_text("")
    assert run("--mlpackage-path", package, "-o", file, "--remove-original") == 2
    assert capsys.readouterr().err == f"sdrt: {file}: must be a folder to write to, got File exists; choose another one with -o\n"
    assert package.exists()


def test_a_half_is_no_whole_unet(unet: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = unet()
    assert run("--mlpackage-path", package, "-o", tmp_path) == 0
    capsys.readouterr()
    for half in ("X_chunk1", "X_chunk2"):
        assert run("--mlpackage-path", tmp_path / f"{half}.mlpackage", "-o", tmp_path) == 2
        assert f"{half}.mlpackage: must be a whole U-Net" in capsys.readouterr().err
