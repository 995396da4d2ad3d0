"""Inputs that a U-Net takes beside text and sample, for each sample of a batch: pictures that it looks at, features that it adds."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from sdrt.arrays import Array
from sdrt.guidance import Call, Row

__all__ = ["Addition"]


class Addition(Protocol):
    """Further inputs of the U-Net, by sample; a sample is its kind of row and the index of its image."""

    def fixed(self, samples: Sequence[tuple[Row, int]], dtype: np.dtype[np.floating]) -> Mapping[str, Array]:
        """Return the inputs that stay as they are during the run: they are bound once."""

    def varying(self, samples: Sequence[tuple[Row, int]], call: Call, dtype: np.dtype[np.floating]) -> Mapping[str, Array]:
        """Return the inputs of one call."""
