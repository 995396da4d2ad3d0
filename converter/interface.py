"""The inputs and outputs of a package: names, shapes, dtypes and meanings.

Names, order, shapes and dtypes are those of apple/ml-stable-diffusion at e12202c, which its Swift package and apps built on it require;
``timestep_cond`` is sdrt's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from converter.options import Precision

__all__ = ["Tensor", "fixed", "residual_name"]

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One input or output of a package.

    Parameters
    ----------
    name : str
    shapes : tuple of shapes
        The first is traced; the others are allowed too. Outputs have none: theirs follow from the inputs'.
    dtype : "float16" or "float32"
    text : str
        The meaning, for the package's description.
    """

    name: str
    shapes: tuple[Shape, ...] = ()
    dtype: Precision = "float32"
    text: str = ""

    @property
    def shape(self) -> Shape:
        """The shape used for tracing."""
        return self.shapes[0]

    @property
    def flexible(self) -> bool:
        """Whether more than one shape is allowed."""
        return len(self.shapes) > 1


def fixed(name: str, shape: Sequence[int], dtype: Precision, text: str) -> Tensor:
    """Describe an input of one shape."""
    return Tensor(name=name, shapes=(tuple(shape),), dtype=dtype, text=text)


def residual_name(index: int) -> str:
    """Return the name of a ControlNet's output, and of the U-Net's input that takes it."""
    return f"additional_residual_{index}"
