"""How far a call is, told before each piece of its work; and the way to end it there."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

__all__ = ["Cancelled", "OnProgress", "Progress", "Report", "Stage"]

T = TypeVar("T")

Stage: TypeAlias = Literal["load", "encode", "denoise", "decode"]


@dataclass(frozen=True)
class Progress:
    """A piece of work that begins now.

    Parameters
    ----------
    stage : "load", "encode", "denoise" or "decode"
        Open the networks that drawing needs, where they are not open yet; encode prompts and given pictures; call the denoiser; decode
        the pictures. With ``reduce_memory`` there is no "load": networks are opened inside the stages that use them. The decoder is opened
        by the first picture.
    index : int
        Pieces of this stage that are done.
    total : int
        Pieces of this stage: networks, texts and pictures, calls, or images.
    """

    stage: Stage
    index: int
    total: int


OnProgress: TypeAlias = Callable[[Progress], bool | None]


class Cancelled(Exception):  # noqa: N818  # it is no error, and never leaves the pipeline
    """A call was cancelled before a piece of its work."""


class Report:
    """Tells a callback of each piece, and ends the call where that, or anybody, has cancelled it.

    Parameters
    ----------
    on_progress : callable or None
        Returning False cancels.
    cancelled : threading.Event
        Set by whoever cancels, from any thread.
    """

    def __init__(self, on_progress: OnProgress | None, cancelled: threading.Event) -> None:
        self._on_progress = on_progress
        self._cancelled = cancelled

    def __call__(self, stage: Stage, index: int, total: int) -> None:
        """Tell of a piece that begins now.

        Raises
        ------
        Cancelled : the piece must not begin
        """
        if not self._cancelled.is_set() and self._on_progress is not None and self._on_progress(Progress(stage, index, total)) is False:
            self._cancelled.set()
        if self._cancelled.is_set():
            raise Cancelled

    def each(self, stage: Stage, pieces: Sequence[T]) -> Iterator[T]:
        """Yield the pieces of a stage, telling of each."""
        for index, piece in enumerate(pieces):
            self(stage, index, len(pieces))
            yield piece
