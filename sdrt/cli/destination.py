"""Where a command's pictures go, whoever names the files."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sdrt.pipeline.results import Result

__all__ = ["Destination"]


class Destination(Protocol):
    """A place for the pictures of a command: `sdrt.cli.output.Output` is sdrt's own, command lines of other programs have theirs."""

    @property
    def names_seeds(self) -> bool:
        """Whether the name of each file shows the seed; where it does not, a seed that was drawn is said."""

    def opened(self) -> AbstractContextManager[None]:
        """Check that pictures can be written while the ``with`` body runs, before anything is drawn.

        Raises
        ------
        ImageError : they cannot
        """

    def save(self, result: "Result") -> list[Path]:
        """Write the images of a result; returns the files, in their order.

        Raises
        ------
        ImageError : a file cannot be written
        """
