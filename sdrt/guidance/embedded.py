"""Embedded guidance: the scale is an input of the U-Net, which was distilled from a guided one (LCM), so one row per image is enough.

Source: Meng et al. 2023 (arXiv:2210.03142); Luo et al. 2023 (arXiv:2310.04378), section 4.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.guidance.base import SCALE, Call, Guided, check_predictions
from sdrt.guidance.rows import Row
from sdrt.values import Integer

__all__ = ["EmbeddedGuidance", "guidance_embedding"]

# Below 4 the frequencies divide by zero; published models have 256.
_SIZE = Integer(minimum=4, maximum=65_536)


@dataclass(frozen=True)
class EmbeddedGuidance:
    """Pass the scale to the U-Net as an embedding.

    Parameters
    ----------
    scale : float
    size : int
        Length of the embedding: ``time_cond_proj_dim`` of the U-Net's configuration.
    functions : Functions
        That it is computed with.
    """

    rows: ClassVar[tuple[Row, ...]] = ("prompt",)

    scale: float
    size: int
    functions: Functions = PLATFORM

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", SCALE.check("guidance_scale", self.scale))
        object.__setattr__(self, "size", _SIZE.check("time_cond_proj_dim", self.size))

    @property
    def unet_inputs(self) -> Mapping[str, Array]:
        """The embedding, f64[1,size]."""
        return {"timestep_cond": guidance_embedding(self.scale, self.size, self.functions)}

    def __call__(self, predictions: Float, _call: Call, /) -> Guided:
        """Pass the predictions on, to which the U-Net has already applied the scale."""
        return Guided(check_predictions(predictions))


def guidance_embedding(guidance_scale: float, size: int, functions: Functions = PLATFORM) -> Float:
    """Return the sines and cosines that encode the scale for a guidance-distilled U-Net.

    Parameters
    ----------
    guidance_scale : float
    size : int
        ``time_cond_proj_dim`` of the U-Net's configuration.
    functions : Functions
        Exact ones take angles below a million, that is scales below 1000.

    Returns
    -------
    f64[1,size]; for an odd size the last column is zero

    Source: diffusers 0.42.1 ``get_guidance_scale_embedding`` with w = guidance_scale - 1, which computes it in float32.
    """
    guidance_scale, size = SCALE.check("guidance_scale", guidance_scale), _SIZE.check("time_cond_proj_dim", size)
    half = size // 2
    frequencies = functions.exp(np.arange(half) * (-functions.log(np.float64(10000.0)) / (half - 1)))
    angles = 1000.0 * (guidance_scale - 1) * frequencies
    return np.concatenate([functions.sin(angles), functions.cos(angles), np.zeros(size % 2)])[None]
