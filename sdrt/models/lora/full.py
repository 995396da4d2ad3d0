"""Full deltas: the difference of two models, tensor by tensor, for weights, biases and norms."""

from dataclasses import dataclass

from sdrt.arrays import Float
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.models.lora.factors import Factors

__all__ = ["FullDelta", "full_delta"]


@dataclass(frozen=True, eq=False)
class FullDelta:
    """The change itself, as large as the tensor; alpha does not scale it.

    Parameters
    ----------
    factors : Factors
    name : str
        Which of them is the change.
    """

    factors: Factors
    name: str

    def __call__(self, weight: Float, functions: Functions = PLATFORM) -> Float:  # noqa: ARG002
        return self.factors.read(self.name, weight.dtype).reshape(weight.shape)


def full_delta(factors: Factors, name: str) -> FullDelta:
    """Check a full delta, and return what it adds.

    Raises
    ------
    ModelError : it is of another shape
    """
    factors.check(_squeezed(factors.shape_of(name)) == _squeezed(factors.shape))
    return FullDelta(factors, name)


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape
