"""Seeds, by stream."""

from hypothesis import strategies as st

from sdrt.rng import canonical_name
from sdrt.rng import stream as make_stream

__all__ = ["seeds"]


def seeds(stream: str = "torch") -> st.SearchStrategy[int]:
    """Draw a seed of a stream's range: small ones as people type them, those around 32 bits, any.

    Raises
    ------
    ConfigError : an unknown stream
    """
    low, high = type(make_stream(canonical_name(stream), 0)).seed_range
    edges = [seed for seed in (low, 0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, high) if low <= seed <= high]
    return st.one_of(st.integers(0, 10_000), st.sampled_from(edges), st.integers(low, high))
