"""Brownian motion as torchsde's tree draws it: the noise of DPM-Solver SDE samplers, independent of the steps taken.

The increment over an interval is drawn first; then the increments over its halves, conditioned on their sum; and so on down to steps of
1e-6. The position of an interval in the tree decides its seed, so the motion is a function of the seed alone: a different number of steps,
or a different order of queries, reads the same path. All arithmetic is float32 in torchsde's order: increments equal torchsde's on a CPU
bit for bit.

Source: torchsde 0.2.6, ``BrownianInterval`` (Li et al. 2020, arXiv:2001.01328; Kidger et al. 2021, arXiv:2105.13493) with
``halfway_tree=True, tol=1e-6, pool_size=24``, as ``BrownianTreeNoiseSampler`` of diffusers 0.42.1 and k-diffusion configure it.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sdrt.arrays import F32, Numerics
from sdrt.errors import ConfigError
from sdrt.rng.base import size_and_shape
from sdrt.rng.torch_stream import TorchStream
from sdrt.values import Either, Integer, ListOf, Number

__all__ = ["BrownianTree"]

# A path is halved until the tolerance is met: once for each power of two between them.
_TIME = Number(-1e9, 1e9)
_SEED = Integer(minimum=0)
_SEEDS: Either = Either(_SEED, ListOf(_SEED))
_DIGITS = 6  # times are rounded to this many decimals
_FINEST = 1e-6  # their distance
_POOL_SIZE = 24
_CACHED = 64  # intervals whose halves a tree caches; the paths down to both ends of a step visit about 50
_SLACK = 1e-6  # how far outside the interval a time may lie, relative to its size: the rounding of a float32 logarithm and back


class _Node(NamedTuple):
    """An interval of the tree."""

    start: float
    end: float
    key: int  # its index among the intervals of its depth
    depth: int

    def halves(self) -> tuple["_Node", "_Node"]:
        middle = round(0.5 * (self.end + self.start), _DIGITS)
        left = _Node(self.start, middle, 2 * self.key, self.depth + 1)
        return left, _Node(middle, self.end, 2 * self.key + 1, self.depth + 1)


class _Tree:
    """The motion of one seed over [t0, t1]."""

    def __init__(self, shape: tuple[int, ...], t0: float, t1: float, entropy: int, numerics: Numerics) -> None:
        self._shape, self._entropy, self._numerics = shape, entropy, numerics
        self._top = _Node(round(t0, _DIGITS), round(t1, _DIGITS), 0, 0)
        self._whole = self._normal(None) * np.float32(math.sqrt(t1 - t0))
        self._recent: OrderedDict[_Node, tuple[F32, F32]] = OrderedDict()

    def increment(self, ta: float, tb: float) -> F32:
        """Return W(tb) - W(ta) for ta <= tb, both in the interval."""
        ta, tb = (min(max(round(t, _DIGITS), self._top.start), self._top.end) for t in (ta, tb))
        if ta == tb:
            return np.zeros(self._shape, np.float32)
        first, *rest = self._cover(self._top, self._whole, ta, tb)
        total = first
        for piece in rest:
            total = total + piece
        return total

    def _cover(self, node: _Node, value: F32, ta: float, tb: float) -> Iterator[F32]:
        """Yield the increments over the largest tree intervals that make up [ta, tb], from left to right."""
        if (ta, tb) == (node.start, node.end):
            yield value
            return
        left, right = node.halves()
        left_value, right_value = self._bridge(node, value, left.end)
        if ta < left.end:
            yield from self._cover(left, left_value, ta, min(tb, left.end))
        if tb > left.end:
            yield from self._cover(right, right_value, max(ta, left.end), tb)

    def _bridge(self, node: _Node, whole: F32, middle: float) -> tuple[F32, F32]:
        """Draw the increments over the two halves of an interval, conditioned on their sum ``whole``."""
        if (halves := self._recent.get(node)) is not None:
            self._recent.move_to_end(node)
            return halves
        before, after, reciprocal = middle - node.start, node.end - middle, 1 / (node.end - node.start)
        mean = np.float32(before) * whole * np.float32(reciprocal)
        left = mean + np.float32(math.sqrt(before * after * reciprocal)) * self._normal(node)
        self._recent[node] = left, whole - left
        if len(self._recent) > _CACHED:
            self._recent.popitem(last=False)
        return self._recent[node]

    def _normal(self, node: _Node | None) -> F32:
        """Draw an interval's deviates; None is the root's first draw."""
        place = () if node is None else (node.key, node.depth)
        seed = np.random.SeedSequence(self._entropy, spawn_key=place, pool_size=_POOL_SIZE).generate_state(1)[0]
        return TorchStream(int(seed), numerics=self._numerics).normal(self._shape)


class BrownianTree:
    """Brownian motion between two noise levels, readable in any order.

    Parameters
    ----------
    shape : int or ints
        Shape of an increment; with several seeds, one row of the first dimension for each.
    t0, t1 : float, t0 < t1
        The smallest and largest time: for a sampler, its smallest sigma above 0 and its largest.
    seed : int >= 0, or several
        One seed draws the whole array from one motion. With several, row k is the motion of seed k, as that seed alone would draw it.
    numerics : "float32", "float64" or "exact"
        As for `sdrt.rng.stream`: matters for increments of fewer than 16 values.

    Raises
    ------
    ConfigError : times out of order, a negative seed, or a number of seeds other than the number of rows

    >>> tree = BrownianTree((4, 8, 8), 0.03, 14.6, seed=5)
    >>> np.allclose(tree.increment(14.6, 2.0) + tree.increment(2.0, 0.03), tree.increment(14.6, 0.03), atol=1e-5)
    True
    """

    def __init__(
        self, shape: int | Iterable[int], t0: float, t1: float, seed: int | Sequence[int], *, numerics: Numerics = "float32"
    ) -> None:
        _, self._shape = size_and_shape(shape)
        self.t0, self.t1 = (float(_TIME.check(name, t)) for name, t in (("t0", t0), ("t1", t1)))
        self.seed = _SEEDS.check("a seed of a Brownian tree", seed, "pass one, or one for each row")
        if not self.t0 < self.t1 or not math.isfinite(self.t1 - self.t0):
            raise ConfigError(f"a Brownian tree needs t0 < t1, got t0={t0}, t1={t1}; pass the smaller noise level first")
        self._batched = isinstance(self.seed, tuple)
        seeds = self.seed if isinstance(self.seed, tuple) else (self.seed,)
        if self._batched and self._shape[:1] != (len(seeds),):
            raise ConfigError(
                f"a Brownian tree needs one seed for each row of {self._shape}, got {len(seeds)}; pass one seed, or as many as rows"
            )
        rows = self._shape[1:] if self._batched else self._shape
        self._trees = [_Tree(rows, self.t0, self.t1, s, numerics) for s in seeds]

    def increment(self, ta: float, tb: float) -> F32:
        """Return W(tb) - W(ta).

        Parameters
        ----------
        ta, tb : float, in [t0, t1], in either order
            Rounded to six decimals.

        Returns
        -------
        f32[shape] with variance |tb - ta|

        Raises
        ------
        ConfigError : a time that lies outside the interval by more than float32 rounding
        """
        low, high = sorted((self._inside(ta), self._inside(tb)))
        parts = [tree.increment(low, high) for tree in self._trees]
        total = np.stack(parts) if self._batched else parts[0]
        signed: F32 = total if ta < tb else -total
        return signed

    def normal_between(self, sigma: float, sigma_next: float) -> F32:
        """Return the increment from one noise level to the next, scaled to unit variance: the noise that a sampler adds.

        Both levels are taken as float32, as diffusers' ``BrownianTreeNoiseSampler`` takes them. The square root of their distance is
        correctly rounded here but not always in torch builds with MKL, so all values may differ from theirs by one or two units in the last
        place (2.4e-7 relative).

        Raises
        ------
        ConfigError : equal levels, or a level outside the interval
        """
        with np.errstate(all="ignore"):
            a, b = (np.float32(_TIME.check("a noise level", level)) for level in (sigma, sigma_next))
        if a == b:
            raise ConfigError(f"noise between two levels needs different levels, got {sigma} and {sigma_next}; skip a step of no length")
        scaled: F32 = self.increment(float(a), float(b)) / np.sqrt(np.abs(b - a))
        return scaled

    def _inside(self, t: float) -> float:
        t = float(_TIME.check("a time of a Brownian tree", t))
        slack = _FINEST + _SLACK * max(abs(self.t0), abs(self.t1))
        if not self.t0 - slack <= t <= self.t1 + slack:
            raise ConfigError(
                f"a time of this Brownian tree must lie in [{self.t0}, {self.t1}], got {t}; make the tree for the whole range"
            )
        return t
