"""Networks that several phases of a run share: opened by the first, closed after the last."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Generic, TypeVar

__all__ = ["Held"]

T = TypeVar("T")


class Held(Generic[T]):
    """Keep what a context manager opens between its uses, which follow one another in one thread.

    Parameters
    ----------
    opening : callable that returns a context manager
    uses : int
        After so many it is closed; an exception, or leaving a use early, closes it at once.
    """

    def __init__(self, opening: Callable[[], AbstractContextManager[T]], uses: int) -> None:
        self._opening, self._left = opening, uses
        self._stack = ExitStack()
        self._opened: list[T] = []

    @contextmanager
    def using(self) -> Iterator[T]:
        """Open it, or take what is open."""
        try:
            if not self._opened:
                self._opened.append(self._stack.enter_context(self._opening()))
            yield self._opened[0]
            self._left -= 1
        except BaseException:
            self._left = 0
            raise
        finally:
            if self._left <= 0:
                self._opened.clear()
                self._stack.close()
