"""SDXL's micro-conditions: sizes as inputs of its U-Net, so that small or cropped training pictures do not affect what it draws.

Source: Podell et al. 2023 (arXiv:2307.01952), section 2.2; diffusers 0.42.1 ``_get_add_time_ids`` of both SDXL pipelines.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F64

__all__ = ["MicroConditions"]


@dataclass(frozen=True, kw_only=True)
class MicroConditions:
    """The sizes and scores of one picture; pairs are (height, width) or (top, left), in pixels.

    Parameters
    ----------
    original_size : pair
        The size that the picture should look like it was resized from.
    crops_coords_top_left : pair
        Apparent crop offset; (0, 0) centres the subject.
    target_size : pair
        An input of the base model alone.
    aesthetic_score, negative_aesthetic_score : float
        Inputs of the refiner alone: for the prompt's rows, and for those of the negative prompt.
    """

    original_size: tuple[int, int]
    crops_coords_top_left: tuple[int, int] = (0, 0)
    target_size: tuple[int, int]
    aesthetic_score: float = 6.0
    negative_aesthetic_score: float = 2.5

    def base_time_ids(self, rows: Sequence[str]) -> F64:
        """Return the numbers for a base model: f64[r,6]."""
        numbers = (*self.original_size, *self.crops_coords_top_left, *self.target_size)
        return np.array([numbers for _ in rows], np.float64)

    def refiner_time_ids(self, rows: Sequence[str]) -> F64:
        """Return the numbers for a refiner: f64[r,5]."""
        scores = (self.negative_aesthetic_score if row == "negative" else self.aesthetic_score for row in rows)
        return np.array([(*self.original_size, *self.crops_coords_top_left, score) for score in scores], np.float64)
