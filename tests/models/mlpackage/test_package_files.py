"""The files of packages: regular, whole, inside the package, of the kinds that they should hold; each fault is one error."""

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sdrt.errors import MissingFileError, ModelError, SdrtError
from sdrt.limits import Limits
from sdrt.models.mlpackage.blob import BlobFile, file_header
from sdrt.models.mlpackage.package import open_package, read_interface

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3438167534\n"
PROGRAM = """program(1.0)
{
    func main<ios16>(tensor<fp32, [1, 2]> x) {
            tensor<fp32, [1, 2]> y = relu(x = x);
        } -> (y);
}
"""
METADATA: list[dict[str, Any]] = [
    {
        "specificationVersion": 7,
        "author": "someone",
        "inputSchema": [{"name": "x", "shortDescription": "", "enumeratedShapes": "[[1, 2]]", "shapeRange": "[[1, 1]]"}],
        "userDefinedMetadata": {"a": "b"},
    }
]
MANIFEST: dict[str, Any] = {"rootModelIdentifier": "1", "itemInfoEntries": {"1": {"path": "com.apple.CoreML/model.mlmodel"}}}
# what may stand where something else belongs
OTHERS: list[Any] = [None, True, 0, -1, 10**30, 1.5, "", "x", "../../../etc/passwd", "/etc/passwd", [], ["a"], {}, {"a": 1}, [[1]]]
OTHERS += ["[[" + "9" * 5000]


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    folder = tmp_path / "unet.mlmodelc"
    folder.mkdir()
    (folder / "model.mil").write_text(PROGRAM)
    (folder / "metadata.json").write_text(json.dumps(METADATA))
    return folder


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "unet.mlpackage"
    (folder / "Data" / "com.apple.CoreML").mkdir(parents=True)
    (folder / "Manifest.json").write_text(json.dumps(MANIFEST))
    (folder / "Data" / "com.apple.CoreML" / "model.mlmodel").write_bytes(b"")
    return folder


def test_the_whole_one_is_read(compiled: Path) -> None:
    assert [feature.name for feature in read_interface(compiled).inputs] == ["x"]
    (compiled / "model.mil").write_bytes(b"\xef\xbb\xbf" + PROGRAM.encode())
    assert [feature.name for feature in read_interface(compiled).outputs] == ["y"]


def test_pointers_of_git_lfs_are_named(compiled: Path, package: Path, tmp_path: Path) -> None:
    files = [
        (compiled / "model.mil", lambda: open_package(compiled)),
        (package / "Data/com.apple.CoreML/model.mlmodel", lambda: open_package(package)),
        (package / "Manifest.json", lambda: open_package(package)),
        (tmp_path / "a.mlmodel", lambda: open_package(tmp_path / "a.mlmodel")),
        (tmp_path / "weight.bin", lambda: BlobFile(tmp_path / "weight.bin")),
        (tmp_path / "weight.bin", lambda: BlobFile(tmp_path / "weight.bin", memory_map=False)),
    ]
    for file, read in files:
        file.write_text(LFS)
        with pytest.raises(ModelError, match=rf"{file.name}: a Git-LFS pointer, not the file itself; run 'git lfs pull'"):
            read()


def mutations(node: Any) -> list[Any]:
    """Each value of a JSON tree replaced by each of OTHERS."""
    found = list(OTHERS)
    if isinstance(node, dict):
        found += [{**node, key: changed} for key, value in node.items() for changed in mutations(value)]
    if isinstance(node, list):
        found += [[*node[:k], changed, *node[k + 1 :]] for k, value in enumerate(node) for changed in mutations(value)]
    return found


def test_no_value_of_a_manifest_or_of_metadata_is_anything_but_an_error_in_words(compiled: Path, package: Path) -> None:
    cases = [(compiled, "metadata.json", METADATA), (package, "Manifest.json", MANIFEST)]
    for folder, name, content in cases:
        for changed in mutations(content):
            (folder / name).write_text(json.dumps(changed))
            with suppress(SdrtError):
                read_interface(folder)


def test_a_path_that_leaves_the_package_is_refused(package: Path) -> None:
    for name in ("../../secret", "/etc/passwd", "C:/x", "a\\b", "nul\0"):
        (package / "Manifest.json").write_text(json.dumps({**MANIFEST, "itemInfoEntries": {"1": {"path": name}}}))
        with pytest.raises(ModelError, match="must be a path inside the package"):
            open_package(package)


@posix
def test_no_program_is_read_without_end(tmp_path: Path, package: Path) -> None:
    begin = time.perf_counter()
    os.mkfifo(tmp_path / "pipe.mlmodel")
    (tmp_path / "zero.mlmodel").symlink_to("/dev/zero")
    program = package / "Data/com.apple.CoreML/model.mlmodel"
    program.unlink()
    program.symlink_to("/dev/zero")
    with (tmp_path / "large.mlmodel").open("wb") as stream:
        stream.truncate(2**31)
    with (tmp_path / "weight.bin").open("wb") as stream:
        stream.write(file_header(0))
        stream.truncate(2**33)
    for path, message in (
        (tmp_path / "pipe.mlmodel", "must be a file, got a pipe"),
        (tmp_path / "zero.mlmodel", "must be a file, got a device"),
        (package, r"model\.mlmodel: must be a file, got a device"),
        (tmp_path / "large.mlmodel", "a field has number 0"),
    ):
        with pytest.raises(ModelError, match=message):
            open_package(path)
    with pytest.raises(ModelError, match=r"the size in bytes must be at most 1000, got 2147483648"):
        open_package(tmp_path / "large.mlmodel", Limits(file_bytes=1000))
    for memory_map in (True, False):
        assert BlobFile(tmp_path / "weight.bin", memory_map=memory_map)
    assert time.perf_counter() - begin < 20


def test_what_is_not_there_is_missing(tmp_path: Path, package: Path) -> None:
    with pytest.raises(MissingFileError, match="no such model"):
        open_package(tmp_path / "none.mlpackage")
    (package / "Manifest.json").unlink()
    with pytest.raises(MissingFileError, match=r"has neither Manifest\.json"):
        open_package(package)
    with pytest.raises(MissingFileError, match=r"weight\.bin: not found"):
        BlobFile(tmp_path / "weight.bin")
