"""Progress of a call, reported before each piece of its work, and cancelling between two pieces."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from sdrt.values import Function

__all__ = ["Cancelled", "OnProgress", "Progress", "Report", "Stage", "says_stop"]

T = TypeVar("T")

Stage: TypeAlias = Literal["load", "encode", "denoise", "decode"]


@dataclass(frozen=True)
class Progress:
    """A piece of work that is about to begin.

    Parameters
    ----------
    stage : "load", "encode", "denoise" or "decode"
        Open the networks that drawing needs and that are not open yet; encode prompts and input pictures; call the denoiser; decode the
        pictures. With ``reduce_memory`` there is no "load": each stage opens its own networks. The first "decode" opens the decoder.
    index : int
        How many pieces of this stage are done.
    total : int
        How many pieces this stage has: networks, texts and pictures, calls, or images.
    """

    stage: Stage
    index: int
    total: int


OnProgress: TypeAlias = Callable[[Progress], bool | None]


def says_stop(answer: object) -> bool:
    """Whether a callback answered False, numpy's included: None and everything else go on."""
    return isinstance(answer, bool | np.bool_) and not answer


class Cancelled(Exception):  # noqa: N818  # it is not an error, and never leaves the pipeline
    """Signal that a call was cancelled before a piece of its work."""


class Report:
    """Report each piece to a callback, and end the call once the callback or another thread has cancelled it.

    Parameters
    ----------
    on_progress : callable or None
        Its return value False cancels.
    cancelled : threading.Event or None
        Set to cancel, from any thread.
    """

    def __init__(self, on_progress: OnProgress | None = None, cancelled: threading.Event | None = None) -> None:
        self._on_progress = None if on_progress is None else Function().check("on_progress", on_progress)
        self._cancelled = threading.Event() if cancelled is None else cancelled

    def __call__(self, stage: Stage, index: int, total: int) -> None:
        """Report a piece that is about to begin.

        Raises
        ------
        Cancelled : the call is cancelled, and the piece must not begin
        """
        if not self._cancelled.is_set() and self._on_progress is not None and says_stop(self._on_progress(Progress(stage, index, total))):
            self._cancelled.set()
        self.heed()

    def heed(self) -> None:
        """Raise Cancelled if the call was cancelled, between pieces that are too small to report."""
        if self._cancelled.is_set():
            raise Cancelled

    def each(self, stage: Stage, pieces: Sequence[T]) -> Iterator[T]:
        """Yield the pieces of a stage, reporting each."""
        for index, piece in enumerate(pieces):
            self(stage, index, len(pieces))
            yield piece
