"""The JSON form of a record: its format versions, and reading it from a PNG."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdrt.errors import ConfigError, ImageError
from sdrt.images.png import read_text

__all__ = ["FORMAT", "from_json_values", "read_png_record", "to_json_values", "upgraded"]

# 1: sdrt 0.1.0. 2: guidance_batching was cfg, no_norm was "no norm"; scheduler_options, vae_tiling and weights are new.
FORMAT = 2


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
    if version not in range(1, FORMAT + 1):
        raise ConfigError(f"a record's format must be 1 to {FORMAT}, got {version!r}; update sdrt to read it")
    if version == 1:
        if "cfg" in fields:
            fields["guidance_batching"] = fields.pop("cfg")
        if fields.get("emphasis") == "no norm":
            fields["emphasis"] = "no_norm"
        streams = fields.get("shared_streams")
        if isinstance(streams, Mapping) and len(streams) == 2 and streams["rng"] == streams["sampler_rng"]:
            # one object was passed twice: the scheduler's noise continues after that of the latents
            fields |= {"shared_streams": {"rng": streams["rng"]}, "sampler_rng": None}
    # the index of one image in its call, which text_chunks adds
    fields.pop("image", None)
    return fields


def to_json_values(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping with infinities and NaN as text, because JSON has neither."""
    return {key: str(value) if isinstance(value, float) and not math.isfinite(value) else value for key, value in mapping.items()}


def from_json_values(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Undo :func:`to_json_values`.

    >>> from_json_values(to_json_values({"sigma_max": float("inf"), "beta_schedule": "linear"}))
    {'sigma_max': inf, 'beta_schedule': 'linear'}
    """
    return {key: float(value) if value in ("inf", "-inf", "nan") else value for key, value in mapping.items()}


def read_png_record(file: Path) -> dict[str, Any]:
    """Return the record inside a PNG, in its original format.

    Raises
    ------
    ImageError : the file is not a PNG, has no record, or has a damaged one
    """
    text = read_text(file)
    if "sdrt" not in text:
        raise ImageError(f"{file}: must hold a record of sdrt, got none; pass the original file, since some tools drop a picture's text")
    try:
        record = json.loads(text["sdrt"])
    except ValueError as error:
        raise ImageError(f"{file}: its record must be JSON, got a damaged one ({error}); take another copy of the picture") from error
    if not isinstance(record, dict):
        raise ImageError(f"{file}: its record must be a JSON object, got {type(record).__name__}; take another copy of the picture")
    return record
