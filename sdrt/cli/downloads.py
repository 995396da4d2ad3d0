"""Downloads on the way to a model: the size of each is told before its first byte, and a bar counts the bytes."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from sdrt.cli.console import tell
from sdrt.cli.progress import Bar

if TYPE_CHECKING:
    from sdrt.models import DownloadProgress

__all__ = ["Downloads"]


class Downloads:
    """Hears of the downloads of one command, one repository after the other.

    Parameters
    ----------
    quiet : bool
        Whether nothing is told.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bars = ExitStack()
        self._bar = Bar("", shown=False)

    def __call__(self, progress: "DownloadProgress") -> None:
        """Show how far a download is; a signal that came is raised here."""
        if progress.done_bytes == 0:
            self._begin(progress)
        self._bar(progress.done_bytes, progress.total_bytes)

    def _begin(self, progress: "DownloadProgress") -> None:
        from sdrt.models.hub import in_words

        self._bars.close()
        if not self._quiet:
            tell(f"sdrt: {progress.repo_id}: fetching {in_words(progress.total_bytes)}")
        self._bar = self._bars.enter_context(Bar(progress.repo_id, shown=not self._quiet, unit="B"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bars.close()
