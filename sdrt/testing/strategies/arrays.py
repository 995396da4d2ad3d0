"""Arrays that networks take."""

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from sdrt.arrays import I32, Float
from sdrt.rng import stream as make_stream

__all__ = ["latents", "token_ids"]

_BOS, _EOS, _VOCABULARY = 49406, 49407, 49408


def latents(
    max_batch: int = 3, channels: int = 4, max_side: int = 16, dtype: npt.DTypeLike = np.float32, *, divisor: int = 1
) -> st.SearchStrategy[Float]:
    """Draw f[n,channels,h,w], normal, of any deviation up to that of a run's first sample; some are all zeros.

    Parameters
    ----------
    max_batch, max_side : int
        The largest n, and the largest h and w.
    divisor : int
        Of h and w: networks that halve them k times take multiples of 2 ** k.
    """
    side = st.integers(1, max(max_side // divisor, 1)).map(lambda count: count * divisor)
    scale = st.sampled_from([1.0, 1.0, 0.0, 0.1, 14.6])

    def make(n: int, h: int, w: int, seed: int, factor: float) -> Float:
        drawn: Float = (make_stream("torch", seed).normal((n, channels, h, w)) * factor).astype(dtype)
        return drawn

    return st.builds(make, st.integers(1, max_batch), side, side, st.integers(0, 2**32 - 1), scale)


def token_ids(max_rows: int = 3, length: int = 77, vocabulary: int = _VOCABULARY) -> st.SearchStrategy[I32]:
    """Draw i32[n,length]: the start token, from none to a full row of words, the end token, and padding with it or with 0.

    Parameters
    ----------
    vocabulary : int
        The number of ids, of which the last two are the start and the end token.
    """
    bos, eos = vocabulary - 2, vocabulary - 1
    words = st.lists(st.integers(0, vocabulary - 3), max_size=length - 2)

    def row(ids: list[int], pad: int) -> list[int]:
        return [bos, *ids, eos, *[pad] * (length - 2 - len(ids))]

    rows = st.lists(st.builds(row, words, st.sampled_from([eos, 0])), min_size=1, max_size=max_rows)
    return rows.map(lambda found: np.array(found, np.int32))
