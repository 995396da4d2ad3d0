"""Run one case under limits of time and memory, and say how it ended."""

import contextlib
import re
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from sdrt.errors import BackendError, SdrtError
from tests.fuzz.drawing import Found

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# What a case may end as. The first two are right.
CLEAN, FINE, OTHER, LINES, CONTROL, LONG, MEMORY, TIME, SILENT = COLUMNS = (
    "clean",
    "fine",
    "other exception",
    "several lines",
    "control characters",
    "long",
    "over memory",
    "over time",
    "silent",
)
RIGHT = (CLEAN, FINE)
MOST_CHARACTERS = 2_000
MOST_BYTES = 2**30
MOST_SECONDS = 5.0
# for what waits instead of computing: a pipe that nobody writes to
MOST_WAITING = 20.0

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]")
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    Parameters
    ----------
    column : str
        One of `COLUMNS`.
    detail : str
        The message, or what is wrong.
    kind : str
        The same for cases that fail at the same place.
    """

    column: str
    detail: str = ""
    kind: str = ""


class OverTimeError(BaseException):
    """A case took longer than it may; no ``except Exception`` stops it."""


def judge(case: Callable[[], str | None], *, loud: bool = False) -> Outcome:
    """Run a case and judge it.

    Parameters
    ----------
    case : function
        Returns None if what it was given was accepted and is well-formed, else what passed in silence.
    loud : bool
        Whether the traceback of what it raises is printed.
    """
    error: BaseException | None = None
    said: str | None = None
    with limited() as over_memory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            said = case()
        except (SystemExit, Exception, OverTimeError) as caught:  # noqa: BLE001 it is counted
            error = caught
            if loud:
                traceback.print_exc()
        took_memory = over_memory()
    if took_memory:
        return Outcome(MEMORY, f"{took_memory >> 20} MiB above the start", _place(error))
    if error is None:
        return Outcome(FINE) if said is None else Outcome(SILENT, said, re.sub(r"[:=].*", "", said))
    return _of_error(error)


def judge_text(text: str) -> str | None:
    """Return the column of a message that no terminal should get; None if it is in order."""
    if "\n" in text or "\r" in text:
        return LINES
    if _CONTROLS.search(text):
        return CONTROL
    return LONG if len(text) > MOST_CHARACTERS else None


def _of_error(error: BaseException) -> Outcome:
    place = _place(error)
    if isinstance(error, Found):
        return Outcome(error.column, str(error), str(error)[:60])
    if isinstance(error, OverTimeError):
        return Outcome(TIME, f"stopped in {place}", place)
    if isinstance(error, MemoryError):
        return Outcome(MEMORY, f"{type(error).__name__}: {error}"[:300], place)
    try:
        text = str(error)
    except Exception as failed:  # noqa: BLE001 whatever it is, the message could not be had
        return Outcome(OTHER, f"the message of a {type(error).__name__} fails: {failed!r}", place)
    if not isinstance(error, SdrtError):
        return Outcome(OTHER, f"{type(error).__name__}: {ascii(text)[:300]}", f"{type(error).__name__} {place}")
    if isinstance(error, BackendError) and error.__cause__ is not None and not _is_of_tests(error.__cause__):
        # the seam blames the backend for whatever it raises, and sdrt's own backends are sdrt's
        return Outcome(OTHER, ascii(text)[:300], f"{type(error.__cause__).__name__} {_place(error.__cause__)}")
    return Outcome(judge_text(text) or CLEAN, ascii(text)[:300], place)


def _is_of_tests(error: BaseException) -> bool:
    """Whether a test raised this, or a package that is not there."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, ImportError) or (bool(frames) and (_ROOT / "tests") in Path(frames[-1].filename).parents)


def _place(error: BaseException | None) -> str:
    """Return the innermost line of the project's packages, or else of the tests, that an error passed."""
    found = "?"
    trace: TracebackType | None = None if error is None else error.__traceback__
    for frame in traceback.extract_tb(trace):
        file = Path(frame.filename)
        if file.is_relative_to(_ROOT):
            name = file.relative_to(_ROOT).as_posix()
            found = f"{name}:{frame.lineno}" if not name.startswith("tests/") or found.startswith(("?", "tests/")) else found
    return found


# ---- limits, where the system has them


@contextlib.contextmanager
def limited() -> Iterator[Callable[[], int]]:
    """Stop what takes more than `MOST_BYTES` or `MOST_SECONDS`; the value says how much memory was taken, if it was too much."""
    start, peak_is_known = _memory("VmRSS"), _forget_peak()

    def over() -> int:
        took = _memory("VmHWM") - start
        return took if peak_is_known and took > MOST_BYTES else 0

    with _limited_memory(), _limited_time():
        yield over


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    if resource is None or not (mapped := _memory("VmSize")):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    # a little more than what is asked for: what is mapped counts here too, with stacks of threads
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MOST_BYTES + 2**28, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def _limited_time() -> Iterator[None]:
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise OverTimeError

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, MOST_SECONDS), signal.SIGALRM: (signal.ITIMER_REAL, MOST_WAITING)}
    before = {number: signal.signal(number, stop) for number in timers}
    for timer, seconds in timers.values():
        # again and again: code that swallows the first gets another
        signal.setitimer(timer, seconds, 1.0)
    try:
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _memory(field: str) -> int:
    """Return a field of this process's memory in bytes; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) << 10 if found else 0


def _forget_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True
