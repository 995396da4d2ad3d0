"""Draw for a long time, from many threads and processes, and see that nothing grows and no byte differs: ``python -m tests.soak``."""

import argparse
import gc
import hashlib
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import sdrt

SEEDS = 8
SIZE = {"height": 64, "width": 64, "num_inference_steps": 2}
# What may be taken once and kept (caches, arenas of the allocator), however long it goes on.
MOST_GROWTH = 64 << 20


@dataclass(frozen=True)
class Usage:
    """What this process holds.

    Parameters
    ----------
    memory : int (bytes)
    descriptors, threads : int
    """

    memory: int
    descriptors: int
    threads: int

    @classmethod
    def now(cls) -> "Usage":
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path("/proc/self/fd").iterdir())), threading.active_count())

    def check(self, what: str, before: "Usage") -> None:
        """Raise if this is more than before."""
        grown = self.memory - before.memory
        if grown > MOST_GROWTH or self.descriptors > before.descriptors or self.threads > before.threads:
            raise AssertionError(
                f"{what}: {grown >> 20} MiB more, descriptors {before.descriptors} -> {self.descriptors}, threads "
                f"{before.threads} -> {self.threads}"
            )


def digest(pipe: sdrt.Pipeline, k: int) -> str:
    """The bytes of picture k, of which only the first few differ."""
    result = pipe.generate("a red circle", seed=k % SEEDS, **SIZE)  # type: ignore[arg-type]
    return hashlib.sha256(result.latents.tobytes() + result.images[0].tobytes()).hexdigest()


def in_process(k: int, backend: str = "numpy") -> str:
    """Picture k of a pipeline of this process's own."""
    with sdrt.load("nano", backend, threads=1) as pipe:
        return digest(pipe, k)


class Soak:
    """One soak, whose pictures alone are drawn first.

    Parameters
    ----------
    backend : str
    until : float
        The time of `time.monotonic` at which each part ends early.
    """

    def __init__(self, backend: str, until: float) -> None:
        self.backend, self.until = backend, until
        # Python's own, which holds a descriptor from the first process that is spawned on
        resource_tracker.ensure_running()
        with self.opened() as pipe:
            self.alone = [digest(pipe, k) for k in range(SEEDS)]
        if len(set(self.alone)) != SEEDS:
            raise AssertionError("pictures of two seeds are equal")

    def opened(self) -> sdrt.Pipeline:
        return sdrt.load("nano", self.backend, threads=1)

    def pictures(self, count: int, threads: int) -> int:
        """Draw pictures from one pipeline in several threads."""
        with self.opened() as pipe, ThreadPoolExecutor(threads) as pool:
            self._compare(pool.map(lambda k: digest(pipe, k), range(4 * threads)))
            before = Usage.now()
            done = 0
            while done < count and time.monotonic() < self.until:
                done += self._compare(pool.map(lambda k: digest(pipe, k), range(min(200, count - done))))
            Usage.now().check(f"{done} pictures in {threads} threads", before)
        return done

    def loads(self, count: int) -> int:
        """Open the model anew for each picture."""
        self._compare(in_process(k, self.backend) for k in range(5))
        before = Usage.now()
        done = self._compare(in_process(k, self.backend) for k in self._range(count))
        Usage.now().check(f"{done} loads", before)
        return done

    def forks(self, count: int) -> int:
        """Fork while a pipeline is open and threads draw; each child draws with it, and with one of its own."""
        with self.opened() as pipe:
            digest(pipe, 0)
            before = Usage.now()
            done = 0
            with ThreadPoolExecutor(2) as pool:
                for k in self._range(count):
                    drawing = pool.submit(digest, pipe, k)
                    child = os.fork()
                    if child == 0:
                        same = digest(pipe, k) == in_process(k, self.backend) == self.alone[k % SEEDS]
                        os._exit(0 if same else 1)
                    _wait(child)
                    done += self._compare([drawing.result()], first=k)
            Usage.now().check(f"{done} forks", before)
        return done

    def pools(self, count: int, method: str) -> int:
        """Draw in a pool of processes."""
        with self.opened() as pipe:
            digest(pipe, 0)
            before = Usage.now()
            context = multiprocessing.get_context(method)
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                done = self._compare(pool.map(in_process, range(count), [self.backend] * count))
            # a pool of threads of concurrent.futures' own may still be ending
            time.sleep(0.2)
            Usage.now().check(f"{done} pictures in processes ({method})", before)
        return done

    def _range(self, count: int) -> Iterable[int]:
        for k in range(count):
            if time.monotonic() > self.until:
                return
            yield k

    def _compare(self, digests: Iterable[str], first: int = 0) -> int:
        count = 0
        for k, found in enumerate(digests, first):
            if found != self.alone[k % SEEDS]:
                raise AssertionError(f"picture {k} differs from the one drawn alone")
            count += 1
        return count


def _wait(child: int, patience: float = 60.0) -> None:
    """Wait for a child; one that hangs is ended, and is an error."""
    begun = time.monotonic()
    while time.monotonic() - begun < patience:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status:
                raise AssertionError(f"a forked child ended with status {status}")
            return
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("a forked child hangs")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--pictures", type=int, default=2_000, metavar="N")
    parser.add_argument("--threads", type=int, default=16, metavar="N")
    parser.add_argument("--loads", type=int, default=300, metavar="N")
    parser.add_argument("--forks", type=int, default=30, metavar="N")
    parser.add_argument("--processes", type=int, default=40, metavar="N", help="pictures drawn in pools of processes")
    parser.add_argument("--backend", default="numpy", metavar="NAME")
    parser.add_argument("--minutes", type=float, default=30.0, metavar="N", help="end each part early after so many minutes")
    given = parser.parse_args()
    soak = Soak(given.backend, time.monotonic() + given.minutes * 60)
    parts: dict[str, Callable[[], Any]] = {
        "pictures": lambda: soak.pictures(given.pictures, given.threads),
        "loads": lambda: soak.loads(given.loads),
        "forks": lambda: soak.forks(given.forks),
        "spawned": lambda: soak.pools(given.processes, "spawn"),
        "forked": lambda: soak.pools(given.processes, "fork"),
    }
    start = Usage.now()
    for name, part in parts.items():
        begun = time.monotonic()
        done = part()
        sys.stdout.write(f"{name}: {done} in {time.monotonic() - begun:.0f} s, bytes as alone; {Usage.now()}\n")
        sys.stdout.flush()
    Usage.now().check("everything", start)


if __name__ == "__main__":
    main()
