"""An embedding that a caller makes is checked as one from a file is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.errors import SdrtError

GOOD: dict[str, Any] = {"token": "<cat>", "vectors": np.ones((2, 128), np.float32), "file": Path("cat.safetensors")}


def test_an_embedding_has_rows_of_numbers() -> None:
    assert sdrt.Embedding(**GOOD).vectors.shape == (2, 128)
    assert sdrt.Embedding(**{**GOOD, "file": "cat.safetensors"}).file == GOOD["file"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, value) for field in ("token", "file") for value in (3, None)),
        *(("vectors", value) for value in ([[1.0]], np.ones(3), np.ones((1, 3), np.int32), np.full((1, 3), np.nan), np.ones((0, 3)))),
    ],
)
def test_what_is_none_is_named(field: str, value: Any) -> None:
    with pytest.raises(SdrtError, match=field):
        sdrt.Embedding(**{**GOOD, field: value})
