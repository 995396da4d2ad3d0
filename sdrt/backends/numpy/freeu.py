"""FreeU: scale half of the backbone's channels, and the lowest frequencies of a skip connection, where the two meet.

diffusers 0.42.1 ``fourier_filter`` scales a box of 2x2 of the shifted spectrum: in each direction the mean and one wave to the side of the
negative frequencies. The picture is real, so its part in that box is a sum of seven waves at most, each found by an inner product.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sdrt.arrays import Float
from sdrt.backends.numpy.arithmetic import Arithmetic
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.freeu import FreeU

__all__ = ["FreeUStage", "freeu_stages"]


@dataclass(frozen=True)
class FreeUStage:
    """What FreeU does in one stage of the way up.

    Parameters
    ----------
    backbone : float
        Factor of the first half of the channels that come from below.
    skip : float
        Factor of the lowest frequencies that come from the way down.
    """

    backbone: float
    skip: float

    def __call__(self, team: ThreadTeam, x: Float, skip: Float) -> Float:
        """float[n, h, w, c] from below and float[n, h, w, d] from the way down -> both side by side, float[n, h, w, c + d]."""
        channels = x.shape[3]
        joined = np.concatenate([x, skip], axis=3)
        joined[..., : channels // 2] *= x.dtype.type(self.backbone)
        joined[..., channels:] += x.dtype.type(self.skip - 1.0) * low_frequencies(team, skip)
        return joined


def freeu_stages(freeu: FreeU | None) -> tuple[FreeUStage, ...]:
    """Return what FreeU does in the stages of the way up, from the first."""
    return () if freeu is None else (FreeUStage(freeu.b1, freeu.s1), FreeUStage(freeu.b2, freeu.s2))


def low_frequencies(team: ThreadTeam, x: Float) -> Float:
    """Return the part of pictures float[n, h, w, c] that FreeU scales: of the same shape."""
    n, height, width, channels = x.shape
    arithmetic, scratch, waves = team.arithmetic, team.scratch, _waves(height, width, x.dtype, team.arithmetic)
    inverse = np.ascontiguousarray(waves.T) / x.dtype.type(height * width)
    low = np.empty((n, height * width, channels), x.dtype)
    amplitudes = np.empty((len(waves), channels), x.dtype)
    for picture, out in zip(x.reshape(low.shape), low, strict=True):
        arithmetic.multiply(waves, arithmetic.pack(picture), amplitudes, scratch)
        arithmetic.multiply(inverse, arithmetic.pack(amplitudes), out, scratch)
    return low.reshape(x.shape)


@lru_cache(maxsize=16)
def _waves(height: int, width: int, dtype: np.dtype[np.floating], arithmetic: Arithmetic) -> Float:
    """float[waves, height * width]: the mean, and cosine and sine of one wave down, across, and both."""
    down, across = (np.arange(size) * (2.0 * np.pi / size) for size in (height, width))
    rows: list[Float] = []
    for vertical in (0, 1)[:height]:
        for horizontal in (0, 1)[:width]:
            angles = (vertical * down[:, None] + horizontal * across).ravel()
            rows += [arithmetic.cos(angles), arithmetic.sin(angles)] if vertical or horizontal else [np.ones_like(angles)]
    waves: Float = np.array(rows).astype(dtype)
    waves.flags.writeable = False
    return waves
