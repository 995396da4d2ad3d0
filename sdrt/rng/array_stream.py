"""The stream ``given``: hand out existing arrays, such as latents saved by another program, instead of drawing."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdrt.arrays import Array, Float, check_finite
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.printable import shown
from sdrt.rng.base import BaseStream, State, read_state
from sdrt.rng.precision import to_dtype
from sdrt.values import Integer, Text

__all__ = ["ArrayStream"]


class ArrayStream(BaseStream):
    """A stream of existing arrays ("pieces"), each handed out once, in order.

    Parameters
    ----------
    pieces : float array, or sequence of float arrays
        One array is one piece. Each ``normal(shape)`` takes the next piece, whose shape must be the requested one; leading dimensions of 1
        are ignored, so latents [1,4,64,64] match a request for one image's [4,64,64]. Pieces are copied.

    Raises
    ------
    ConfigError : no pieces
    ArrayContractError : not a float array, or one with NaN or infinities

    Values are returned unchanged: the caller is responsible for unit variance. ``seed`` is 0, since nothing is seeded.
    """

    name = "given"
    seed = 0

    def __init__(self, pieces: Array | Sequence[Array]) -> None:
        if not isinstance(pieces, np.ndarray | Sequence) or isinstance(pieces, str | bytes):
            raise ArrayContractError(f"noise must be a numpy array of floats or a list of them, got {shown(pieces)}; pass the arrays")
        arrays = [pieces] if isinstance(pieces, np.ndarray) else list(pieces)
        if not arrays:
            raise ConfigError("a stream of arrays must have at least one array, got none; pass the arrays in the order of the draws")
        for index, piece in enumerate(arrays):
            if not isinstance(piece, np.ndarray) or not np.issubdtype(piece.dtype, np.floating):
                kind = piece.dtype if isinstance(piece, np.ndarray) else type(piece).__name__
                raise ArrayContractError(f"array {index} of noise must be a numpy array of floats, got {kind}; convert it first")
            check_finite("noise", f"array {index}", piece)
        self._pieces = [np.array(piece) for piece in arrays]
        self._next = 0

    def _draw(self, size: int, dims: tuple[int, ...], dtype: str) -> Float:  # noqa: ARG002
        """Return the next piece rounded to this dtype; if its shape is refused, the piece stays for the next call."""
        if self._next == len(self._pieces):
            raise ConfigError(f"noise needs one array for each draw, got {self._next} and a further draw of {dims}; pass more arrays")
        piece = self._pieces[self._next]
        if _core(piece.shape) != _core(dims):
            raise ConfigError(
                f"array {self._next} of noise must have the shape of its draw, {dims}, got {piece.shape}; pass arrays in that order"
            )
        with np.errstate(all="ignore"):
            drawn = to_dtype(piece.astype(np.float32), dtype) if dtype == "bfloat16" else piece.astype(dtype)
        check_finite("noise", f"array {self._next} as {dtype}", drawn)
        self._next += 1
        return drawn

    def _cursor(self) -> State:
        return {"next": self._next, "sha256": self._digest()}

    def _resume(self, state: Mapping[str, Any]) -> None:
        cursor = read_state(self.name, state.get("cursor"), {"next": Integer(0, len(self._pieces)), "sha256": Text(64)})
        if cursor["sha256"] != self._digest():
            raise ConfigError(
                "a state of a stream of arrays must belong to the same arrays, got a state of others; make the stream of those first"
            )
        self._next = cursor["next"]

    def _digest(self) -> str:
        """Return a digest of all pieces, which identifies them in a state: a state does not hold the arrays."""
        digest = hashlib.sha256()
        for piece in self._pieces:
            digest.update(f"{piece.dtype.str}{piece.shape}".encode())
            digest.update(piece.tobytes())
        return digest.hexdigest()


def _core(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without its leading ones."""
    return next((shape[i:] for i, d in enumerate(shape) if d != 1), ())
