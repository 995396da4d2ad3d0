"""Attention that a converter wrote in pieces: softmax(q k^T) v, and the same head by head on [n, channels, 1, length]."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.linear import fast_attention, matmul
from sdrt.backends.coreml.patterns.graph import Graph, equal_numbers, first, sizes
from sdrt.backends.coreml.step import Run
from sdrt.backends.numpy.attention import attend
from sdrt.models.mlpackage.mil import Argument, Operation

__all__ = ["AttentionStep", "HeadStep", "HeadsStep", "fuse_attentions", "fuse_heads"]


@dataclass(frozen=True)
class AttentionStep:
    """softmax(scale q k^T) v over the last two axes.

    Parameters
    ----------
    operation : Operation
        The last product.
    q, k, v : str
    scale : float
    turned : four bool
        Whether q, k, v and the result are stored as [..., d, length].
    """

    operation: Operation
    q: str
    k: str
    v: str
    scale: float
    turned: tuple[bool, bool, bool, bool]

    def names(self) -> list[str]:
        return [self.q, self.k, self.v]

    def compute(self, run: Run) -> tuple[Array, ...]:
        q, k, v = (_turn(run.get(name), turned) for name, turned in zip(self.names(), self.turned, strict=False))
        if q.shape[:-2] == k.shape[:-2] == v.shape[:-2] and q.shape[-1] == v.shape[-1] and q.ndim > 2:
            # the kernel scales by 1 / sqrt(d) itself
            factor = self.scale * q.shape[-1] ** 0.5
            out = fast_attention(run.team, q if abs(factor - 1.0) < 1e-7 else q * np.float32(factor), k, v)
        else:
            scores = matmul(run.team, q, k, transpose_y=True) * np.float32(self.scale)
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            out = matmul(run.team, scores / scores.sum(axis=-1, keepdims=True), v)
        return (_turn(out, self.turned[3]),)


@dataclass(frozen=True)
class HeadStep:
    """Attention of one head: q float[n, d, 1, queries], k float[n, keys, 1, d], v float[n, d, 1, keys] -> float[n, d, 1, queries]."""

    operation: Operation
    q: str
    k: str
    v: str
    scale: float

    def names(self) -> list[str]:
        return [self.q, self.k, self.v]

    def compute(self, run: Run) -> tuple[Array, ...]:
        return (_attend_heads(run, self.q, self.k, self.v, 1, self.scale),)


@dataclass(frozen=True)
class HeadsStep:
    """All heads of an attention at once: as `HeadStep` with the heads side by side."""

    operation: Operation
    q: str
    k: str
    v: str
    scale: float
    heads: int

    def names(self) -> list[str]:
        return [self.q, self.k, self.v]

    def compute(self, run: Run) -> tuple[Array, ...]:
        return (_attend_heads(run, self.q, self.k, self.v, self.heads, self.scale),)


def _attend_heads(run: Run, q: str, k: str, v: str, heads: int, scale: float) -> Array:
    query, key, value = run.get(q)[:, :, 0].swapaxes(1, 2), run.get(k)[:, :, 0], run.get(v)[:, :, 0].swapaxes(1, 2)
    factor = scale * (query.shape[2] // heads) ** 0.5
    query = query if abs(factor - 1.0) < 1e-7 else query * np.float32(factor)
    q_last, k_last, v_last = (part if part.strides[2] == part.itemsize else np.ascontiguousarray(part) for part in (query, key, value))
    out = attend(run.team, q_last, k_last, v_last, heads)
    return out.swapaxes(1, 2)[:, :, None]


def fuse_attentions(graph: Graph) -> None:
    """Replace every softmax between two matrix products."""
    for step in graph.each("softmax"):
        fused = graph.attempt(_match, step.operation)
        if fused is not None:
            graph.replace(*fused)


def _match(graph: Graph, softmax: Operation) -> tuple[list[Operation], AttentionStep] | None:
    rank = len(sizes(softmax))
    axis = graph.scalar(first(softmax, "axis"))
    if rank < 3 or axis not in (None, -1.0, rank - 1.0):
        return None
    members, scale, scores = _scaled(graph, softmax)
    product = graph.operation(scores, "matmul")
    last = graph.sole(softmax.name, "matmul")
    if product is None or last is None or graph.user(product.name) is None:
        return None
    left, right = _flag(graph, product, "transpose_x"), _flag(graph, product, "transpose_y")
    after_left, after_right = _flag(graph, last, "transpose_x"), _flag(graph, last, "transpose_y")
    q, k = first(product, "x"), first(product, "y")
    if first(last, "x") == softmax.name and not after_left:
        v, turned = first(last, "y"), (left, not right, after_right, False)
    elif first(last, "y") == softmax.name and after_right:
        v, turned = first(last, "x"), (left, not right, not after_left, True)
    else:
        return None
    if not (isinstance(q, str) and isinstance(k, str) and isinstance(v, str)) or v == softmax.name:
        return None
    return [product, *members, softmax, last], AttentionStep(last, q, k, v, scale, turned)


def _scaled(graph: Graph, softmax: Operation) -> tuple[list[Operation], float, Argument | None]:
    """Find the factor of the scores, and the product before it."""
    scores = first(softmax, "x")
    times = graph.operation(scores, "mul")
    if times is None or graph.user(times.name) is None:
        return [], 1.0, scores
    for one, other in (("x", "y"), ("y", "x")):
        if (scale := graph.scalar(first(times, one))) is not None:
            return [times], scale, first(times, other)
    return [], 1.0, scores


def fuse_heads(graph: Graph) -> None:
    """Replace attention that is written head by head, then a head's runs of queries, then all heads that are put side by side."""
    heads: dict[str, HeadStep] = {}
    for step in graph.each("softmax"):
        fused = graph.attempt(_match_head, step.operation)
        if fused is not None:
            graph.replace(*fused)
            heads[fused[1].operation.name] = fused[1]
    for step in graph.each("concat"):
        whole = graph.attempt(lambda graph, operation: _match_runs(graph, operation, heads), step.operation)
        if whole is not None:
            graph.replace(*whole)
            heads[whole[1].operation.name] = whole[1]
    for step in graph.each("concat"):
        joined = graph.attempt(lambda graph, operation: _match_heads(graph, operation, heads), step.operation)
        if joined is not None:
            graph.replace(*joined)


def _match_head(graph: Graph, softmax: Operation) -> tuple[list[Operation], HeadStep] | None:
    """Scores float[n, keys, 1, queries] from (k, q), softmax over keys, then (v, scores)."""
    shape, axis = sizes(softmax), graph.scalar(first(softmax, "axis"))
    if len(shape) != 4 or shape[2] != 1 or axis not in (1.0, -3.0):
        return None
    members, scale, scores = _scaled(graph, softmax)
    product, last = graph.operation(scores, "einsum"), graph.sole(softmax.name, "einsum")
    if product is None or last is None or graph.user(product.name) is None:
        return None
    (k, q), (v, weights) = product.inputs["values"], last.inputs["values"]
    if weights != softmax.name or not (isinstance(q, str) and isinstance(k, str) and isinstance(v, str)):
        return None
    return [product, *members, softmax, last], HeadStep(last, q, k, v, scale)


def _match_runs(graph: Graph, concat: Operation, heads: dict[str, HeadStep]) -> tuple[list[Operation], HeadStep] | None:
    """One head whose queries were cut in runs, put together again."""
    steps = _joined(graph, concat, heads, (3.0, -1.0))
    if steps is None or len({(step.k, step.v, step.scale) for step in steps}) != 1:
        return None
    q = _whole(graph, [step.q for step in steps], 3)
    if q is None:
        return None
    return [*(step.operation for step in steps), concat], HeadStep(concat, q, steps[0].k, steps[0].v, steps[0].scale)


def _match_heads(graph: Graph, concat: Operation, heads: dict[str, HeadStep]) -> tuple[list[Operation], HeadsStep] | None:
    steps = _joined(graph, concat, heads, (1.0, -3.0))
    if steps is None or len({step.scale for step in steps}) != 1:
        return None
    q, v = (_whole(graph, [getattr(step, name) for step in steps], 1, equal=True) for name in ("q", "v"))
    k = _whole(graph, [step.k for step in steps], 3, equal=True)
    if q is None or k is None or v is None:
        return None
    return [*(step.operation for step in steps), concat], HeadsStep(concat, q, k, v, steps[0].scale, len(steps))


def _joined(graph: Graph, concat: Operation, heads: dict[str, HeadStep], axes: tuple[float, float]) -> list[HeadStep] | None:
    """Find the heads that are put one after another along an axis and used for nothing else; None if there is anything else."""
    parts = [heads.get(name) if isinstance(name, str) else None for name in concat.inputs["values"]]
    steps = [part for part in parts if part is not None and graph.maker(part.operation.name) is part]
    if len(steps) < 2 or len(steps) != len(parts) or graph.scalar(first(concat, "axis")) not in axes:
        return None
    return None if any(graph.user(step.operation.name) is None for step in steps) else steps


def _whole(graph: Graph, names: list[str], axis: int, *, equal: bool = False) -> str | None:
    """Find the array whose parts along an axis these are, one after another and nothing else; None unless they are equally wide."""
    cuts = [cut for cut in (graph.operation(name, "slice_by_index") for name in names) if cut is not None]
    sources = {first(cut, "x") for cut in cuts}
    if len(cuts) != len(names) or len(sources) != 1:
        return None
    source = sources.pop()
    maker = graph.maker(source)
    whole = sizes(maker.operation) if maker is not None and len(maker.operation.outputs) == 1 else ()
    widths = [width for cut in cuts if len(sizes(cut)) == 4 and (width := sizes(cut)[axis]) is not None]
    if not isinstance(source, str) or len(whole) != 4 or len(widths) != len(cuts) or sum(widths) != whole[axis]:
        return None
    if equal and len(set(widths)) != 1:
        return None
    if [sizes(cut) for cut in cuts] != [(*whole[:axis], width, *whole[axis + 1 :]) for width in widths]:
        return None
    starts = [sum(widths[:index]) for index in range(len(widths))]
    return source if all(_begins(graph, cut, axis, start) for cut, start in zip(cuts, starts, strict=True)) else None


def _begins(graph: Graph, cut: Operation, axis: int, start: int) -> bool:
    """Whether a slice starts there, in steps of 1, and at 0 along every other axis."""
    begin, mask = graph.small(first(cut, "begin")), graph.small(first(cut, "begin_mask"))
    stride = graph.small(first(cut, "stride"))
    if begin is None or begin.shape != (4,) or (stride is not None and not equal_numbers(stride, [1] * 4)):
        return False
    starts = [0 if mask is not None and mask[index] else int(begin[index]) for index in range(4)]
    return starts == [start if index == axis else 0 for index in range(4)]


def _flag(graph: Graph, operation: Operation, name: str) -> bool:
    value = graph.small(first(operation, name))
    return value is not None and bool(value)


def _turn(x: Array, turned: bool) -> Array:
    return x.swapaxes(-1, -2) if turned else x
