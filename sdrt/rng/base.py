"""What a noise stream is.

Two layers: an *engine* makes 32-bit words, which compare exactly everywhere; a *stream* turns words into normal deviates. A stream is a
cursor: each call goes on where the last one ended. It is passed to whoever draws; nothing here seeds anything globally.
"""

from collections.abc import Iterable
from typing import Protocol

from sdrt.arrays import F32
from sdrt.errors import ConfigError

__all__ = ["NoiseStream", "Shape", "seed_error", "size_and_shape"]

Shape = int | Iterable[int]


class NoiseStream(Protocol):
    """A named, seeded source of normal deviates."""

    @property
    def name(self) -> str:
        """The name under which :func:`sdrt.rng.stream` makes it."""

    @property
    def seed(self) -> int:
        """The seed as it was given."""

    def normal(self, shape: Shape) -> F32:
        """Draw the next standard normal deviates, f32 of this shape, in C order."""


def size_and_shape(shape: Shape) -> tuple[int, tuple[int, ...]]:
    """Return the number of elements of a shape, and the shape as a tuple; a negative dimension is a ConfigError.

    >>> size_and_shape((2, 3)), size_and_shape(5), size_and_shape(())
    ((6, (2, 3)), (5, (5,)), (1, ()))
    """
    dims = (int(shape),) if not isinstance(shape, Iterable) else tuple(int(d) for d in shape)
    size = 1
    for d in dims:
        if d < 0:
            raise ConfigError(f"a shape holds no negative dimension, got {dims}; count elements from 0")
        size *= d
    return size, dims


def seed_error(name: str, seed: object, low: int, high: int) -> ConfigError:
    """Return the one error for a seed that a stream cannot take."""
    return ConfigError(f"a seed of the {name!r} stream must be an integer in [{low}, {high}], got {seed!r}; choose one in that range")
