"""The threads of one backend: a persistent pool that works through blocks, and scratch memory for each thread.

Which blocks there are depends on shapes and on the number of threads alone, and every block is computed from its inputs alone: who takes
which block, and what else runs meanwhile, moves no bit of a result.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sdrt.arrays import Float

__all__ = ["Scratch", "ThreadTeam"]

_Block = TypeVar("_Block")

# Work below this many seconds is not worth waking a thread for (handing over and waiting costs some 50 microseconds).
_WORTH_SHARING = 4e-4
_FLOPS_A_SECOND = 5e10  # of one core, for that estimate only


class Scratch:
    """Memory that is used again and again, by name. What `take` returns is valid until the same name is taken again in this thread."""

    def __init__(self) -> None:
        self._buffers: dict[str, npt.NDArray[np.uint8]] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Float:
        """Return an array of this shape, C-contiguous and not initialised."""
        count = dtype.itemsize
        for size in shape:
            count *= size
        buffer = self._buffers.get(name)
        if buffer is None or buffer.nbytes < count:
            buffer = self._buffers[name] = np.empty(count, np.uint8)
        return np.ndarray(shape, dtype, buffer)


class ThreadTeam:
    """At most ``threads`` threads, the caller's among them.

    Parameters
    ----------
    threads : int, at least 1
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._local = threading.local()
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._closed = False

    @property
    def scratch(self) -> Scratch:
        """The scratch memory of the thread that asks."""
        scratch: Scratch | None = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = Scratch()
        return scratch

    def map_blocks(self, work: Callable[[_Block], None], blocks: Iterable[_Block], flops: float) -> None:
        """Call ``work`` once for each block, in any order, and return when all are done; ``flops`` estimates all of it together."""
        queue = deque(blocks)
        helpers = min(self.threads, len(queue)) - 1 if flops > _WORTH_SHARING * _FLOPS_A_SECOND else 0
        if helpers <= 0:
            for block in queue:
                work(block)
            return

        def drain() -> None:
            # a sigmoid's exp may overflow to infinity, which is the right answer there
            with np.errstate(over="ignore", under="ignore"):
                while True:
                    try:
                        block = queue.popleft()
                    except IndexError:
                        return
                    work(block)

        futures = self._submit(drain, helpers)
        try:
            drain()
        finally:
            queue.clear()
            # a helper that is still busy for another caller has nothing left to do here
            for future in [future for future in futures if not future.cancel()]:
                future.result()

    def close(self) -> None:
        """End the threads and let the scratch memory go; a call that is under way ends on its own thread."""
        with self._lock:
            self._closed = True
            if self._pool is not None:
                self._pool.shutdown(wait=False)
        self._local = threading.local()

    def _submit(self, job: Callable[[], None], times: int) -> list[Future[None]]:
        with self._lock:
            if self._closed:
                return []
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="sdrt-numpy")
            return [self._pool.submit(job) for _ in range(times)]
