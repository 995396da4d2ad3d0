"""The texts of a picture that was enlarged: its record draws the picture before that, and says so."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["UPSCALED", "Enlargement", "upscaled_texts"]

# The topic of the remark.
UPSCALED = "upscaled"
_END = ", after it was drawn; the record draws the picture before that"


@dataclass(frozen=True, kw_only=True)
class Enlargement:
    """How a picture was enlarged.

    Parameters
    ----------
    upscaler : str
        Its name.
    fingerprint : str
        Of its weights; empty where it has none.
    before, after : (width, height)
    """

    upscaler: str
    fingerprint: str
    before: tuple[int, int]
    after: tuple[int, int]

    def remark(self, earlier: str = "") -> str:
        """Return one sentence for the record, behind what was done to the picture earlier."""
        weights = f" ({self.fingerprint})" if self.fingerprint else ""
        before = f"{earlier.removesuffix(_END)}, then " if earlier else ""
        return f"{before}from {_size(self.before)} to {_size(self.after)} by {self.upscaler}{weights}{_END}"


def upscaled_texts(text: Mapping[str, str], enlargement: Enlargement) -> dict[str, str]:
    """Return the texts for the enlarged picture.

    Parameters
    ----------
    text : mapping
        Those of the picture before. Of them are kept ``sdrt``, with a remark on what was done since, and ``parameters``.
    enlargement : Enlargement

    Returns
    -------
    dict
        Also ``postprocessing``, where AUTOMATIC1111's web UI says the same; which PNG alone can hold.

    Source: stable-diffusion-webui 1.10.1 ``scripts/postprocessing_upscale.py``, for the words of ``postprocessing``.
    """
    kept = {key: text[key] for key in ("parameters",) if key in text}
    if (record := _record(text.get("sdrt"))) is not None:
        remarks = record.get("remarks")
        remarks = dict(remarks) if isinstance(remarks, dict) else {}
        remarks[UPSCALED] = enlargement.remark(str(remarks.get(UPSCALED, "")))
        kept["sdrt"] = json.dumps(record | {"remarks": remarks}, ensure_ascii=False, sort_keys=True)
    return kept | {"postprocessing": f"Postprocess upscale to: {_size(enlargement.after)}, Postprocess upscaler: {enlargement.upscaler}"}


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _record(text: str | None) -> dict[str, Any] | None:
    """Return a record as JSON has it; None where there is none, or a damaged one."""
    try:
        record = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
