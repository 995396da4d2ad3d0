"""SDXL's micro-conditions: the sizes that its U-Net is told, so that small or cropped training pictures do not show in what it draws.

Source: Podell et al. 2023 (arXiv:2307.01952), section 2.2; diffusers 0.42.1 ``_get_add_time_ids`` of both SDXL pipelines.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.guidance import Row

__all__ = ["Sizes"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """All pairs are (height, width) or (top, left), in pixels."""

    original_size: tuple[int, int]  # of the picture before it was scaled
    crops_coords_top_left: tuple[int, int] = (0, 0)  # (0, 0): the subject is centred
    target_size: tuple[int, int]
    aesthetic_score: float = 6.0  # the refiner alone is told this, in place of the target size
    negative_aesthetic_score: float = 2.5  # of the negative prompt's rows

    def time_ids(self, count: int, rows: Sequence[Row]) -> F64:
        """Return the numbers of each row of the guidance, in its order.

        Parameters
        ----------
        count : 6 or 5
            How many numbers the U-Net takes: 6 for a base model, 5 for a refiner.
        rows : sequence of Row

        Returns
        -------
        f64[rows, count]
        """
        start: list[float] = [*self.original_size, *self.crops_coords_top_left]
        if count == 6:
            numbers = [[*start, *self.target_size] for _ in rows]
        elif count == 5:
            numbers = [[*start, self.negative_aesthetic_score if row == "negative" else self.aesthetic_score] for row in rows]
        else:
            raise ConfigError(f"a U-Net of SDXL takes 6 numbers about sizes, its refiner 5; this one takes {count}")
        return np.array(numbers, np.float64)
