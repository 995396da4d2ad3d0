"""OpenBLAS's own threads, switched off while a network runs.

The kernels split their rows over threads of their own, each of which gathers, multiplies and finishes a block while it lies in its cache;
BLAS must then use one thread a call. numpy's wheels bundle OpenBLAS, whose thread count belongs to the process: it is set to 1 when the
first call enters and put back when the last one leaves. Under another BLAS (Accelerate, MKL) nothing is set: its own variables bound it.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

from sdrt.forking import ForkLock, on_child

__all__ = ["one_thread"]

_PREFIXES = ("scipy_openblas", "openblas")
_SUFFIXES = ("64_", "")

_lock = ForkLock()
_entered = 0
_outside = 1  # the thread count to put back


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold OpenBLAS at one thread a call; may be entered from several threads at once."""
    global _entered, _outside
    functions = _thread_functions()
    if functions is None:
        yield
        return
    read, write = functions
    with _lock:
        _entered += 1
        if _entered == 1 and (_outside := read()) != 1:
            write(1)
    try:
        yield
    finally:
        with _lock:
            _entered = max(0, _entered - 1)  # a child that was forked in the call has left already
            if _entered == 0 and _outside != 1:
                write(_outside)


def _leave_all() -> None:
    """Forget the calls of the parent's other threads, which will not leave here."""
    global _entered
    functions = _thread_functions() if _entered else None
    if functions is not None and _outside != 1:
        functions[1](_outside)
    _entered = 0


on_child(_leave_all)


@cache
def _thread_functions() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """OpenBLAS's functions that read and write its thread count, or None if numpy runs on another BLAS."""
    for file in _candidates():
        try:
            library = ctypes.CDLL(str(file))
        except OSError:
            continue
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                read = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
                write = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
                if read is not None and write is not None:
                    read.restype, write.restype, write.argtypes = ctypes.c_int, None, [ctypes.c_int]
                    return read, write
    return None


def _candidates() -> list[Path]:
    """Where numpy's OpenBLAS may lie: beside the package in a wheel, else whatever this process has mapped (Linux)."""
    package = Path(np.__file__).parent
    bundled = [*(package.parent / "numpy.libs").glob("*openblas*"), *(package / ".dylibs").glob("*openblas*")]
    maps = Path("/proc/self/maps")
    mapped = maps.read_text(encoding="utf-8", errors="replace").splitlines() if not bundled and maps.is_file() else []
    return bundled + sorted({Path(line.split(maxsplit=5)[5]) for line in mapped if "openblas" in line})
