"""What one layer of a LoRA adds to one tensor, whatever its kind."""

from typing import Protocol

from sdrt.arrays import Float
from sdrt.exact.mathematics import Functions

__all__ = ["Delta"]


class Delta(Protocol):
    """Compute the change of a tensor at strength 1, alpha included: W' = W + strength * delta(W).

    Its file is read when it is called, not when it is made.
    """

    def __call__(self, weight: Float, functions: Functions = ...) -> Float:
        """Return the change, of the shape and dtype of ``weight``, which is float32 or float64 and stays as it is.

        Parameters
        ----------
        functions : Functions
            That products and sums are computed with.
        """
        ...
