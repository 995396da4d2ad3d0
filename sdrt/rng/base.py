"""The interface of a noise stream.

There are two layers: an *engine* makes 32-bit words, which compare exactly everywhere; a *stream* turns words into normal deviates. A
stream is a cursor: each call continues where the last one ended. Callers pass it to whatever draws; nothing here seeds anything globally.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F32, F64, Float, Numerics
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import Functions, functions_of
from sdrt.printable import shown
from sdrt.rng.precision import dtype_name
from sdrt.values import Choice, Either, Integer, Kind, ListOf

__all__ = ["F16", "MT_WORDS", "BaseStream", "NoiseStream", "SeededStream", "Shape", "State", "read_state", "size_and_shape"]

F16: TypeAlias = npt.NDArray[np.float16]
Shape: TypeAlias = int | Iterable[int]
State: TypeAlias = dict[str, Any]

# Values of one draw: 4 GiB of float32, far above any picture's noise.
_LARGEST_DRAW = 2**30

_DIMENSION = Integer(minimum=0)
_SHAPE = Either(_DIMENSION, ListOf(_DIMENSION, maximum=32))

_NUMERICS = Choice("float32", "float64", "exact")

# The words of a Mersenne twister in a state.
MT_WORDS: Mapping[str, Kind[Any]] = {"key": ListOf(Integer(0, 2**32 - 1), 624, 624), "position": Integer(0, 624)}


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
        ConfigError : no shape, one of more values than 2**30 or than fit in memory, or an unsupported dtype
        """
        size, dims = size_and_shape(shape)
        name = dtype_name(dtype)
        try:
            return self._draw(size, dims, name).reshape(dims)
        except MemoryError as error:
            raise ConfigError(f"noise must fit in this machine's memory, got the shape {dims}; draw it in parts") from error

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
        kind = state.get("stream") if isinstance(state, Mapping) else state
        if not isinstance(kind, str) or kind != self.name or not isinstance(state, Mapping):
            raise ConfigError(
                f"a {self.name!r} stream needs a state of a {self.name!r} stream, got one of {shown(kind)}; use sdrt.rng.from_state"
            )
        self._resume(state)

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
        """Restore a state of this kind of stream; read every entry through `read_state` before anything is changed."""


class SeededStream(BaseStream):
    """A stream that starts at a seed.

    Parameters
    ----------
    seed : int
        Within ``seed_range``, both ends included.
    numerics : "float32", "float64" or "exact"
        Whose elementary functions turn words into normals: the platform's, or sdrt's own, which give the same bits on every machine.

    Raises
    ------
    ConfigError : the seed is outside that range, or unknown numerics
    """

    seed_range: ClassVar[tuple[int, int]]
    option_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, seed: int, *, numerics: Numerics = "float32") -> None:
        self._set_numerics(_NUMERICS.check("numerics", numerics))
        self.seed = Integer(*self.seed_range).check(f"a seed of the {self.name!r} stream", seed, "choose one in that range")

    @property
    def numerics(self) -> Numerics:
        """Whose elementary functions it computes with: "exact" for sdrt's own, "float32" for the platform's."""
        return self._functions.numerics

    @property
    def state(self) -> State:
        """As in every stream, plus ``numerics`` where they are exact."""
        return super().state | ({} if self.numerics == "float32" else {"numerics": self.numerics})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Move to the position in this state, and take over its seed and its numerics; errors as in every stream."""
        numerics = _NUMERICS.check("numerics of a state", state.get("numerics", "float32")) if isinstance(state, Mapping) else "float32"
        super().restore(state)
        self._set_numerics(numerics)

    def _set_numerics(self, numerics: Numerics) -> None:
        self._functions: Functions = functions_of(numerics)


def read_state(stream: str, state: object, kinds: Mapping[str, Kind[Any]]) -> dict[str, Any]:
    """Return the entries of a state, or of a part of one, each of its kind.

    Raises
    ------
    ConfigError : one is missing or of another kind
    """
    rule, repair = f"a state of a {stream!r} stream must be the dict of its .state", "pass that dict"
    if not isinstance(state, Mapping):
        raise ConfigError(f"{rule}, got {shown(state)} in it; {repair}")
    if missing := [name for name in kinds if name not in state]:
        raise ConfigError(f"{rule}, got one without {', '.join(missing)}; {repair}")
    return {name: kind.check(f"{rule}: {name}", state[name], repair) for name, kind in kinds.items()}


def size_and_shape(shape: Shape, most: int | None = _LARGEST_DRAW) -> tuple[int, tuple[int, ...]]:
    """Return the number of elements of a shape, at most ``most``, and the shape as a tuple.

    Raises
    ------
    ConfigError : no whole number and no list of such, a negative one, or too many elements

    >>> size_and_shape((2, 3)), size_and_shape(5), size_and_shape(())
    ((6, (2, 3)), (5, (5,)), (1, ()))
    """
    given = tuple(islice(shape, 33)) if isinstance(shape, Iterator) else shape
    checked = _SHAPE.check("a shape of noise", given)
    dims = checked if isinstance(checked, tuple) else (checked,)
    size = math.prod(dims)
    if most is not None and size > most:
        raise ConfigError(f"noise must be drawn at most {most} values at a time, got the shape {shown(dims)}; draw it in parts")
    return size, dims
