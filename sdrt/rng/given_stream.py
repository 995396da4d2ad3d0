"""The stream ``given``: hands out arrays made elsewhere, such as latents saved by another program, in place of drawing."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdrt.arrays import Array, Float, check_finite
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.rng.base import BaseStream, State
from sdrt.rng.precision import narrow

__all__ = ["GivenStream"]


class GivenStream(BaseStream):
    """Pieces, each handed out once, in order.

    Parameters
    ----------
    pieces : float array, or sequence of float arrays
        One array is one piece. Each ``normal(shape)`` takes the next piece, whose shape must be the one asked for; dimensions of 1 at the
        front do not count, so that latents [1,4,64,64] answer for one picture's [4,64,64]. Pieces are copied.

    Raises
    ------
    ConfigError : no piece
    ArrayContractError : something that is no float array, or one with NaN or infinities

    A piece is not changed: whoever supplies noise supplies unit variance. ``seed`` is 0, as nothing is seeded.
    """

    name = "given"
    seed = 0

    def __init__(self, pieces: Array | Sequence[Array]) -> None:
        arrays = [pieces] if isinstance(pieces, np.ndarray) else list(pieces)
        if not arrays:
            raise ConfigError("given noise must be at least one array, got none; pass the arrays in the order in which they are drawn")
        for index, piece in enumerate(arrays):
            if not isinstance(piece, np.ndarray) or not np.issubdtype(piece.dtype, np.floating):
                found = piece.dtype if isinstance(piece, np.ndarray) else type(piece).__name__
                raise ArrayContractError(f"given noise: piece {index} must be a numpy array of floats, got {found}; convert it first")
            check_finite("given noise", f"piece {index}", piece)
        self._pieces = [np.array(piece) for piece in arrays]
        self._next = 0

    def _draw(self, size: int, dims: tuple[int, ...], dtype: str) -> Float:  # noqa: ARG002
        """Return the next piece rounded to this dtype; a refused shape leaves the piece for the next call."""
        if self._next == len(self._pieces):
            raise ConfigError(f"given noise: all {self._next} pieces are used up, and {dims} is asked for; give one array for every draw")
        piece = self._pieces[self._next]
        if _core(piece.shape) != _core(dims):
            raise ConfigError(
                f"given noise: piece {self._next} has shape {piece.shape}, and {dims} is asked for; give arrays in the order of the draws"
            )
        self._next += 1
        return narrow(piece.astype(np.float32), dtype) if dtype == "bfloat16" else piece.astype(dtype)

    def _cursor(self) -> State:
        return {"next": self._next, "sha256": self._digest()}

    def _resume(self, state: Mapping[str, Any]) -> None:
        cursor = state["cursor"]
        if cursor["sha256"] != self._digest():
            raise ConfigError("a state of given noise goes on with the same arrays, got a state of others; make the stream of those first")
        if not 0 <= int(cursor["next"]) <= len(self._pieces):
            raise ValueError(f"piece {cursor['next']}")
        self._next = int(cursor["next"])

    def _digest(self) -> str:
        """Tell arrays apart: a state does not hold them."""
        digest = hashlib.sha256()
        for piece in self._pieces:
            digest.update(f"{piece.dtype.str}{piece.shape}".encode())
            digest.update(piece.tobytes())
        return digest.hexdigest()


def _core(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without its leading ones."""
    return next((shape[i:] for i, d in enumerate(shape) if d != 1), ())
