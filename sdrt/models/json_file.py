"""A JSON object from a file."""

import json
from pathlib import Path
from typing import Any

from sdrt.errors import MissingFileError, ModelError
from sdrt.limits import DEFAULT_LIMITS, Limits

__all__ = ["read_json"]


def read_json(file: Path, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """Read the object that a file holds.

    Raises
    ------
    MissingFileError : it is not there
    ModelError : it is not a JSON object, or is larger than ``limits.json_bytes``
    """
    try:
        limits.check("json_bytes", f"{file}: the bytes of a JSON file", file.stat().st_size, ModelError)
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(f"{file}: not found; the model folder is incomplete") from error
    except ModelError:
        raise
    except (ValueError, OSError) as error:
        raise ModelError(f"{file}: not readable as JSON ({error}); fetch it again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file}: must hold a JSON object, got a {type(content).__name__}; fetch it again")
    return content
