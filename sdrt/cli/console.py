"""What the command line writes: every line is printable, fits the console's encoding, and never ends the program.

Standard output and standard error may be closed, full, a pipe whose reader went away, a console of another encoding, or missing, as in
windowed programs. For the time of a command both are replaced by a :class:`Stream`, so that every ``print``, progress bar and message of
a library goes through it.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from sdrt.printable import printable

__all__ = ["Stream", "Streams", "say", "standard_streams", "tell"]

# Characters of one line of a listing: what files hold is shown whole, and yet has an end.
_LINE_LENGTH = 200_000


class Stream(io.TextIOBase):
    """A standard stream that writes what it can and raises nothing; ``lost`` is the first error.

    Parameters
    ----------
    stream : TextIO or None
        None, as Python has it where there is no such stream: what is written vanishes.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self.lost: OSError | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the console or file behind it."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return whether a person looks at it."""
        try:
            return self._stream is not None and self.lost is None and self._stream.isatty()
        except ValueError:
            return False

    def fileno(self) -> int:
        """Return the descriptor behind it."""
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write text; characters that the encoding lacks become escapes."""
        if self._stream is not None and self.lost is None:
            try:
                self._stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
                if text.endswith(("\n", "\r")):
                    self._stream.flush()
            except OSError as error:
                self._lose(error)
            except ValueError:
                # it was closed, by whoever runs this
                self._stream = None
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        if self._stream is not None and self.lost is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._lose(error)
            except ValueError:
                self._stream = None

    def _lose(self, error: OSError) -> None:
        self.lost = error
        # what is still buffered would fail once more when Python ends
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
        except (OSError, ValueError):
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@dataclass(frozen=True)
class Streams:
    """Standard output and standard error of a command."""

    out: Stream
    err: Stream


@contextmanager
def standard_streams() -> Iterator[Streams]:
    """Replace both standard streams while the ``with`` body runs."""
    before = sys.stdout, sys.stderr
    streams = Streams(Stream(sys.stdout), Stream(sys.stderr))
    sys.stdout, sys.stderr = streams.out, streams.err
    try:
        yield streams
    finally:
        streams.out.flush()
        streams.err.flush()
        sys.stdout, sys.stderr = before


def say(*lines: str) -> None:
    """Print lines on standard output, each on one line whatever it holds."""
    _write(sys.stdout, [printable(line, _LINE_LENGTH) for line in lines])


def tell(*lines: str) -> None:
    """Print lines on standard error, each on one line whatever it holds, and cut where it is long."""
    _write(sys.stderr, [printable(line) for line in lines])


def _write(stream: TextIO | None, lines: list[str]) -> None:
    if stream is not None and lines:
        print(*lines, sep="\n", file=stream)
