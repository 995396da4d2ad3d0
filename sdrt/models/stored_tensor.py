"""One tensor as a file holds it, and the forms in which a component may ask for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from sdrt.arrays import Array
from sdrt.errors import WeightsError
from sdrt.models.float8 import FLOAT8, float8_table

__all__ = ["DTYPES", "FLOATS", "Form", "Place", "StoredTensor"]

# safetensors' dtype names. Some have no numpy dtype and are widened to float32 on access, exactly: BF16, its upper half, and the two of
# eight bits, by a table.
DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "F8_E4M3": "u1",
    "F8_E5M2": "u1",
    "BOOL": "?",
}

FLOATS = ("F16", "BF16", "F32", "F64", *FLOAT8)

# whole: as stored. transposed: a matrix whose writer multiplies from the other side. matrix: a convolution over one pixel, seen as the
# matrix that it is. query, key, value: a third of the rows of a projection that computes all three; first and second half: of two.
Form: TypeAlias = Literal["whole", "transposed", "matrix", "query", "key", "value", "first half", "second half"]

# Which of how many equal parts.
_PARTS: dict[Form, tuple[int, int]] = {"query": (0, 3), "key": (1, 3), "value": (2, 3), "first half": (0, 2), "second half": (1, 2)}


@dataclass(frozen=True)
class Place:
    """Where a stored tensor is found in a component, and in which form.

    Parameters
    ----------
    name : str
        The canonical name.
    form : Form
        Each form is a view of what is stored: none costs memory.
    """

    name: str
    form: Form = "whole"

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the shape in this form; None where the stored one cannot take it.

        >>> Place("q_proj.weight", "query").shape((2304, 768)), Place("text_projection.weight", "transposed").shape((3,))
        ((768, 768), None)
        """
        match self.form:
            case "whole":
                return stored
            case "transposed":
                return stored[::-1] if len(stored) == 2 else None
            case "matrix":
                return stored[:2] if len(stored) >= 2 and set(stored[2:]) <= {1} else None
            case _:
                _, count = _PARTS[self.form]
                return (stored[0] // count, *stored[1:]) if stored and stored[0] % count == 0 else None

    def of(self, x: Array) -> Array:
        """Return ``x`` in this form, as a view."""
        match self.form:
            case "whole":
                return x
            case "transposed":
                return x.T
            case "matrix":
                return x.reshape(x.shape[:2])
            case _:
                at, count = _PARTS[self.form]
                rows = len(x) // count
                return x[at * rows : (at + 1) * rows]


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor in a file.

    Parameters
    ----------
    file : Path
    name : str
        As the file has it.
    dtype : str
        safetensors' name of it, a key of ``DTYPES``.
    shape : tuple of int
    raw : callable
        Gives its bytes, u8[size in bytes], row-major and little-endian.
    scale : StoredTensor or None
        What its values are to be multiplied by.
    """

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    raw: Callable[[], Array]
    scale: "StoredTensor | None" = None

    def array(self) -> Array:
        """Return its values: a view of the file where its dtype is one of numpy's; bfloat16 and eight bits as float32.

        Raises
        ------
        WeightsError : its scale is none
        """
        flat: Array = np.frombuffer(self.raw(), dtype=DTYPES[self.dtype])
        if self.dtype == "BF16":
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        elif self.dtype in FLOAT8:
            flat = float8_table(self.dtype)[flat]
        array = flat.reshape(self.shape)
        return array if self.scale is None else _scaled(array, self.scale)


def _scaled(x: Array, scale: StoredTensor) -> Array:
    """Multiply a tensor by its scale: one number, or one for each row.

    Raises
    ------
    WeightsError : a scale of another shape or kind, or one that is not finite
    """
    values = scale.array()
    rows = np.squeeze(values).shape
    if values.dtype.kind != "f" or rows not in ((), x.shape[:1]) or not np.isfinite(values).all():
        raise WeightsError(
            f"{scale.file}: tensor {scale.name!r} must be a finite number, or one for each of {len(x)} rows, got {scale.dtype} of shape "
            f"{list(scale.shape)}; the file is damaged"
        )
    return np.asarray(x * values.astype(np.float32).reshape(rows + (1,) * (x.ndim - len(rows))))
