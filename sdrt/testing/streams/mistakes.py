"""Mistakes of noise streams, each as the numbers that a stream with it would draw."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import TypeVar

import numpy as np

from sdrt.arrays import F64, Array
from sdrt.rng import names
from sdrt.rng import stream as make_stream
from sdrt.rng.base import SeededStream
from sdrt.testing.explain import Hypothesis

__all__ = ["StreamCase", "hypotheses_of"]

T = TypeVar("T")

GROUP = 16  # values that torch draws together

_FEW = 512  # the largest draw that is made again value by value


@dataclass(frozen=True)
class StreamCase:
    """One draw."""

    name: str
    seed: int
    earlier: tuple[tuple[int, ...], ...]  # shapes drawn before from the same stream
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of values."""
        return int(np.prod(self.shape))

    def before(self) -> Iterator["StreamCase"]:
        """Yield the draws before this one."""
        return (StreamCase(self.name, self.seed, self.earlier[:k], shape) for k, shape in enumerate(self.earlier))

    def __str__(self) -> str:
        after = f", after draws of {', '.join(map(str, self.earlier))}" if self.earlier else ""
        return f"{self.name}, seed {self.seed}, shape {self.shape}{after}"


Predictor = Callable[[StreamCase], Array | None]


def hypotheses_of(
    name: str, drawn: Mapping[StreamCase, F64], case_of: Callable[[T], StreamCase], values_of: Callable[[T], F64], bound: float
) -> list[Hypothesis[T]]:
    """Return the hypotheses for a stream of this name, the most particular first.

    Parameters
    ----------
    drawn : mapping from case
        All that the port drew: some mistakes show between two draws only.
    case_of, values_of : functions
        The case of what a port drew, and the values.
    bound : float
        How far a value may lie from a prediction.
    """

    def predicting(kind: str, text: str, predict: Predictor) -> Hypothesis[T]:
        def predicts(drawn: T) -> bool | None:
            predicted = predict(case_of(drawn))
            return None if predicted is None else bool(np.abs(values_of(drawn) - predicted).max(initial=0) <= bound)

        return Hypothesis(kind, text, predicts)

    plain = [
        *(predicting(*each) for each in _OF_EVERY_STREAM),
        *(predicting(*each) for each in _OF_ONE.get(name, ())),
        *(
            predicting("another_generator", f"these are the numbers of the stream {other!r}", _of_stream(other))
            for other in names()
            if other != name
        ),
    ]

    def ignores_seed(each: T) -> bool:
        others = [c for c in drawn if (c.earlier, c.shape) == (case_of(each).earlier, case_of(each).shape) and c.seed != case_of(each).seed]
        return bool(others) and all(np.array_equal(drawn[c], values_of(each)) for c in others)

    def begins_anew(each: T) -> bool:
        case = case_of(each)
        first = drawn.get(StreamCase(case.name, case.seed, (), case.shape))
        return bool(case.earlier) and first is not None and np.array_equal(first, values_of(each))

    def stands_elsewhere(each: T) -> bool:
        """Whether the draws before were right: all that is known of a stream that lost its place."""
        return bool(case_of(each).earlier)

    def wrong_in_the_tail(each: T) -> bool:
        """Whether the values before the last 16 are right."""
        case, size = case_of(each), case_of(each).size
        if not name.startswith("torch") or size < GROUP or not size % GROUP:
            return False
        wanted = _original(case).normal(size)[:-GROUP]
        return bool(np.abs(values_of(each).ravel()[:-GROUP] - wanted).max(initial=0) <= bound)

    return [
        Hypothesis("seed_ignored", "every seed gives the same numbers", ignores_seed),
        Hypothesis("one_draw_for_all_images", "every image has the noise of the first", lambda each: _is_one_draw(values_of(each))),
        Hypothesis("draws_do_not_continue", "a further draw begins anew at the seed", begins_anew),
        *plain,
        Hypothesis("tail_of_draws_wrong", "all values are right but the last 16, which torch draws anew", wrong_in_the_tail),
        Hypothesis("draws_do_not_continue", "a further draw does not go on where the original's first one ended", stands_elsewhere),
    ]


def _original(case: StreamCase) -> SeededStream:
    """Return the original stream where the case's draw begins."""
    return _after(make_stream(case.name, case.seed), case)


def _after(stream: SeededStream, case: StreamCase) -> SeededStream:
    for shape in case.earlier:
        stream.normal(shape)
    return stream


def _is_one_draw(values: F64) -> bool:
    return values.ndim > 1 and values.shape[0] > 1 and values[0].size > 1 and bool((values == values[0]).all())


def _truncated_seed(case: StreamCase) -> Array | None:
    cut = case.seed & 0xFFFFFFFF
    return _after(make_stream(case.name, cut), case).normal(case.shape) if cut != case.seed else None


def _float64(case: StreamCase) -> Array:
    """Predict a stream that draws every number as float64."""
    stream = make_stream(case.name, case.seed)
    for shape in case.earlier:
        stream.normal(shape, "float64")
    return stream.normal(case.shape, "float64")


def _of_stream(name: str) -> Predictor:
    def predict(case: StreamCase) -> Array:
        low, high = type(make_stream(name, 0)).seed_range
        seed = case.seed if low <= case.seed <= high else case.seed & 0xFFFFFFFF
        return _after(make_stream(name, seed), case).normal(case.shape)

    return predict


def _other_axes(order: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Predictor:
    def predict(case: StreamCase) -> Array | None:
        axes = order(case.shape)
        if len(case.shape) < 2 or axes == tuple(range(len(axes))):
            return None
        drawn = _original(case).normal([case.shape[k] for k in axes])
        return drawn.transpose(np.argsort(axes))

    return predict


def _swapped_halves(case: StreamCase) -> Array:
    """Predict torch's draws with sine before cosine: 8 of each in a group of 16."""
    if case.size < GROUP:
        return _original(case).normal(case.shape)
    whole = case.size - case.size % GROUP
    values = np.empty(case.size, np.float32)
    values[:whole] = _swapped(_original(case).normal(whole), GROUP // 2)
    if whole != case.size:
        values[-GROUP:] = _swapped(_original(case).normal(case.size)[-GROUP:], GROUP // 2)
    return values.reshape(case.shape)


def _swapped_singles(case: StreamCase) -> Array | None:
    """Predict the numbers of small draws, and numpy's, with the two of a pair exchanged."""
    if case.earlier:
        return None
    pairs = _original(case).normal(case.size + case.size % 2)
    return _swapped(pairs, 1)[: case.size].reshape(case.shape)


def _swapped(values: Array, half: int) -> Array:
    """Exchange each pair of runs of this length."""
    return values.reshape(-1, 2, half)[:, ::-1].ravel()


def _swapped_rows(case: StreamCase) -> Array:
    """Predict a GPU's draws with cosine before sine: a thread has both from one pair of words, in two rows of the grid."""
    width = -(-case.size // 256) * 256
    stream = make_stream("nv", case.seed)
    _after(stream, case)
    grid = make_stream("nv", case.seed, threads=width)
    grid.restore({**stream.state, "options": {"threads": width}})
    rows = grid.normal(4 * width).reshape(2, 2, width)[:, ::-1]
    return rows.reshape(-1)[: case.size].reshape(case.shape)


def _small_as_large(case: StreamCase) -> Array | None:
    """Predict a small draw made of the group of 16 that a larger draw begins with."""
    return _original(case).normal(GROUP)[: case.size].reshape(case.shape) if case.size < GROUP else None


def _large_as_small(case: StreamCase) -> Array | None:
    """Predict a large draw made value by value, as small ones are."""
    if not GROUP <= case.size <= _FEW:
        return None
    stream = _original(case)
    return np.concatenate([stream.normal(1) for _ in range(case.size)]).reshape(case.shape)


def _whole_groups(case: StreamCase) -> Array | None:
    """Predict a draw that is filled up to whole groups and cut, without drawing the tail anew."""
    if case.size < GROUP or not case.size % GROUP:
        return None
    return _original(case).normal(-(-case.size // GROUP) * GROUP)[: case.size].reshape(case.shape)


def _reversed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(reversed(range(len(shape))))


def _channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the order of axes in which channels, the third from the end, come last."""
    axes = list(range(len(shape)))
    return (*axes[:-3], *axes[-2:], axes[-3]) if len(axes) > 2 else tuple(axes)


_EVERY_ORDER = tuple(permutations(range(4)))[1:]


def _nth_order(n: int) -> Callable[[tuple[int, ...]], tuple[int, ...]]:
    return lambda shape: _EVERY_ORDER[n] if len(shape) == len(_EVERY_ORDER[n]) else tuple(range(len(shape)))


_OF_EVERY_STREAM: tuple[tuple[str, str, Predictor], ...] = (
    ("seed_truncated", "seeds are cut to 32 bits", _truncated_seed),
    ("draws_of_float64", "float64 numbers are drawn and rounded", _float64),
    ("another_order_of_axes", "channels are drawn last", _other_axes(_channels_last)),
    ("another_order_of_axes", "axes are drawn in reversed order", _other_axes(_reversed)),
    *(
        ("another_order_of_axes", f"axes are drawn in the order {order}", _other_axes(_nth_order(n)))
        for n, order in enumerate(_EVERY_ORDER)
    ),
)

_OF_NUMPY: tuple[tuple[str, str, Predictor], ...] = (
    ("cos_and_sin_swapped", "the two numbers of each pair are exchanged", _swapped_singles),
)

_OF_NV: tuple[tuple[str, str, Predictor], ...] = (
    ("cos_and_sin_swapped", "the cosine and the sine of each pair are exchanged", _swapped_rows),
)

_OF_TORCH: tuple[tuple[str, str, Predictor], ...] = (
    ("cos_and_sin_swapped", "the cosines and the sines of each group of 16 are exchanged", _swapped_halves),
    ("cos_and_sin_swapped", "the cosine and the sine of each pair of a small draw are exchanged", _swapped_singles),
    ("small_draws_missing", "draws of fewer than 16 values are made as larger ones are", _small_as_large),
    ("large_draws_missing", "draws of 16 values and more are made value by value", _large_as_small),
    ("tail_of_draws_wrong", "the last values of a draw come of the next words, and are not 16 that are drawn anew", _whole_groups),
)

_OF_ONE: Mapping[str, tuple[tuple[str, str, Predictor], ...]] = {
    "torch": _OF_TORCH,
    "torch-scalar": _OF_TORCH,
    "libstdc++": _OF_NUMPY,
    "numpy": _OF_NUMPY,
    "nv": _OF_NV,
}
