"""Weight files: safetensors, checkpoints in one file, VAE files, LoRA, embeddings, pickles."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

import sdrt
from sdrt.models import open_component, open_model, read_embedding
from tests.fuzz.damage import damaged, damaged_file, damaged_json
from tests.fuzz.drawing import Draw, overwrite
from tests.fuzz.materials import read_header, with_header
from tests.fuzz.values import any_value, ascii_of

_DTYPES = ("F32", "F16", "BF16", "F64", "I64", "I32", "I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F4", "", "f32", "x" * 300)
_NAMES = ("", "\x1b[31m", "x" * 3_000, "a\nb", "\ud800", "model.diffusion_model.", "__metadata__", "conv.weight")


class Executed:
    """Runs when it is unpickled, which must never be."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def changed_header(draw: Draw, header: dict[str, Any]) -> bytes:
    """Return the header with one to three entries changed."""
    header = dict(header)
    names = [name for name in header if name != "__metadata__"]
    for name in draw.some(names, 3):
        entry = json.loads(json.dumps(header[name]))
        change = draw.choice(("drop", "rename", "dtype", "shape", "offsets", "copy", "metadata", "any", "squeeze"))
        if change == "drop":
            del header[name]
        elif change == "rename":
            header[draw.choice((*_NAMES, f"{name}.weight", f"module.{name}", name[:-1], name.replace("attn", "to")))] = header.pop(name)
        elif change == "dtype":
            header[name] = {**entry, "dtype": draw.choice(_DTYPES)}
        elif change == "shape":
            sizes = list(entry["shape"])
            shapes: tuple[Any, ...] = (
                [*sizes, 1],
                sizes[::-1],
                [2**40],
                [-1],
                [],
                [0],
                [2**63, 2],
                [1.5],
                ["1"],
                None,
                [*sizes[:-1], 2 * (sizes or [1])[-1]],
            )
            header[name] = {**entry, "shape": draw.choice(shapes)}
        elif change == "squeeze":
            header[name] = {**entry, "shape": [int(np.prod(entry["shape"]))]}
        elif change == "offsets":
            begin, end = entry["data_offsets"]
            places: tuple[Any, ...] = (
                [end, begin],
                [begin, end + 4],
                [0, 2**63],
                [-1, end],
                [begin],
                [],
                None,
                ["0", "1"],
                [begin, begin],
                [2**64, 2**65],
            )
            header[name] = {**entry, "data_offsets": draw.choice(places)}
        elif change == "copy":
            header[draw.choice((*_NAMES, f"{name}_2"))] = entry
        elif change == "metadata":
            header["__metadata__"] = draw.choice(({"a": 1}, [], "x", {"a": "b" * 5_000}, {"ss_network_alpha": "nan"}, None))
        else:
            return damaged_json(draw, header)[0]
        draw.note(f"{change} {name}")
    return json.dumps(header).encode()


_SIZES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2}


def _laid_out(header: dict[str, Any]) -> dict[str, Any]:
    """Return the header with offsets that fit its shapes, so that the file is whole whatever else it is."""
    at, laid = 0, {}
    for name, entry in header.items():
        laid[name] = entry
        if name != "__metadata__":
            size = _SIZES.get(entry["dtype"], 1) * int(np.prod(entry["shape"]))
            laid[name] = {**entry, "data_offsets": [at, at + size]}
            at += size
    return laid


def _renamed(draw: Draw, header: dict[str, Any]) -> dict[str, Any]:
    """Return a sound header of which some tensors have other names, shapes or dtypes, are gone, or are there twice."""
    header = dict(header)
    for name in draw.some([name for name in header if name != "__metadata__"], 4):
        if name not in header:
            continue
        change = draw.choice(("drop", "rename", "dtype", "shape", "copy", "prefix"))
        draw.note(f"{change} {name}")
        if change == "prefix":
            cut = name.split(".")[0]
            other = draw.choice(("module", "_orig_mod", f"{cut}.{cut}"))
            header = {key.replace(cut, other): value for key, value in header.items()}
            continue
        entry = header.pop(name)
        if change == "drop":
            continue
        if change == "copy":
            header |= {name: entry, f"{name}_2": entry, name.replace("0", "9"): entry}
        else:
            sizes = entry["shape"]
            shapes = ([*sizes, 1], sizes[::-1], [0], [int(np.prod(sizes))], [2 * size for size in sizes], sizes[:-1], [1])
            new = draw.choice((*_NAMES[:4], f"{name}.weight", name.replace("attn", "to"), name[:-1])) if change == "rename" else name
            kept = {"dtype": draw.choice(tuple(_SIZES)) if change == "dtype" else entry["dtype"]}
            header[new] = {**entry, **kept, "shape": draw.choice(shapes) if change == "shape" else sizes}
    return _laid_out(header)


def _hollow(file: Path, header: bytes, size: int) -> Path:
    """Write a file whose numbers are all zero and take no place on the disk."""
    overwrite(file, struct.pack("<Q", len(header)) + header)
    with file.open("r+b") as stream:
        stream.truncate(8 + len(header) + size)
    return file


def safetensors(draw: Draw) -> str | None:
    """A component's weights, damaged in the header or as a file."""
    folder = draw.copy_of(draw.materials.nano)
    file = folder / draw.choice(("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"))
    if draw.chance(0.5):
        damaged_file(draw, file, head=2_048)
    else:
        _rewritten(draw, file)
    with sdrt.load(folder, threads=1) as pipe:
        pipe.generate("a", seed=1, num_inference_steps=1, height=64, width=64)
    return None


def _checkpoint(draw: Draw, source: Path, name: str) -> Path:
    header = read_header(source)
    file = draw.place / name
    if draw.chance(0.2):
        return _hollow(file, damaged(draw, json.dumps(header).encode(), 10**6), source.stat().st_size)
    if draw.chance(0.6):
        header = _renamed(draw, header)
        return _hollow(file, json.dumps(header).encode(), _end(header))
    changed = changed_header(draw, header)
    if draw.chance(0.25):
        kept = {key: value for key, value in header.items() if draw.chance(0.5) or draw.choice(("unet", "first", "cond")) not in key}
        draw.note(f"{len(kept)} of {len(header)} tensors")
        header = _laid_out(kept)
        changed = json.dumps(header).encode()
    return _hollow(file, changed, _end(header))


def _end(header: dict[str, Any]) -> int:
    return max((each["data_offsets"][1] for key, each in header.items() if key != "__metadata__"), default=0)


def _rewritten(draw: Draw, file: Path) -> None:
    """Write a weight file anew with a header that is changed, sound or not."""
    header, data = read_header(file), file.read_bytes()
    numbers = data[8 + struct.unpack("<Q", data[:8])[0] :]
    if draw.chance(0.6):
        header = _renamed(draw, header)
        numbers = (numbers * 3)[: _end(header)].ljust(_end(header), b"\0")
        return overwrite(file, with_header(json.dumps(header).encode(), numbers))
    return overwrite(file, with_header(changed_header(draw, header), numbers))


def single_file(draw: Draw) -> str | None:
    """A checkpoint with the original names, its configurations, its tensors and its networks."""
    model = open_model(_checkpoint(draw, draw.materials.checkpoint, "model.safetensors"))
    from sdrt.backends import BackendOptions, registry

    for component in model.components:
        model.config(component)
        if component != "text_encoder":
            registry.get("numpy").open(component, model, BackendOptions(threads=1, low_memory=True)).close()
    return None


def component_file(draw: Draw) -> str | None:
    """A VAE in one file."""
    source = draw.choice((draw.materials.vae_file, draw.materials.vae_file, draw.materials.lora, draw.materials.embedding))
    factor: Any = None if draw.chance(0.8) else any_value(draw)
    opened = open_component(_checkpoint(draw, source, "vae.safetensors"), "vae_decoder", scaling_factor=factor)
    opened.config("vae_decoder")
    _ = len(opened.tensors("vae_decoder"))
    wrong = factor is not None and not isinstance(factor, int | float | np.number)
    return f"scaling_factor: {ascii_of(factor)}" if wrong else None


def lora(draw: Draw) -> str | None:
    """A LoRA matched with a model, and merged into it."""
    from sdrt.models.lora import AppliedLora, open_lora, with_loras

    file = draw.copy_of(draw.materials.lora)
    if draw.chance(0.3):
        damaged_file(draw, file)
    else:
        _rewritten(draw, file)
    strength: Any = 1.0 if draw.chance(0.7) else any_value(draw)
    model = open_model(draw.materials.sd1)
    applied = AppliedLora(open_lora(file, model), strength)
    merged = with_loras(model, [applied])
    for component, deltas in applied.lora.deltas.items():
        for name in deltas:
            _ = merged.tensors(component)[name]
    return None if isinstance(strength, int | float | np.number) else f"strength: {ascii_of(strength)}"


def embedding(draw: Draw) -> str | None:
    """A textual inversion, and the pipeline that has it."""
    file = draw.copy_of(draw.materials.embedding)
    data = file.read_bytes()
    if draw.chance(0.3):
        damaged_file(draw, file)
    elif draw.chance(0.5):
        _rewritten(draw, file)
    elif draw.chance(0.5):
        at = len(data) - 4 * draw.randint(1, 20)
        overwrite(file, data[:at] + struct.pack("<f", draw.choice((np.nan, np.inf, -np.inf))) + data[at + 4 :])
        draw.note("not finite")
    token: Any = None if draw.chance(0.5) else any_value(draw)
    draw.note(f"token = {ascii_of(token)}")
    found = read_embedding(file, token)
    if not np.isfinite(found.vectors).all():
        return "vectors that are not finite"
    with sdrt.load(draw.materials.nano, threads=1, embeddings=[found]) as pipe:
        pipe.resolve(f"a {found.token} toy", seed=1)
    return None if token is None or isinstance(token, str) else f"token: {ascii_of(token)}"


def pickles(draw: Draw) -> str | None:
    """Pickles, which are refused or read without being run, under any name."""
    import pickle

    mark = draw.place / "executed"
    content = draw.choice(("bomb", "damaged", "tensors"))
    draw.note(content)
    data = pickle.dumps({"a": Executed(mark)}) if content == "bomb" else draw.materials.pickle.read_bytes()
    if content == "damaged":
        data = damaged(draw, data, 10**5)
    file = draw.place / draw.choice(("model.ckpt", "model.pt", "model.bin", "model.pth", "model.safetensors", "model"))
    file.write_bytes(data)
    draw.note(file.name)
    pickled: Any = draw.choice(("refuse", "weights_only", "weights_only"))
    try:
        if draw.chance(0.5):
            open_model(file, pickled=pickled)
        else:
            open_component(file, "vae_decoder", pickled=pickled)
    finally:
        if mark.exists():
            raise AssertionError("a pickle was run")
    return "a pickle passes for a model"


GENERATORS = {
    "safetensors": safetensors,
    "single-file": single_file,
    "component-file": component_file,
    "lora": lora,
    "embedding": embedding,
    "pickle": pickles,
}
