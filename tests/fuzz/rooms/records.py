"""Records of pictures: from a mapping, from a PNG, and the options that they play back."""

import json
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

import sdrt
from sdrt.images.inputs import digest
from sdrt.images.png import read_text
from tests.fuzz.damage import damaged_file, damaged_json, dump
from tests.fuzz.drawing import Draw
from tests.fuzz.materials import Materials
from tests.fuzz.values import FLAG, MAPPING, NUMBER, TEXT, WHOLE, Declared, any_value, ascii_of, json_value, near, wrong_kinds

DECLARED: Mapping[str, Declared] = {
    **dict.fromkeys(("prompt", "negative_prompt", "scheduler", "compat", "rng", "sampler_rng", "model", "numerics", "version"), TEXT),
    **dict.fromkeys(("guidance_batching", "prompt_syntax", "long_prompts", "emphasis"), TEXT),
    **dict.fromkeys(("seed", "num_images", "num_inference_steps", "height", "width", "sampler_seed", "clip_skip", "format"), WHOLE),
    **dict.fromkeys(("guidance_scale", "guidance_rescale", "eta"), NUMBER),
    **dict.fromkeys(("conditions", "scheduler_config", "shared_streams", "embeddings", "backend", "remarks", "weights"), MAPPING),
    "vae_tiling": FLAG,
}


@cache
def _record(materials: Materials) -> str:
    return read_text(materials.record)["sdrt"]


def _hostile(draw: Draw, foreign: Callable[[Draw], Any] = any_value) -> tuple[Any, dict[str, Any]]:
    """A record with values of other kinds, and those at its top."""
    record = json.loads(_record(draw.materials))
    changed = {}
    for name in draw.some(list(record), 3):
        if draw.chance(0.1):
            del record[name]
            continue
        value = record[name]
        if isinstance(value, dict) and draw.chance(0.6):
            record[name] = {**value, draw.choice((*value, "extra", "\x1b[31m")): json_value(draw)}
        else:
            changed[name] = record[name] = (
                near(draw, value, foreign) if draw.chance(0.4) else json_value(draw) if draw.chance(0.7) else foreign(draw)
            )
        draw.note(f"{name} = {ascii_of(record[name])}")
    if draw.chance(0.1):
        record[draw.choice(("unknown", "", "\x1b[2J", "prompt\n"))] = 1
    return record, changed


def _play(draw: Draw, settings: sdrt.Settings) -> None:
    """Write a record, and read the options that it means."""
    json.dumps(settings.to_dict(), allow_nan=False)
    from sdrt.records import text_chunks

    text_chunks(settings, settings.seed)
    settings.options()


def from_dict(draw: Draw) -> str | None:
    """``Settings.from_dict``."""
    record, changed = _hostile(draw)
    if draw.chance(0.05):
        record = any_value(draw)
        draw.note(f"record = {ascii_of(record)}")
    settings = sdrt.Settings.from_dict(record)
    wrong = wrong_kinds(changed, DECLARED)
    if wrong is None:
        _play(draw, settings)
    return wrong


def played(draw: Draw) -> str | None:
    """A record whose options go to a pipeline."""
    from tests.fuzz.rooms.pipeline import fake_pipeline

    record, _ = _hostile(draw)
    options = sdrt.Settings.from_dict(record).options()
    settings = fake_pipeline().resolve(**options)
    return None if settings.prompt == record["prompt"] else "another prompt"


def options(draw: Draw) -> str | None:
    """``Settings.options`` with pictures and streams that the record does not name."""
    record = json.loads(_record(draw.materials))
    named = draw.choice(("image", "mask_image", "control_image", None))
    if named is not None:
        mark: Any = digest(named, np.zeros((4, 4, 3), np.uint8))
        record["conditions"] = {named: [mark] if named == "control_image" and draw.chance(0.5) else mark}
    settings = sdrt.Settings.from_dict(record)
    passed: dict[str, Any] = {}
    for name in draw.some(("image", "mask_image", "control_image", "rng", "sampler_rng"), 2):
        passed[name] = np.zeros((4, 4, 3), np.uint8) if draw.chance(0.2) else any_value(draw)
        draw.note(f"{name} = {ascii_of(passed[name])}")
    settings.options(**passed)
    accepted = [name for name, value in passed.items() if value is not None and name != named]
    return f"ignored: {accepted}" if accepted else None


def from_png(draw: Draw) -> str | None:
    """``Settings.from_png``: a damaged picture, or one with a hostile text in it."""
    file = draw.copy_of(draw.materials.record)
    if draw.chance(0.4):
        damaged_file(draw, file)
    else:
        write_record(draw, file)
    settings = sdrt.Settings.from_png(file)
    _play(draw, settings)
    return None


@cache
def _packed_blanks() -> bytes:
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(b" " * 2**20) for _ in range(1_100)) + packer.flush()


def write_record(draw: Draw, file: Any) -> None:
    """Put a hostile record into a picture."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    record = json.loads(_record(draw.materials))
    data = damaged_json(draw, record)[0] if draw.chance(0.5) else dump(_hostile(draw, json_value)[0])
    info = PngInfo()
    key = draw.choice(("sdrt", "sdrt", "sdrt", "parameters", "\xa0key", "prompt"))
    text = data.decode("utf-8", "replace")
    add = draw.choice((info.add_text, info.add_itxt))
    add(key, text if add == info.add_itxt else text.encode("latin-1", "replace").decode("latin-1"))
    if draw.chance(0.05):
        # a gigabyte of blanks in a megabyte
        draw.note("zTXt")
        info.add(b"zTXt", b"sdrt\0\0" + _packed_blanks())
    file.unlink()
    Image.new("RGB", (8, 8)).save(file, pnginfo=info)


GENERATORS = {"settings-dict": from_dict, "settings-played": played, "settings-options": options, "settings-png": from_png}
