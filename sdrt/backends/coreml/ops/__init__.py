"""Operations of ML Programs, one file a family; importing this fills the table in `registry`."""

from sdrt.backends.coreml.ops import (
    activation,
    compressed,
    convolution,
    creation,
    elementwise,
    indexing,
    linear,
    normalisation,
    pooling,
    reduction,
    resizing,
    shaping,
    slicing,
)
from sdrt.backends.coreml.ops.registry import OPERATIONS, Operator

__all__ = [
    "OPERATIONS",
    "Operator",
    "activation",
    "compressed",
    "convolution",
    "creation",
    "elementwise",
    "indexing",
    "linear",
    "normalisation",
    "pooling",
    "reduction",
    "resizing",
    "shaping",
    "slicing",
]
