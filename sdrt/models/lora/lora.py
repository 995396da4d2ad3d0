"""LoRA and LoCon: a product of two thin matrices, or of two thin convolutions.

Source: Hu et al. 2021 (arXiv:2106.09685), equation 3; Yeh et al. 2023 (arXiv:2309.14859), section 3, for convolutions and Tucker's form.
"""

from dataclasses import dataclass

from sdrt.arrays import Float
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.models.lora.factors import Factors

__all__ = ["LoraDelta", "lora_delta"]


@dataclass(frozen=True, eq=False)
class LoraDelta:
    """scale * up @ down.

    Parameters
    ----------
    factors : Factors
        ``down`` f[r, in] or f[r, in, kh, kw], ``up`` f[out, r] or f[out, r, 1, 1]. With ``middle`` f[r, r, kh, kw], the core of Tucker's
        form, the two others are over one pixel.
    scale : float
    """

    factors: Factors
    scale: float

    def __call__(self, weight: Float, functions: Functions = PLATFORM) -> Float:
        down, up = self.factors.read("down", weight.dtype), self.factors.read("up", weight.dtype)
        up = up.reshape(up.shape[:2])
        if "middle" in self.factors:
            middle = self.factors.read("middle", weight.dtype)
            # sum over s of middle[r,s,k,l] down[s,i], as r rows of every kernel place and input
            down = functions.tensordot(middle, down.reshape(down.shape[:2]), axes=(1, 0)).transpose(0, 3, 1, 2)
        product: Float = functions.matmul(up, down.reshape(len(down), -1))
        product *= self.scale
        return product.reshape(weight.shape)


def lora_delta(factors: Factors) -> LoraDelta:
    """Check a layer of a LoRA, and return what it adds.

    Raises
    ------
    ModelError : a half is missing, of rank 0, or does not fit
    """
    factors.need({"down": "down", "up": "up"})
    rank = factors.rank("down", 0)
    down, up, shape = factors.shape_of("down"), factors.shape_of("up"), factors.shape
    middle = factors.shape_of("middle") if "middle" in factors else None
    kernel = (down if middle is None else middle)[2:]
    factors.check(
        min(len(down), len(up), len(shape)) >= 2
        and up[1] == rank
        and _is_pixel(up[2:])
        and (up[0], down[1]) == shape[:2]
        # a matrix and a convolution over one pixel are the same
        and (kernel == shape[2:] or (_is_pixel(kernel) and _is_pixel(shape[2:])))
        and (middle is None or (len(middle) == 4 and _is_pixel(down[2:]) and middle[:2] == (rank, rank)))
    )
    return LoraDelta(factors, factors.scale_of(rank))


def _is_pixel(kernel: tuple[int, ...]) -> bool:
    return all(side == 1 for side in kernel)
