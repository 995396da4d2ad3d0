"""A JSON object from a file."""

from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.files import exists, read_text
from sdrt.json_text import parse_json
from sdrt.limits import DEFAULT_LIMITS, Limits

__all__ = ["read_json", "read_json_if_there"]


def read_json(file: Path, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """Read the object that a file holds.

    Raises
    ------
    MissingFileError : it is not there
    ModelError : it is not a JSON object, or is larger than ``limits.json_bytes``
    """
    content = parse_json(read_text(file, limits, "json_bytes"), str(file))
    if not isinstance(content, dict):
        raise ModelError(f"{file}: must hold a JSON object, got a {type(content).__name__}; fetch it again")
    return content


def read_json_if_there(file: Path, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """Read the object that a file holds; nothing is an empty one.

    Raises
    ------
    ModelError : as of `read_json`
    """
    return read_json(file, limits) if exists(file) else {}
