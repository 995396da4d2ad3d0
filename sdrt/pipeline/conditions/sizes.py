"""SDXL's micro-conditions: the sizes that its U-Net is told, so that small or cropped training pictures do not show in what it draws.

Source: Podell et al. 2023 (arXiv:2307.01952), section 2.2; diffusers 0.42.1 ``_get_add_time_ids`` of both SDXL pipelines.
"""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError

__all__ = ["Sizes"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """All pairs are (height, width) or (top, left), in pixels."""

    original_size: tuple[int, int]  # of the picture before it was scaled
    crops_coords_top_left: tuple[int, int] = (0, 0)  # (0, 0): the subject is centred
    target_size: tuple[int, int]
    aesthetic_score: float = 6.0  # the refiner alone is told this, in place of the target size
    negative_aesthetic_score: float = 2.5  # of the negative prompt's rows

    def time_ids(self, count: int, *, guided: bool) -> F64:
        """Return one row for the negative prompt, if there is guidance, and one for the prompt.

        Parameters
        ----------
        count : 6 or 5
            How many numbers the U-Net takes: 6 for a base model, 5 for a refiner.

        Returns
        -------
        f64[1 or 2, count]
        """
        start: list[float] = [*self.original_size, *self.crops_coords_top_left]
        if count == 6:
            rows = [[*start, *self.target_size]] * (2 if guided else 1)
        elif count == 5:
            scores = [self.negative_aesthetic_score, self.aesthetic_score] if guided else [self.aesthetic_score]
            rows = [[*start, score] for score in scores]
        else:
            raise ConfigError(f"a U-Net of SDXL takes 6 numbers about sizes, its refiner 5; this one takes {count}")
        return np.array(rows, np.float64)
