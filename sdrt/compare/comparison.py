"""The result of a comparison, as JSON, as a table and as a page."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from sdrt.compare.findings import Departure, Findings
from sdrt.compare.html import write_page
from sdrt.compare.table import table, verdict

__all__ = ["FORMAT", "Comparison", "Departure"]

# The number that grows when a reader of an older one would misread the JSON.
FORMAT = 1


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(Findings):
    """What is different between two runs, and where they part.

    Parameters
    ----------
    a, b : SideRecord
        The first is the baseline: errors are relative to it.
    settings : mapping
        Of a's run.
    tolerances : Tolerances
    equal : bool
        Whether latents and pictures are the same numbers, at each step.
    first_departure : Departure or None
        Where the error is beyond the tolerance first, in the order of the run.
    inputs : tuple of InputRow
    steps : tuple of StepRow
    networks : tuple of CallRow
        Calls of networks, and steps of the scheduler, in the order of the run.
    layers : tuple of LayerRow
        Those out of line, and those with the largest errors.
    truth : tuple of TruthRow
    pixels : tuple of PixelRow
    pictures : tuple of pairs of u8[H,W,3]
        Of a and of b.
    """

    def to_json(self) -> dict[str, Any]:
        """Return everything but the pictures as values of JSON, see ``docs/compare.md``; what is infinite is None."""
        names = [each.name for each in fields(self) if each.name != "pictures"]
        record = {name: _json(getattr(self, name)) for name in names}
        record["truth"] = [each | {"nearer": row.nearer} for each, row in zip(record["truth"], self.truth, strict=True)]
        record["layers"] = [each | {"departs": row.departs} for each, row in zip(record["layers"], self.layers, strict=True)]
        return {"format": "sdrt comparison", "version": FORMAT, **record, "psnr": _json(self.psnr)}

    def to_html(self, file: str | Path) -> Path:
        """Write one page that opens without a network: plots, both pictures, their difference, the settings.

        Returns
        -------
        Path
            The file, which replaces one of its name.

        Raises
        ------
        ConfigError : the file cannot be written
        """
        return write_page(self, file)

    def __repr__(self) -> str:
        return f"Comparison({self.a.name!r}, {self.b.name!r}: {verdict(self)})"

    def __str__(self) -> str:
        return table(self)


def _json(value: Any) -> Any:
    """Return a record as values of JSON."""
    if is_dataclass(value):
        return {each.name: _json(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _json(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_json(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    return json.loads(json.dumps(value, default=str))
