"""Damaged and hostile packages: each ends in one clear error, soon, and without taking memory."""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sdrt.backends.coreml import MLProgram
from sdrt.errors import MissingFileError, ModelError, SdrtError
from sdrt.models.mlpackage.blob import BlobFile
from sdrt.models.mlpackage.mil import TensorType
from sdrt.models.mlpackage.protobuf import Message

Packages = Callable[..., tuple[Path, torch.nn.Module, dict[str, torch.Tensor]]]
_MODEL, _BLOB = "Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin"


def _mutated(data: bytes, chance: random.Random) -> bytes:
    """One of: cut off, bytes changed, a run repeated, taken out or filled, a length made absurd."""
    at = chance.randrange(len(data))
    kind = chance.randrange(6)
    if kind == 0:
        return data[:at]
    if kind == 1:
        changed = bytearray(data)
        for _ in range(chance.randint(1, 8)):
            changed[chance.randrange(len(data))] = chance.randrange(256)
        return bytes(changed)
    run = data[at : at + chance.randint(1, 40)]
    if kind == 2:
        return data[:at] + run + run + data[at + len(run) :]
    if kind == 3:
        return data[:at] + data[at + len(run) :]
    if kind == 4:
        return data[:at] + bytes([chance.choice([0, 0x7F, 0x80, 0xFF])]) * len(run) + data[at + len(run) :]
    return data[:at] + b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + data[at + 9 :]


def _mutate(source: Path, folder: Path, seed: int) -> Path:
    """A copy of a package with one file damaged."""
    chance = random.Random(seed)
    path = folder / f"{seed}.mlpackage"
    shutil.copytree(source, path)
    file = path / chance.choice([_MODEL, _MODEL, _MODEL, _BLOB, "Manifest.json"])
    file.write_bytes(_mutated(file.read_bytes(), chance))
    return path


def _survive(package: Packages, tmp_path: Path, seeds: range) -> tuple[int, int]:
    """How many mutations were refused, and how many still ran (a changed weight is a model like another)."""
    source, _, inputs = package("layers", "float16")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problems: list[str] = []
    ran = 0
    for seed in seeds:
        path = _mutate(source, tmp_path, seed)
        began = time.process_time()
        try:
            with MLProgram(path) as model:
                model.predict({feature.name: inputs["x"] for feature in model.inputs})
            ran += 1
        except SdrtError as error:
            problems.append(str(error))
        # the processor's time, not the clock's: a busy machine is no endless loop
        assert time.process_time() - began < 1.0, seed
        shutil.rmtree(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, "kilobytes"
    assert all(len(problem) > 20 and "\n" not in problem for problem in problems)
    return len(problems), ran


def test_damaged_packages_end_in_a_clear_error(package: Packages, tmp_path: Path) -> None:
    refused, ran = _survive(package, tmp_path, range(150))
    assert refused > 90
    assert ran > 5


@pytest.mark.slow
def test_two_thousand_damaged_packages(package: Packages, tmp_path: Path) -> None:
    refused, ran = _survive(package, tmp_path, range(1000, 3000))
    assert refused + ran == 2000


def test_a_program_cut_anywhere_is_refused(package: Packages, tmp_path: Path) -> None:
    source, _, _ = package("layers", "float16")
    whole = (source / _MODEL).read_bytes()
    path = tmp_path / "cut.mlmodel"
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        with pytest.raises(ModelError, match=r"cut\.mlmodel"):
            MLProgram(path)


def test_a_manifest_may_not_leave_the_package(package: Packages, tmp_path: Path) -> None:
    source, _, _ = package("layers")
    shutil.copytree(source, tmp_path / "a.mlpackage")
    manifest = tmp_path / "a.mlpackage" / "Manifest.json"
    found = json.loads(manifest.read_text())
    for name in ("../../secret", "/etc/passwd", "C:/secret", "..\\secret", ""):
        found["itemInfoEntries"][found["rootModelIdentifier"]]["path"] = name
        manifest.write_text(json.dumps(found))
        with pytest.raises(ModelError, match=r"the root model's path must be a path inside the package"):
            MLProgram(tmp_path / "a.mlpackage")


def test_a_program_may_not_name_a_file_outside_the_package(package: Packages, tmp_path: Path) -> None:
    source, _, inputs = package("layers")
    shutil.copytree(source, tmp_path / "a.mlpackage")
    file = tmp_path / "a.mlpackage" / _MODEL
    name = b"@model_path/weights/weight.bin"
    file.write_bytes(file.read_bytes().replace(name, b"@model_path/../../weight.bin##"))
    with pytest.raises(ModelError, match=r"weight file must be a path inside the package"):
        MLProgram(tmp_path / "a.mlpackage").predict(inputs)


def test_missing_files_are_named(package: Packages, tmp_path: Path) -> None:
    source, _, inputs = package("layers")
    with pytest.raises(MissingFileError, match=r"no such model"):
        MLProgram(tmp_path / "none.mlpackage")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match=r"has neither Manifest\.json"):
        MLProgram(tmp_path / "empty")
    shutil.copytree(source, tmp_path / "a.mlpackage")
    (tmp_path / "a.mlpackage" / _BLOB).unlink()
    with pytest.raises(MissingFileError, match=r"weight\.bin: not found"):
        MLProgram(tmp_path / "a.mlpackage").predict(inputs)


def test_records_of_a_weight_file_are_checked(tmp_path: Path) -> None:
    def record(sentinel: int = 0xDEADBEEF, kind: int = 2, size: int = 16, start: int = 128) -> Path:
        fields = (
            sentinel.to_bytes(4, "little") + kind.to_bytes(4, "little") + b"".join(part.to_bytes(8, "little") for part in (size, start, 0))
        )
        numbers = np.arange(4, dtype=np.float32).tobytes()
        path = tmp_path / "weight.bin"
        path.write_bytes((1).to_bytes(4, "little") + (2).to_bytes(4, "little") + bytes(56) + fields + bytes(32) + numbers)
        return path

    four = TensorType("fp32", (2, 2))
    assert BlobFile(record()).tensor(64, four).tolist() == [[0, 1], [2, 3]]
    for changed, words in (
        ({"sentinel": 1}, "must begin with deadbeef"),
        ({"kind": 1}, "the record must hold .*, got fp16"),
        ({"size": 2**40}, "leave the file"),
        ({"start": 2**63}, "leave the file"),
        ({"size": 12}, "must take 16 bytes, got 12"),
    ):
        with pytest.raises(ModelError, match=words):
            BlobFile(record(**changed)).tensor(64, four)
    with pytest.raises(ModelError, match=r"the file ends at"):
        BlobFile(record()).tensor(2**60, four)
    with pytest.raises(ModelError, match=r"must take .* bytes, got 16"):
        BlobFile(record()).tensor(64, TensorType("fp32", (2**40, 2**40)))


def test_messages_nested_without_end_are_refused() -> None:
    data = b""
    for _ in range(150):
        size, prefix = len(data), b""
        while size >= 0x80:
            prefix, size = prefix + bytes([size & 0x7F | 0x80]), size >> 7
        data = b"\x0a" + prefix + bytes([size]) + data
    message = Message(data, "x")
    for _ in range(100):
        message = message.message(1, "a")
    with pytest.raises(ModelError, match=r"nested more than 100 deep"):
        message.message(1, "a")


def test_no_other_package_is_needed(package: Packages, tmp_path: Path) -> None:
    """Packages of each kind run where torch, coremltools, protobuf and scipy cannot be imported."""
    code = """
import sys
for name in ("torch", "coremltools", "google", "google.protobuf", "scipy", "diffusers", "transformers", "safetensors"):
    sys.modules[name] = None
import numpy as np
from sdrt.backends.coreml import MLProgram, describe
folder, *paths = sys.argv[1:]
for index, path in enumerate(paths):
    inputs = dict(np.load(f"{folder}/{index}.npz"))
    describe(path)
    for precision in ("float32", "float16"):
        np.savez(f"{folder}/{index}-{precision}.npz", **MLProgram(path, precision=precision).predict(inputs))
"""
    given = [package(kind, "float16") for kind in ("unet", "text_encoder", "vae_decoder", "split_attention")]
    for index, (_, _, inputs) in enumerate(given):
        np.savez(tmp_path / f"{index}.npz", allow_pickle=True, **{name: value.numpy() for name, value in inputs.items()})
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", code, str(tmp_path), *(str(path) for path, _, _ in given)]
    subprocess.run(command, check=True, cwd=root, env=os.environ | {"PYTHONPATH": str(root)})
    for index, (path, _, inputs) in enumerate(given):
        for precision in ("float32", "float16"):
            found = np.load(tmp_path / f"{index}-{precision}.npz")
            here = MLProgram(path, precision=precision).predict(inputs)
            assert sorted(found) == sorted(here)
            assert all(np.array_equal(found[name], here[name]) for name in here)
