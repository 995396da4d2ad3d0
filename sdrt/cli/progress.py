"""A progress bar on standard error, where that is a terminal and nobody asked for quiet."""

import sys
from typing import Any, Self

from sdrt.cli import signals
from sdrt.printable import printable

__all__ = ["Bar"]

_TITLE_LENGTH = 40


class Bar:
    """A bar that appears with the first step, so that an error before it stands alone on its line.

    Parameters
    ----------
    title : str
    shown : bool
        False: no bar, even in a terminal.
    unit : str
        What is counted; "B", for bytes, is shown in thousands and millions.
    """

    def __init__(self, title: str, *, shown: bool, unit: str = "step") -> None:
        self._title, self._unit = printable(title, _TITLE_LENGTH), unit
        # into a file or a pipe a bar is noise
        self._shown = shown and sys.stderr is not None and sys.stderr.isatty()
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        """Show how many steps are done; a signal that came is raised here."""
        signals.check()
        if not self._shown:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(desc=self._title, unit=self._unit, unit_scale=self._unit == "B", file=sys.stderr, total=total)
        self._bar.total, self._bar.n = total, done
        self._bar.refresh()

    def close(self) -> None:
        """Leave the bar as it is, and end its line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
