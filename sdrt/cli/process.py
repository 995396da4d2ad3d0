"""Run a command line from its arguments to its exit status, whatever the console, the signals and the plug-ins do.

Each way in which a command ends is one line on standard error and one status, see `EXIT_STATUS`.
"""

import argparse
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sdrt.cli import signals
from sdrt.cli.console import Streams, standard_streams, tell
from sdrt.errors import SdrtError
from sdrt.log import log
from sdrt.printable import printable

__all__ = ["EXIT_STATUS", "run_command"]

EXIT_STATUS = (
    "exit status: 0 done; 1 done, but standard output could not be written, 'verify' found a departure, or 'compare' one that "
    "--fail-below excludes; "
    "2 an error, in one line on standard error; "
    "70 a fault of the program itself; 129, 130 or 143 stopped by SIGHUP (the terminal was closed), Ctrl-C or SIGTERM; "
    "141 the reader of standard output went away"
)

_LOST, _ERROR, _FAULT, _BROKEN_PIPE = 1, 2, 70, 141


def run_command(program: str, make_parser: Callable[[], argparse.ArgumentParser], argv: Sequence[str] | None) -> int:
    """Parse the arguments and call the ``run`` that they name.

    Parameters
    ----------
    program : str
        Begins each message.
    make_parser : callable
        Returns the parser. Its defaults may hold ``run``, called with the arguments; ``kept``, what is said when a signal ends it; and
        ``lost``, what is said when the reader of standard output went away, which is no word otherwise.
    argv : sequence of str or None
        The arguments without the program's name. None takes the process's own, and the process is this command's alone.

    Returns
    -------
    int
        The exit status.

    Raises
    ------
    SystemExit : the parser printed its help, or refused the arguments
    """
    with _process(owned=argv is None), standard_streams() as streams:
        leave: SystemExit | None = None
        arguments = argparse.Namespace()
        try:
            with _logging(program) as configure:
                parser = make_parser()
                if argv is None and "_ARGCOMPLETE" in os.environ:
                    from sdrt.cli.completing import answer_shell

                    answer_shell(parser)
                arguments = parser.parse_args(argv)
                configure(arguments)
                arguments.run(arguments)
            status = 0
        except SystemExit as error:
            leave, status = error, error.code if isinstance(error.code, int) else int(error.code is not None)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 -- this is the end of the program: whatever comes here becomes a line and a status
            signals.hold()
            status = _explain(program, arguments, error)
        signals.hold()
        if leave is None and status == 0 and (late := signals.came()) is not None:
            status = _explain(program, arguments, late)
        if status == 0:
            status = _closing(program, arguments, streams)
    if leave is not None:
        raise leave if leave.code == status else SystemExit(status)
    return status


def _explain(program: str, arguments: argparse.Namespace, error: BaseException) -> int:
    """Say in one line how a command ended, and return the status."""
    # a signal in the middle of an import, or inside a library, may come out as another exception
    stop = signals.came() or (signals.Interrupted() if isinstance(error, KeyboardInterrupt) else None)
    if stop is not None:
        kept = getattr(arguments, "kept", None)
        tell(f"{program}: {stop.word}{f'; {kept}' if kept else ''}")
        return stop.status
    if isinstance(error, SdrtError):
        tell(f"{program}: {error}")
        return _ERROR
    if isinstance(error, MemoryError):
        tell(f"{program}: not enough memory{f' ({error})' if str(error) else ''}; draw fewer or smaller pictures, or pass --reduce-memory")
        return _ERROR
    verbose = getattr(arguments, "verbose", False)
    if verbose:
        tell(*"".join(traceback.format_exception(error)).splitlines())
    more = "" if verbose else "; -v shows where"
    tell(f"{program}: a fault of the program itself: {type(error).__name__}: {error}{more}; please report it")
    return _FAULT


def _closing(program: str, arguments: argparse.Namespace, streams: Streams) -> int:
    """Return the status of a command that did its work: what it printed may have reached nobody."""
    streams.out.flush()
    if streams.out.lost is None:
        return 0
    if not isinstance(streams.out.lost, BrokenPipeError):
        tell(f"{program}: standard output cannot be written ({streams.out.lost.strerror}); what was to be printed there is lost")
        return _LOST
    if lost := getattr(arguments, "lost", None):
        tell(f"{program}: the reader of standard output went away; {lost}")
    return _BROKEN_PIPE


class _Lines(logging.Handler):
    """Write each record as one line on standard error."""

    def __init__(self, program: str) -> None:
        super().__init__(logging.WARNING)
        self._program = program

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            tell(f"{self._program}: {record.getMessage()}")
        except Exception:  # noqa: BLE001 -- a library's message whose arguments do not fit it
            tell(f"{self._program}: {record.msg}")


@contextmanager
def _logging(program: str) -> Iterator[Callable[[argparse.Namespace], None]]:
    """Show warnings; the function that is yielded takes the arguments, for everything with ``--verbose``, for errors with ``--quiet``."""
    handler, root = _Lines(program), logging.getLogger()
    before = {logging.getLogger(name): logging.getLogger(name).level for name in ("sdrt", "converter")}

    def configure(arguments: argparse.Namespace) -> None:
        if getattr(arguments, "verbose", False):
            handler.setLevel(logging.DEBUG)
            for logger in before:
                logger.setLevel(logging.DEBUG)
        elif getattr(arguments, "quiet", False):
            handler.setLevel(logging.ERROR)

    root.addHandler(handler)
    try:
        yield configure
    finally:
        root.removeHandler(handler)
        for logger, level in before.items():
            logger.setLevel(level)


@contextmanager
def _process(*, owned: bool) -> Iterator[None]:
    """Arrange what belongs to the whole process, if it is this command's alone."""
    if owned:
        # a file that is opened later would take the place of a stream that is closed, and receive what libraries print there
        for descriptor in range(3):
            try:
                os.fstat(descriptor)
            except OSError:
                os.open(os.devnull, os.O_RDWR)
        warnings.showwarning = lambda message, category, *_, **__: _show_warning(message, category)
        # a picture's size is checked, in words
        warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
        sys.unraisablehook = _report_unraisable
    yield


def _show_warning(message: Warning | str, category: type[Warning]) -> None:
    log.warning("%s: %s", category.__name__, message)


def _report_unraisable(args: "sys.UnraisableHookArgs") -> None:
    # a signal that arrived in a destructor is raised again at the next step
    if signals.came() is None and not isinstance(args.exc_value, KeyboardInterrupt):
        log.debug("ignored: %s", printable(repr(args.exc_value)))
