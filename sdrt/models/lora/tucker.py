"""Tucker's form of a convolution in LyCORIS: a core over the kernel, and a matrix each for the outputs and inputs.

Source: LyCORIS, ``functional/general.py::rebuild_tucker``.
"""

from sdrt.arrays import Float
from sdrt.exact.mathematics import Functions

__all__ = ["fits_tucker", "tucker_product"]


def tucker_product(core: Float, a: Float, b: Float, functions: Functions) -> Float:
    """Return f[out, in, kh, kw] of a core f[r, s, kh, kw], a f[r, out] and b f[s, in]."""
    partial = functions.tensordot(b, core, axes=(0, 1))  # [in, r, kh, kw]
    product: Float = functions.tensordot(a, partial, axes=(0, 1))
    return product


def fits_tucker(core: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Return whether factors of these shapes have a product."""
    return len(core) == 4 and len(a) == len(b) == 2 and core[:2] == (a[0], b[0])
