"""The interface of a noise stream.

There are two layers: an *engine* makes 32-bit words, which compare exactly everywhere; a *stream* turns words into normal deviates. A
stream is a cursor: each call continues where the last one ended. Callers pass it to whatever draws; nothing here seeds anything globally.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F32, F64, Float
from sdrt.errors import ConfigError
from sdrt.rng.precision import dtype_name

__all__ = ["F16", "BaseStream", "NoiseStream", "SeededStream", "Shape", "State", "size_and_shape"]

F16: TypeAlias = npt.NDArray[np.float16]
Shape: TypeAlias = int | Iterable[int]
State: TypeAlias = dict[str, Any]


class NoiseStream(Protocol):
    """A named, seeded source of normal deviates, which is all that generating an image needs. `BaseStream` adds states and skipping."""

    @property
    def name(self) -> str:
        """The name that `sdrt.rng.stream` makes it by."""

    @property
    def seed(self) -> int:
        """The seed, as passed by the caller."""

    def normal(self, shape: Shape) -> F32:
        """Draw the next standard normal deviates, f32 of this shape, in C order."""


class BaseStream(ABC):
    """Shapes, dtypes and the form of a state, shared by all streams."""

    name: ClassVar[str]
    seed: int

    @overload
    def normal(self, shape: Shape, dtype: Literal["float32", "bfloat16"] = ...) -> F32: ...
    @overload
    def normal(self, shape: Shape, dtype: Literal["float64"]) -> F64: ...
    @overload
    def normal(self, shape: Shape, dtype: Literal["float16"]) -> F16: ...
    @overload
    def normal(self, shape: Shape, dtype: npt.DTypeLike) -> Float: ...
    def normal(self, shape: Shape, dtype: npt.DTypeLike = "float32") -> Float:
        """Draw the next standard normal deviates, in C order.

        Parameters
        ----------
        shape : int or ints
        dtype : "float32", "float64", "float16" or "bfloat16", or a numpy dtype
            numpy has no bfloat16: the result is a float32 array that holds bfloat16 values.

        Raises
        ------
        ConfigError : a negative dimension, or an unsupported dtype
        """
        size, dims = size_and_shape(shape)
        return self._draw(size, dims, dtype_name(dtype)).reshape(dims)

    def advance(self, shape: Shape) -> None:
        """Leave the stream where a float32 ``normal(shape)`` would leave it."""
        self.normal(shape)

    @property
    def state(self) -> State:
        """The stream's position: a dict of plain values that survives JSON, for `restore` and `sdrt.rng.from_state`."""
        return {"stream": self.name, "seed": self.seed, "cursor": self._cursor()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Move to the position in this state, and take over its seed.

        Raises
        ------
        ConfigError : a state of another kind of stream, or no state at all; the stream then stays where it is
        """
        if not isinstance(state, Mapping) or state.get("stream") != self.name:
            kind = state.get("stream") if isinstance(state, Mapping) else state
            raise ConfigError(
                f"a {self.name!r} stream needs a state of a {self.name!r} stream, got one of {kind!r}; use sdrt.rng.from_state"
            )
        before = self.state
        try:
            self._resume(state)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            self._resume(before)
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(
                f"a state of a {self.name!r} stream must be the dict of its .state, got a damaged one ({error}); pass that dict"
            ) from error

    def __repr__(self) -> str:
        return f"<noise stream {self.name!r}, seed {self.seed}>"

    @abstractmethod
    def _draw(self, size: int, dims: tuple[int, ...], dtype: str) -> Float:
        """Return the next ``size`` deviates of this dtype; ``dims`` is their shape, for streams that check it."""

    @abstractmethod
    def _cursor(self) -> State:
        """Return the engine's state and any value held back for the next call."""

    @abstractmethod
    def _resume(self, state: Mapping[str, Any]) -> None:
        """Restore a state that this kind of stream made."""


class SeededStream(BaseStream):
    """A stream that starts at a seed.

    Parameters
    ----------
    seed : int
        Within ``seed_range``, both ends included.

    Raises
    ------
    ConfigError : the seed is outside that range
    """

    seed_range: ClassVar[tuple[int, int]]
    option_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, seed: int) -> None:
        low, high = self.seed_range
        if not low <= seed <= high:
            raise ConfigError(
                f"a seed of the {self.name!r} stream must be an integer in [{low}, {high}], got {seed!r}; choose one in that range"
            )
        self.seed = seed


def size_and_shape(shape: Shape) -> tuple[int, tuple[int, ...]]:
    """Return the number of elements of a shape, and the shape as a tuple; a negative dimension is a ConfigError.

    >>> size_and_shape((2, 3)), size_and_shape(5), size_and_shape(())
    ((6, (2, 3)), (5, (5,)), (1, ()))
    """
    dims = (int(shape),) if not isinstance(shape, Iterable) else tuple(int(d) for d in shape)
    size = 1
    for d in dims:
        if d < 0:
            raise ConfigError(f"dimensions must be 0 or more, got {dims}; pass such a shape")
        size *= d
    return size, dims
