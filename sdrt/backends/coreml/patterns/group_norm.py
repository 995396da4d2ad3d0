"""Group normalisation as torch's converter writes it: nine operations and a batch normalisation of constants."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.convolution import nhwc
from sdrt.backends.coreml.patterns.graph import Graph, equal_numbers, first, sizes
from sdrt.backends.coreml.step import Run
from sdrt.backends.numpy.norm import GroupNorm
from sdrt.models.mlpackage.mil import Operation

__all__ = ["GroupNormStep", "fuse_group_norms"]

_LARGEST_EPSILON = 1e-2


@dataclass(frozen=True)
class GroupNormStep:
    """float[n, channels, ...] normalised over groups of channels.

    Parameters
    ----------
    operation : Operation
        The last of the pieces.
    x : str
    kernel : GroupNorm
    """

    operation: Operation
    x: str
    kernel: GroupNorm

    def names(self) -> list[str]:
        return [self.x]

    def compute(self, run: Run) -> tuple[Array, ...]:
        last = nhwc(run.get(self.x))
        out = self.kernel(run.team, last.reshape(last.shape[0], 1, -1, last.shape[-1]) if last.ndim != 4 else last)
        return (np.moveaxis(out.reshape(last.shape), -1, 1),)


def fuse_group_norms(graph: Graph) -> None:
    """Replace every group normalisation."""
    for step in graph.each("real_div"):
        fused = graph.attempt(_match, step.operation)
        if fused is not None:
            graph.replace(*fused)


def _match(graph: Graph, divide: Operation) -> tuple[list[Operation], GroupNormStep] | None:
    """(x - mean) / sqrt(mean of squares + eps), in groups, back in channels, then scale and shift."""
    apart, root = graph.operation(first(divide, "x"), "sub"), graph.operation(first(divide, "y"), "sqrt")
    summed = graph.operation(first(root, "x"), "add") if root else None
    variance = graph.operation(first(summed, "x"), "reduce_mean") if summed else None
    square = graph.operation(first(variance, "x"), "square") if variance else None
    mean = graph.operation(first(apart, "y"), "reduce_mean") if apart else None
    grouped = graph.operation(first(apart, "x"), "reshape") if apart else None
    back = graph.sole(divide.name, "reshape")
    if not (apart and root and summed and variance and square and mean and grouped and back):
        return None
    if first(square, "x") != apart.name or first(mean, "x") != grouped.name:
        return None
    epsilon = graph.scalar(first(summed, "y"))
    shape, plain, source = sizes(grouped), sizes(back), first(grouped, "x")
    axes = range(2, len(shape))
    whole = all(_reduces(graph, reduction, axes) for reduction in (mean, variance))
    if epsilon is None or not 0 <= epsilon <= _LARGEST_EPSILON or not whole or len(plain) < 3 or not isinstance(source, str):
        return None
    groups, channels = shape[1], plain[1]
    fits = groups and channels and shape[2] == channels // groups and len(shape) == len(plain) + 1 and shape[3:] == plain[2:]
    members = [grouped, mean, apart, square, variance, summed, root, divide, back]
    if not fits or groups is None or channels is None or not _same_shape(graph, source, plain):
        return None
    if not all(graph.only_in(member.name, members) for member in members[:-1]):
        return None
    weight, bias, last = np.ones(channels, np.float32), np.zeros(channels, np.float32), back
    affine = graph.sole(back.name, "batch_norm")
    if affine is not None and (constants := _affine(graph, affine, channels)) is not None:
        (weight, bias), last = constants, affine
        members.append(affine)
    return members, GroupNormStep(last, source, GroupNorm(weight, bias, groups, epsilon))


def _reduces(graph: Graph, reduction: Operation, axes: range) -> bool:
    reduced = graph.small(first(reduction, "axes"))
    rank = axes.stop
    counted = None if reduced is None else np.sort(np.asarray(reduced).reshape(-1) % rank)
    keep = graph.small(first(reduction, "keep_dims"))
    return equal_numbers(counted, axes) and keep is not None and bool(keep)


def _same_shape(graph: Graph, source: str, shape: tuple[int | None, ...]) -> bool:
    maker = graph.maker(source)
    if maker is None:
        return False
    kind = next((output.type for output in maker.operation.outputs if output.name == source), None)
    return getattr(kind, "shape", None) == shape


def _affine(graph: Graph, norm: Operation, channels: int) -> tuple[Array, Array] | None:
    """Scale and shift that a batch normalisation of constants comes to, float32[channels] each."""
    parts = {name: graph.small(first(norm, name)) for name in ("mean", "variance", "gamma", "beta")}
    given = [part for name, part in parts.items() if first(norm, name) is not None]
    if any(part is None or part.shape != (channels,) for part in given) or parts["mean"] is None or parts["variance"] is None:
        return None
    epsilon = graph.scalar(first(norm, "epsilon"))
    scale = 1.0 / np.sqrt(parts["variance"].astype(np.float64) + (1e-5 if epsilon is None else epsilon))
    if parts["gamma"] is not None:
        scale *= parts["gamma"]
    shift = -parts["mean"] * scale + (0.0 if parts["beta"] is None else parts["beta"])
    return scale.astype(np.float32), shift.astype(np.float32)
