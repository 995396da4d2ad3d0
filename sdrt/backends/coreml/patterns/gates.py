"""Gated and sigmoid activations that stand in pieces: x sigmoid(x), x sigmoid(1.702 x), and a linear layer gated by GELU."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.activation import gelu, silu
from sdrt.backends.coreml.ops.arguments import text
from sdrt.backends.coreml.ops.convolution import nhwc
from sdrt.backends.coreml.patterns.graph import Graph, first, sizes
from sdrt.backends.coreml.patterns.products import Conv1x1Step, LinearStep
from sdrt.backends.coreml.step import Run
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.transformer import FeedForward
from sdrt.models.mlpackage.mil import Operation

__all__ = ["FeedForwardStep", "SigmoidGateStep", "fuse_feed_forwards", "fuse_sigmoid_gates"]

_QUICK = 1.702  # quick GELU's slope; float16 makes it 1.7021484375


@dataclass(frozen=True)
class SigmoidGateStep:
    """X sigmoid(slope x), slope 1 or 1.702."""

    operation: Operation
    x: str
    quick: bool

    def names(self) -> list[str]:
        return [self.x]

    def compute(self, run: Run) -> tuple[Array, ...]:
        x = run.get(self.x)
        return (gelu(run.team, x, "SIGMOID_APPROXIMATION") if self.quick else silu(run.team, x),)


@dataclass(frozen=True)
class FeedForwardStep:
    """A linear layer whose outputs' first half is gated by GELU of the second, then another, plus a residual.

    Both layers are linear over the last axis, or both are convolutions of single pixels over axis 1.
    """

    operation: Operation
    inner: LinearStep | Conv1x1Step
    outer: LinearStep | Conv1x1Step
    residual: str

    def names(self) -> list[str]:
        constants = (self.inner.weight, self.inner.bias, self.outer.weight, self.outer.bias)
        return [self.inner.x, self.residual, *(name for name in constants if name is not None)]

    def compute(self, run: Run) -> tuple[Array, ...]:
        kernel = FeedForward(_linear(run, self.inner), _linear(run, self.outer))
        x, residual = run.get(self.inner.x), run.get(self.residual)
        if isinstance(self.inner, Conv1x1Step):
            return (np.moveaxis(kernel(run.team, nhwc(x), nhwc(residual)), -1, 1),)
        return (kernel(run.team, np.ascontiguousarray(x), residual),)


def _linear(run: Run, step: LinearStep | Conv1x1Step) -> Linear:
    weight = run.get(step.weight)
    return Linear(weight.reshape(weight.shape[:2]).T, None if step.bias is None else run.get(step.bias))


def fuse_sigmoid_gates(graph: Graph) -> None:
    """Replace x sigmoid(x), and x sigmoid(1.702 x)."""
    for step in graph.each("sigmoid"):
        sigmoid = step.operation
        gate = graph.sole(sigmoid.name, "mul")
        if gate is None:
            continue
        x = first(gate, "y") if first(gate, "x") == sigmoid.name else first(gate, "x")
        inner = first(sigmoid, "x")
        if isinstance(x, str) and inner == x:
            graph.replace([sigmoid, gate], SigmoidGateStep(gate, x, quick=False))
            continue
        times = graph.operation(inner, "mul")
        if times is None or not isinstance(x, str) or graph.user(times.name) is None:
            continue
        slope = graph.scalar(first(times, "y")) if first(times, "x") == x else graph.scalar(first(times, "x"))
        # exactly the kernel's slope: float16's 1.7021 moves GELU by up to 1e-5 of x
        if slope is not None and abs(slope - _QUICK) < 1e-6 and x in (first(times, "x"), first(times, "y")):
            graph.replace([times, sigmoid, gate], SigmoidGateStep(gate, x, quick=True))


def fuse_feed_forwards(graph: Graph) -> None:
    """Replace diffusers' GEGLU feed-forward: layer, split, gelu, product, layer, residual. Runs after products are replaced."""
    for step in graph.each("gelu"):
        fused = graph.attempt(_feed_forward, step.operation)
        if fused is not None:
            graph.replace(*fused)


def _feed_forward(graph: Graph, activation: Operation) -> tuple[list[Operation], FeedForwardStep] | None:
    gate = first(activation, "x")
    halves = graph.operation(gate, "split")
    product = graph.sole(activation.name, "mul")
    mode = graph.small(first(activation, "mode"))
    if halves is None or product is None or (mode is not None and text(mode) != "EXACT") or len(halves.outputs) != 2:
        return None
    inner, outer = graph.maker(first(halves, "x")), graph.user(product.name)
    value = halves.outputs[0].name
    factors = {first(product, "x"), first(product, "y")}
    if not isinstance(inner, LinearStep | Conv1x1Step) or not isinstance(outer, LinearStep | Conv1x1Step):
        return None
    width, whole = sizes(activation), sizes(inner.operation)
    if type(inner) is not type(outer) or factors != {value, activation.name} or len(width) != len(whole) or len(width) < 2:
        return None
    place = 1 if isinstance(inner, Conv1x1Step) else len(width) - 1
    half = width[place]
    even = half is not None and whole[place] == 2 * half and sizes(halves) == width
    along = graph.scalar(first(halves, "axis")) in (place, place - len(width))
    private = [graph.user(name) is not None for name in (inner.operation.name, value, activation.name, product.name)]
    if gate != halves.outputs[1].name or not even or not along or not all(private) or graph.user(str(gate)) is None:
        return None
    if inner.residual is not None or outer.residual is None or outer.x != product.name or outer.residual == product.name:
        return None
    members = [inner.operation, halves, activation, product, outer.operation]
    return members, FeedForwardStep(outer.operation, inner, outer, outer.residual)
