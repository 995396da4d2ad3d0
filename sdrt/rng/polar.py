"""The polar method of numpy's legacy generator, by functions of our own.

Source: ``legacy_gauss`` in numpy/random/src/legacy/legacy-distributions.c of numpy 2.4.

Words come from a `numpy.random.RandomState`, whose integers are the same everywhere; its own normals pass through the platform's logarithm.
Two uniforms of 53 bits are a point in a square; points outside the unit circle are drawn again. A point gives two normals, of which the
second coordinate's comes first, and the other is held back for the next call.
"""

import numpy as np

from sdrt.arrays import F64
from sdrt.exact.functions import log

__all__ = ["polar_normals"]

_WORDS = 4  # of one point
_ACCEPTED = 0.78  # the share of points within the circle, rounded down


def polar_normals(source: np.random.RandomState, size: int) -> F64:
    """Draw the next normals, f64[size], and leave the source where its own ``standard_normal(size)`` would leave it."""
    state = source.get_state(legacy=False)
    held: F64 = np.array([state["gauss"]] if state["has_gauss"] else [], np.float64)
    missing = max(0, size - len(held))
    pairs = _pairs(source, -(-missing // 2))
    values = np.concatenate([held, pairs.reshape(-1)])
    state = source.get_state(legacy=False)
    spare = values[size:]
    state["has_gauss"], state["gauss"] = len(spare), float(spare[0]) if len(spare) else 0.0
    source.set_state(state)
    return values[:size]


def _pairs(source: np.random.RandomState, count: int) -> F64:
    """Draw pairs of normals in the order in which they are handed out: f64[count, 2]."""
    pairs: list[F64] = []
    while count:
        before, attempts = source.get_state(legacy=False), int(count / _ACCEPTED) + 8
        points = 2.0 * _uniforms(source, 2 * attempts).reshape(-1, 2) - 1.0
        squares = points[:, 0] * points[:, 0] + points[:, 1] * points[:, 1]
        accepted = np.flatnonzero((squares < 1.0) & (squares != 0.0))[:count]
        if len(accepted) == count:  # the points after the last that is needed belong to the next call
            source.set_state(before)
            _uniforms(source, 2 * (int(accepted[-1]) + 1))
        squares = squares[accepted]
        factors = np.sqrt(-2.0 * log(squares) / squares)
        pairs.append(factors[:, None] * points[accepted][:, ::-1])
        count -= len(accepted)
    return np.concatenate([np.empty((0, 2)), *pairs])


def _uniforms(source: np.random.RandomState, count: int) -> F64:
    """Draw uniforms in [0, 1) of 53 bits each: the first 27 from one word, 26 from the next."""
    words = source.randint(0, 1 << 32, size=2 * count, dtype=np.uint32).reshape(-1, 2)
    high, low = (words >> np.array([5, 6], np.uint32)).astype(np.float64).T
    uniforms: F64 = (high * 67108864.0 + low) / 9007199254740992.0
    return uniforms
