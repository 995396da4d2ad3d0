"""The JSON form of a record: its format versions, and reading it from a picture."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdrt.errors import ConfigError, ImageError
from sdrt.images.text import read_text
from sdrt.json_text import parse_json
from sdrt.printable import shown
from sdrt.records.kinds import STREAM_KINDS
from sdrt.records.since import drawn_otherwise
from sdrt.values import Flag, Integer, read_values

__all__ = ["FORMAT", "from_json_values", "read_record", "to_json_values", "upgraded"]

# 1: sdrt 0.1.0. 2: guidance_batching was cfg, no_norm was "no norm"; scheduler_options, vae_tiling and weights are new.
# 3: "chunk" filled shorter prompts up as "pad" does; seeds could be negative; safety_checker is new.
FORMAT = 3

# What the record of one picture has beside the settings of its call, see `sdrt.records.text_chunks`.
_OF_ONE_PICTURE = {"image": Integer(minimum=0), "flagged": Flag()}

# The conditions that only an SDXL refiner reads.
_OF_REFINERS = ("aesthetic_score", "negative_aesthetic_score", "refiner_start")


def upgraded(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record in the current format, whichever format it has.

    Raises
    ------
    ConfigError : not a mapping, or a format that only a newer sdrt reads
    """
    if not isinstance(record, Mapping):
        raise ConfigError(f"a record must be a mapping, got {type(record).__name__}; pass the result of Settings.to_dict")
    fields = dict(record)
    version = fields.pop("format", 1)
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise ConfigError(f"a record's format must be 1 to {FORMAT}, got {shown(version)}; update sdrt to read it")
    read_values("a record's ", fields, _OF_ONE_PICTURE, "take a whole record")
    for name in _OF_ONE_PICTURE:
        fields.pop(name, None)
    if version < 2:
        fields = _second_format(fields)
    return _third_format(fields) if version < 3 else fields


def _second_format(fields: dict[str, Any]) -> dict[str, Any]:
    if "cfg" in fields:
        fields["guidance_batching"] = fields.pop("cfg")
    if _text(fields, "emphasis") == "no norm":
        fields["emphasis"] = "no_norm"
    streams = fields.get("shared_streams")
    states = read_values("a record's ", streams, STREAM_KINDS, "take a whole record") if isinstance(streams, Mapping) else {}
    if len(states) == 2 and states["rng"] == states["sampler_rng"]:
        # one object was passed twice: the scheduler's noise continues after that of the latents
        fields |= {"shared_streams": {"rng": states["rng"]}, "sampler_rng": None}
    return fields


def _third_format(fields: dict[str, Any]) -> dict[str, Any]:
    if (since := drawn_otherwise(fields)) and isinstance(remarks := fields.get("remarks", {}), Mapping):
        fields["remarks"] = {**remarks, **since}
    if _text(fields, "long_prompts") == "chunk":
        fields["long_prompts"] = "pad"
    shared = fields.get("shared_streams")
    for name, stream in (("seed", _text(fields, "rng")), ("sampler_seed", _text(fields, "sampler_rng") or _text(fields, "rng"))):
        seed = fields.get(name)
        if isinstance(seed, int) and seed < 0 and not (isinstance(shared, Mapping) and len(shared)):
            # the seed of at least 0 that starts the same stream: those of torch read 32 bits of it, and nv 64
            fields[name] = seed % (2**64 if stream == "nv" else 2**32)
    conditions, weights = fields.get("conditions"), fields.get("weights")
    if isinstance(conditions, Mapping) and isinstance(weights, Mapping) and "text_encoder" in weights and "refiner.unet" not in weights:
        # a base model alone ignored them, and now refuses them; a refiner alone has no first text encoder
        fields["conditions"] = {name: value for name, value in conditions.items() if name not in _OF_REFINERS}
    return fields


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    """Return a field that is a text: the others are not compared, since a caller's class may make anything of that."""
    value = fields.get(name)
    return value if isinstance(value, str) else None


def to_json_values(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping with infinities and NaN as text, because JSON has neither."""
    return {key: str(value) if isinstance(value, float) and not math.isfinite(value) else value for key, value in mapping.items()}


def from_json_values(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Undo :func:`to_json_values`.

    >>> from_json_values(to_json_values({"sigma_max": float("inf"), "beta_schedule": "linear"}))
    {'sigma_max': inf, 'beta_schedule': 'linear'}
    """
    return {key: float(value) if isinstance(value, str) and value in ("inf", "-inf", "nan") else value for key, value in mapping.items()}


def read_record(file: Path) -> dict[str, Any]:
    """Return the record inside a PNG, JPEG or WebP, in its original format.

    Raises
    ------
    ImageError : the file is none of these, has no record, or has a damaged one
    """
    text = read_text(file)
    if "sdrt" not in text:
        raise ImageError(f"{file}: must hold a record of sdrt, got none; pass the original file, since some tools drop a picture's text")
    damaged = f"{file}: its record must be JSON, got a damaged one"
    record = parse_json(text["sdrt"], damaged, "take another copy of the picture", ImageError)
    if not isinstance(record, dict):
        raise ImageError(f"{file}: its record must be a JSON object, got {type(record).__name__}; take another copy of the picture")
    return record
