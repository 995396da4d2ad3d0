"""The threads of one network: a persistent pool that works through blocks, with scratch memory for each thread and one arithmetic for all.

Which blocks there are depends on shapes and on the number of threads alone, and every block is computed from its inputs alone: who takes
which block, and what else runs meanwhile, moves no bit of a result.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self, TypeVar

import numpy as np

from sdrt.backends.numpy.arithmetic import FLOATING, Arithmetic
from sdrt.backends.numpy.scratch import Scratch
from sdrt.forking import ForkLock, reset_in_child
from sdrt.host import usable_cores

__all__ = ["ThreadTeam"]

_Block = TypeVar("_Block")

# Work below this many seconds is not worth waking a thread for (handing over and waiting costs some 50 microseconds).
_WORTH_SHARING = 4e-4
_FLOPS_A_SECOND = 5e10  # of one core, for that estimate only


class ThreadTeam:
    """At most ``threads`` threads, the caller's among them, and no more than there are cores.

    A forked child has threads of its own. Where no further thread can be started (the system has none left, or the interpreter ends while
    this thread goes on), those that there are do the work, the caller's at least.

    Parameters
    ----------
    threads : int, at least 1
        Also how finely kernels cut their work, which does not depend on the machine.
    arithmetic : Arithmetic
        What every kernel computes with.
    """

    def __init__(self, threads: int, arithmetic: Arithmetic = FLOATING) -> None:
        self.threads, self.arithmetic = threads, arithmetic
        self._useful = min(threads, max(2, usable_cores()))
        reset_in_child(self)
        self._local = threading.local()
        self._pool: ThreadPoolExecutor | None = None
        self._lock = ForkLock()
        self._owners, self._closed = 1, False

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
        helpers = min(self._useful, len(queue)) - 1 if flops > _WORTH_SHARING * _FLOPS_A_SECOND else 0
        if helpers <= 0:
            for block in queue:
                work(block)
            return

        # numpy's way with floating-point faults belongs to a thread: that of the caller holds for all
        faults = np.geterr()

        def drain() -> None:
            with np.errstate(**faults):
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

    def share(self) -> Self:
        """Return the team for one more owner: it ends when all of them have closed it."""
        with self._lock:
            self._owners += 1
        return self

    def close(self) -> None:
        """End the threads and let the scratch memory go, if no other owner is left; a call under way ends on its own thread."""
        with self._lock:
            self._owners -= 1
            if self._owners > 0:
                return
            self._closed = True
            if self._pool is not None:
                self._pool.shutdown(wait=False)
        self._local = threading.local()

    def reset(self) -> None:
        """Begin anew in a forked child, where the parent's threads are not."""
        self._pool = None
        self._local = threading.local()

    def _submit(self, job: Callable[[], None], times: int) -> list[Future[None]]:
        futures: list[Future[None]] = []
        with self._lock:
            if self._closed:
                return []
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._useful - 1, thread_name_prefix="sdrt-numpy")
            try:
                for _ in range(times):
                    futures.append(self._pool.submit(job))  # noqa: PERF401 -- those before a refusal count
            except RuntimeError:
                # no further thread can be started; a pool keeps a job that it refused so, and with it the arrays
                self._pool.shutdown(wait=False, cancel_futures=True)
                self._pool = None
        return futures
