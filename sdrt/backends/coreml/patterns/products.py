"""Convolutions and linear layers with what belongs to them: a normalisation and SiLU before, additions after."""

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.arguments import text
from sdrt.backends.coreml.ops.convolution import conv3x3, is_plain3x3, nhwc, pack3x3
from sdrt.backends.coreml.ops.windows import Windows, windows_of
from sdrt.backends.coreml.patterns.graph import Graph, first, sizes
from sdrt.backends.coreml.patterns.group_norm import GroupNormStep
from sdrt.backends.coreml.step import Computation, Run
from sdrt.backends.numpy.conv import Conv3x3
from sdrt.backends.numpy.linear import Linear
from sdrt.models.mlpackage.mil import Operation

__all__ = ["Conv1x1Step", "Conv3x3Step", "LinearStep", "fuse_products"]

_WINOGRAD = 5  # a packed kernel's weights, and the four times as many numbers of its faster way


@dataclass(frozen=True)
class Conv3x3Step:
    """A convolution of 3x3 pixels with constant weights.

    Parameters
    ----------
    windows : Windows
        Only the padding and steps matter; the picture's size is taken when it runs.
    norm : GroupNormStep or None
        Normalises the input before a SiLU.
    shift : str or None
        float[n, out, 1, 1], added to every pixel of a picture.
    residual : str or None
        Of the result's shape.
    """

    operation: Operation
    x: str
    weight: str
    bias: str | None
    windows: Windows
    norm: GroupNormStep | None = None
    shift: str | None = None
    residual: str | None = None

    def names(self) -> list[str]:
        source = self.x if self.norm is None else self.norm.x
        return [source, *(name for name in (self.weight, self.bias, self.shift, self.residual) if name is not None)]

    def compute(self, run: Run) -> tuple[Array, ...]:
        def pack(weight: Array) -> tuple[Conv3x3, int]:
            offset = np.zeros(weight.shape[0], np.float32) if self.bias is None else run.get(self.bias)
            return Conv3x3(pack3x3(weight), offset), weight.size * 4 * _WINOGRAD

        kernel: Conv3x3 = run.constants.prepared(self.weight, "3x3", pack)
        shift = None if self.shift is None else run.get(self.shift).reshape(-1, kernel.bias.size)
        residual = None if self.residual is None else nhwc(run.get(self.residual))
        if self.norm is None:
            return (conv3x3(run.team, kernel, run.get(self.x), self.windows, shift, residual),)
        padded = self.norm.kernel.silu_padded(run.team, nhwc(run.get(self.norm.x)))
        return (kernel(run.team, padded, shift=shift, residual=residual).transpose(0, 3, 1, 2),)


@dataclass(frozen=True)
class Conv1x1Step:
    """A convolution of single pixels with constant weights: a matrix product over channels."""

    operation: Operation
    x: str
    weight: str
    bias: str | None
    residual: str | None = None

    def names(self) -> list[str]:
        return [self.x, *(name for name in (self.weight, self.bias, self.residual) if name is not None)]

    def compute(self, run: Run) -> tuple[Array, ...]:
        weight = run.get(self.weight)
        kernel = Linear(weight.reshape(weight.shape[:2]).T, None if self.bias is None else run.get(self.bias))
        residual = None if self.residual is None else nhwc(run.get(self.residual))
        return (np.moveaxis(kernel(run.team, nhwc(run.get(self.x)), residual), -1, 1),)


@dataclass(frozen=True)
class LinearStep:
    """A linear layer and an addition."""

    operation: Operation
    x: str
    weight: str
    bias: str | None
    residual: str | None = None

    def names(self) -> list[str]:
        return [self.x, *(name for name in (self.weight, self.bias, self.residual) if name is not None)]

    def compute(self, run: Run) -> tuple[Array, ...]:
        kernel = Linear(run.get(self.weight).T, None if self.bias is None else run.get(self.bias))
        return (kernel(run.team, run.get(self.x), None if self.residual is None else run.get(self.residual)),)


Product: TypeAlias = Conv3x3Step | Conv1x1Step | LinearStep


def fuse_products(graph: Graph) -> None:
    """Replace convolutions of one group and 1x1 or 3x3 pixels, and linear layers; take additions after them along."""
    for kind, match in (("conv", _conv), ("linear", _linear)):
        for step in graph.each(kind):
            fused = graph.attempt(match, step.operation)
            if fused is not None:
                members, product = fused
                graph.replace(members, product)
                _take_additions(graph, product)


def _linear(graph: Graph, operation: Operation) -> tuple[list[Operation], Product] | None:
    x, weight, bias = (first(operation, name) for name in ("x", "weight", "bias"))
    if not isinstance(x, str) or not isinstance(weight, str) or weight not in graph.constants:
        return None
    if bias is not None and (not isinstance(bias, str) or bias not in graph.constants):
        return None
    return [operation], LinearStep(operation, x, weight, bias)


def _conv(graph: Graph, operation: Operation) -> tuple[list[Operation], Product] | None:
    x, weight, bias = (first(operation, name) for name in ("x", "weight", "bias"))
    if not isinstance(x, str) or not isinstance(weight, str) or weight not in graph.constants:
        return None
    if bias is not None and (not isinstance(bias, str) or bias not in graph.constants):
        return None
    kernel = tuple(size or 0 for size in graph.constants.shape(weight))
    groups = graph.scalar(first(operation, "groups"))
    if len(kernel) != 4 or groups not in (None, 1.0):
        return None
    given = {name: graph.small(first(operation, name)) for name in ("strides", "pad_type", "pad", "dilations")}
    kind = "valid" if given["pad_type"] is None else text(given["pad_type"])
    # "same" depends on the size of the picture, which may be open
    if kind not in ("valid", "custom") or any(given[name] is None for name in given if first(operation, name) is not None):
        return None
    windows = windows_of(
        (2**20, 2**20), kernel[2:], strides=given["strides"], pad_type=kind, pad=given["pad"], dilations=given["dilations"]
    )
    if kernel[2:] == (1, 1) and windows.strides == (1, 1) and windows.pads == ((0, 0), (0, 0)):
        return [operation], Conv1x1Step(operation, x, weight, bias)
    if not is_plain3x3(windows):
        return None
    silu = graph.operation(x, "silu")
    norm = graph.maker(first(silu, "x")) if silu is not None and graph.user(silu.name) is not None else None
    plain = windows.pads == ((1, 1), (1, 1)) and windows.strides == (1, 1)
    if silu is None or not isinstance(norm, GroupNormStep) or not plain or graph.user(norm.operation.name) is None:
        return [operation], Conv3x3Step(operation, x, weight, bias, windows)
    return [norm.operation, silu, operation], Conv3x3Step(operation, x, weight, bias, windows, norm)


def _take_additions(graph: Graph, product: Product) -> None:
    """Up to two additions that follow: one number a picture and channel, and an array of the result's shape."""
    while (after := graph.sole(product.operation.name, "add")) is not None:
        own = product.operation.name
        other = first(after, "y") if first(after, "x") == own else first(after, "x")
        shape = sizes(after)
        if not isinstance(other, str) or other == own or other in graph.constants or shape != sizes(product.operation):
            return
        added = _shape_of(graph.maker(other), other)
        if added == shape and None not in shape and product.residual is None:
            taken: Product = replace(product, operation=after, residual=other)
        elif isinstance(product, Conv3x3Step) and product.shift is None and added == (*shape[:2], 1, 1) and None not in added:
            taken = replace(product, operation=after, shift=other)
        else:
            return
        graph.replace([product.operation, after], taken)
        product = taken


def _shape_of(maker: Computation | None, name: str) -> tuple[int | None, ...]:
    outputs = maker.operation.outputs if maker is not None else ()
    kind = next((output.type for output in outputs if output.name == name), None)
    return getattr(kind, "shape", ())
