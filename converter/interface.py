"""Inputs and outputs of a package: names, shapes, dtypes and what they are for.

Names, order, shapes and dtypes are those of apple/ml-stable-diffusion at e12202c, which its Swift package and the apps built on it ask for;
``timestep_cond`` is ours.
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
        The first is the one that is traced; others are allowed besides. Outputs say none: theirs follow.
    dtype : "float16" or "float32"
    text : str
        What it is, for the package's description.
    """

    name: str
    shapes: tuple[Shape, ...] = ()
    dtype: Precision = "float32"
    text: str = ""

    @property
    def shape(self) -> Shape:
        """The shape that is traced."""
        return self.shapes[0]

    @property
    def flexible(self) -> bool:
        """Whether more than one shape is allowed."""
        return len(self.shapes) > 1


def fixed(name: str, shape: Sequence[int], dtype: Precision, text: str) -> Tensor:
    """An input of one shape."""
    return Tensor(name=name, shapes=(tuple(shape),), dtype=dtype, text=text)


def residual_name(index: int) -> str:
    """A ControlNet's outputs and a U-Net's inputs go by these names."""
    return f"additional_residual_{index}"
