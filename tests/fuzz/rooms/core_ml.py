"""Core ML: manifests, protobuf, the text of programs, blobs, sidecars, and the executor."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import sdrt
from sdrt.backends.coreml import MLProgram, describe, read_interface
from tests.fuzz.damage import damaged, damaged_file, damaged_json
from tests.fuzz.drawing import Draw, overwrite
from tests.fuzz.values import any_value, ascii_of, near

_IDS = np.zeros((1, 77), np.float32)


@cache
def _program(path: Path) -> MLProgram:
    return MLProgram(path, threads=1)


def _read(draw: Draw, path: Path) -> str | None:
    """Look at a package, open it, and run it."""
    look = draw.choice(("describe", "interface", "run", "run"))
    draw.note(look)
    if look == "describe":
        describe(path)
        return None
    if look == "interface":
        read_interface(path)
        return None
    with MLProgram(path, threads=1, precision=draw.choice(("float32", "float32", "float16"))) as program, np.errstate(all="ignore"):
        outputs = program.predict({"input_ids": _IDS})
    return None if all(isinstance(value, np.ndarray) for value in outputs.values()) else "no arrays"


def package(draw: Draw) -> str | None:
    """A package: its manifest, its program, its weights."""
    path = draw.copy_of(draw.materials.package)
    kind = draw.choice(("manifest", "program", "program", "program", "weights"))
    draw.note(kind)
    if kind == "manifest":
        file = path / "Manifest.json"
        if draw.chance(0.2):
            damaged_file(draw, file)
        else:
            overwrite(file, damaged_json(draw, json.loads(file.read_text()))[0])
    else:
        file = next(path.rglob("*.mlmodel" if kind == "program" else "weight.bin"))
        damaged_file(draw, file, head=draw.choice((200, 2_000, 10**6)))
    return _read(draw, path)


def compiled(draw: Draw) -> str | None:
    """A compiled package: the text of its program, its weights."""
    path = draw.copy_of(draw.materials.compiled)
    if draw.chance(0.75):
        file = path / "model.mil"
        if draw.chance(0.5):
            overwrite(file, _edited(draw, file.read_text()).encode("utf-8", "surrogatepass"))
        else:
            damaged_file(draw, file, head=20_000)
    else:
        damaged_file(draw, draw.choice(sorted(file for file in path.rglob("*") if file.is_file())))
    return _read(draw, path)


def _edited(draw: Draw, text: str) -> str:
    """Replace a word of a program by another, or by something that no program says."""
    words = text.split(" ")
    for _ in range(draw.choice((1, 1, 2, 3))):
        at = draw.randrange(len(words))
        hostile = (
            "",
            "(" * 2_000,
            "[" * 2_000,
            "tensor<fp32, [99999999999]>",
            "-1",
            "1e999",
            '"\x1b[31m"',
            "list<" * 500,
            "9" * 5_000,
            "fp16",
            "}",
        )
        words[at] = draw.choice(words) if draw.chance(0.5) else draw.choice(hostile)
        draw.note(f"word {at} = {words[at][:30]}")
    return " ".join(words)


def model_file(draw: Draw) -> str | None:
    """A protobuf by itself."""
    source = next(draw.materials.package.rglob("*.mlmodel"))
    file = draw.place / "model.mlmodel"
    data = source.read_bytes()
    if draw.chance(0.15):
        file.write_bytes(data)
        damaged_file(draw, file)
    else:
        file.write_bytes(damaged(draw, data, draw.choice((64, 5_000, 10**6))))
    describe(file)
    return None


def folder(draw: Draw) -> str | None:
    """A folder of packages: its sidecars, and the configurations that a caller passes."""
    path = draw.copy_of(draw.materials.core_ml)
    options: dict[str, Any] = {}
    kind = draw.choice(("scheduler_config.json", "sdrt.json", "vocab.json", "merges.txt", "config", "option", "tokenizer", "packages"))
    draw.note(kind)
    file = path / kind
    if kind == "sdrt.json":
        made = {
            "num_inference_steps": 3,
            "guidance_scale": 2.0,
            "height": 64,
            "width": 64,
            "coreml": {"configs": {"unet": {"in_channels": 4}}},
        }
        file.write_bytes(damaged_json(draw, made)[0])
    elif kind == "scheduler_config.json":
        overwrite(file, damaged_json(draw, json.loads(file.read_text()))[0])
    elif kind in ("vocab.json", "merges.txt"):
        damaged_file(draw, file, head=10**6)
    elif kind == "config":
        good: dict[str, Any] = {"scheduler": {"_class_name": "DDIMScheduler"}, "unet": {"in_channels": 4}, "vae": {"scaling_factor": 0.2}}
        key = draw.choice(list(good))
        options["config"] = {**good, key: any_value(draw)} if draw.chance(0.5) else any_value(draw)
        draw.note(ascii_of(options["config"]))
    elif kind == "tokenizer":
        options["tokenizer"] = draw.choice((draw.materials.nano, draw.materials.nano / "tokenizer", draw.place, any_value(draw)))
    elif kind == "packages":
        damaged_file(draw, draw.choice(sorted(file for file in path.rglob("*") if file.is_file())), head=2_000)
    else:
        name = draw.choice(("precision", "compute_units", "fuse", "keep_weights", "unknown", "threads", "reduce_memory", "variant"))
        options[name] = any_value(draw)
        draw.note(f"{name} = {ascii_of(options[name])}")
    with sdrt.load(path, "coreml", **{"threads": 1, **options}) as pipe:
        pipe.resolve("a", seed=1, num_inference_steps=1)
        if draw.chance(0.3):
            pipe.generate("a", seed=1, num_inference_steps=1)
    return None


def executor(draw: Draw) -> str | None:
    """Options and inputs of a sound program."""
    path = draw.materials.package
    good: dict[str, Any] = {"precision": "float32", "function": None, "threads": 1, "keep_weights": None, "fuse": True}
    if draw.chance(0.4):
        name = draw.choice(list(good))
        value = near(draw, good[name]) if draw.chance(0.3) else any_value(draw)
        draw.note(f"{name} = {ascii_of(value)}")
        MLProgram(path, **{"threads": 1, name: value}).close()
        return None
    program = _program(path)
    arrays = (
        _IDS[0],
        _IDS.astype(object),
        _IDS[:, :5],
        np.full_like(_IDS, np.nan),
        np.full_like(_IDS, 1e9),
        np.full_like(_IDS, -1),
        _IDS.astype("U3"),
    )
    given: Any = draw.choice(arrays) if draw.chance(0.5) else any_value(draw)
    inputs: Any = {"input_ids": given} if draw.chance(0.7) else {draw.choice(("x", "\x1b[31m", 3)): given} if draw.chance(0.5) else given
    draw.note(ascii_of(inputs))
    with np.errstate(all="ignore"):
        outputs = program.predict(inputs)
    return None if all(isinstance(value, np.ndarray) for value in outputs.values()) else "no arrays"


GENERATORS = {
    "coreml-package": package,
    "coreml-compiled": compiled,
    "coreml-model": model_file,
    "coreml-folder": folder,
    "coreml-executor": executor,
}
