"""Named streams of noise: the same seed gives the same bytes as the program that the stream is named after.

>>> noise = stream("torch", 0)
>>> noise.normal((1, 4, 64, 64))[0, 0, 0, :3]  # torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
array([-1.1258398 , -1.1523602 , -0.25057858], dtype=float32)
"""

import operator
from collections.abc import Callable
from typing import SupportsIndex

from sdrt.errors import ConfigError
from sdrt.rng.base import NoiseStream
from sdrt.rng.numpy_stream import NumpyStream
from sdrt.rng.torch_stream import TorchStream

__all__ = ["NoiseStream", "names", "stream"]

_STREAMS: dict[str, Callable[[int], NoiseStream]] = {maker.name: maker for maker in (NumpyStream, TorchStream)}


def names() -> tuple[str, ...]:
    """Return the names that :func:`stream` knows, sorted."""
    return tuple(sorted(_STREAMS))


def stream(name: str, seed: SupportsIndex) -> NoiseStream:
    """Make the stream of this name, at the beginning of this seed.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    seed : integer
        The range is the stream's own: [0, 2**32) for numpy, [-2**63, 2**64) for torch.

    Raises
    ------
    ConfigError : unknown name, or a seed that the stream cannot take
    """
    if name not in _STREAMS:
        raise ConfigError(f"no noise stream is named {name!r}; choose one of {', '.join(names())}")
    try:
        number = operator.index(seed)
    except TypeError as error:
        raise ConfigError(f"a seed must be an integer, got {seed!r}; pass a whole number") from error
    return _STREAMS[name](number)
