"""The progress bar of the command line: one over all work, with a word on what is being done; it heeds signals."""

import sys
from typing import Any

from sdrt.cli import signals
from sdrt.printable import printable

__all__ = ["ProgressBar"]


class ProgressBar:
    """A progress bar on standard error, in a terminal alone.

    Parameters
    ----------
    shown : bool
        False shows nothing, and heeds signals all the same.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._bar: Any = None

    def show(self, text: str, done: int, total: int) -> None:
        """Show how much is done, and what comes now."""
        signals.check()
        from tqdm import tqdm

        if self._bar is None:
            # None: no bar in a stream that is no terminal
            self._bar = tqdm(
                disable=None if self._shown else True, file=sys.stderr, bar_format="{desc} |{bar:20}| {n_fmt}/{total_fmt} [{elapsed}]"
            )
        self._bar.total, self._bar.n = total, done
        self._bar.set_description_str(printable(text))

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None:
            self._bar.close()
