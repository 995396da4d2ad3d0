"""Cases in processes of their own, so that one that crashes or hangs is counted and the others go on."""

import itertools
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tests.fuzz.judging import MOST_WAITING, OTHER, TIME, Outcome
from tests.fuzz.materials import Materials
from tests.fuzz.running import Finished, generators, run_case

# A process is replaced after so many cases: caches that grow are its own.
CASES_OF_A_PROCESS = 2_000
# In one piece of C no signal is heard: such a case is ended from outside.
_PATIENCE = MOST_WAITING + 40
_BEGINNING = 600
_READY = "ready"


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    case: str | None = None
    since: float = 0.0
    ran: int = 0


def run_all(cases: Iterable[str], root: Path, processes: int, until: float | None = None) -> Iterator[Finished]:
    """Run cases, in the order in which they end.

    Parameters
    ----------
    cases : iterable of str
    root : Path
        Of the materials.
    processes : int
    until : float or None
        The time of `time.monotonic` after which no further case begins.
    """
    left = iter(cases)
    workers = [_started(root) for _ in range(processes)]
    try:
        for worker in workers:
            _next(worker, left, until)
        while busy := [worker for worker in workers if worker.case is not None]:
            ready = wait([worker.pipe for worker in busy], timeout=1.0)
            for position, worker in enumerate(workers):
                if worker.case is None:
                    continue
                if worker.pipe in ready:
                    try:
                        found = worker.pipe.recv()
                        if found == _READY:
                            worker.since = time.monotonic()
                            continue
                        yield found
                    except (EOFError, ConnectionError):
                        yield _ended(worker, OTHER, "the process died")
                        workers[position] = worker = _started(root)
                elif time.monotonic() > worker.since + _PATIENCE:
                    worker.process.kill()
                    yield _ended(worker, TIME, "hangs: no signal is heard")
                    workers[position] = worker = _started(root)
                else:
                    continue
                if worker.ran >= CASES_OF_A_PROCESS:
                    _stop(worker)
                    workers[position] = worker = _started(root)
                _next(worker, left, until)
    finally:
        for worker in workers:
            _stop(worker)


def cases_of(names: Sequence[str], seed: int, count: int) -> Iterator[str]:
    """Cases of these generators in turn, ``count`` in all."""
    rounds = (f"{name}/{seed}/{index}" for index in itertools.count() for name in names)
    return itertools.islice(rounds, count)


def _started(root: Path) -> _Worker:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(there, root), daemon=True)
    process.start()
    there.close()
    return _Worker(process, here)


def _next(worker: _Worker, left: Iterator[str], until: float | None) -> None:
    worker.case = None if until is not None and time.monotonic() > until else next(left, None)
    # a process that begins imports for as long as it takes, and says when it is ready
    worker.since = time.monotonic() + (_BEGINNING if worker.ran == 0 else 0)
    worker.ran += 1
    if worker.case is not None:
        # the pipe of a process that has died breaks; the next look at it counts the case
        with suppress(ConnectionError):
            worker.pipe.send(worker.case)


def _ended(worker: _Worker, column: str, words: str) -> Finished:
    worker.process.join(5)
    code = worker.process.exitcode
    return Finished(str(worker.case), Outcome(column, f"{words} (exit code {code})", f"{words} {str(worker.case).split('/')[0]}"), ())


def _stop(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.join(2)
    if worker.process.is_alive():
        worker.process.kill()


def _work(pipe: Connection, root: Path) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    materials = Materials(root)
    generators()
    pipe.send(_READY)
    while True:
        try:
            case = pipe.recv()
        except EOFError:
            return
        pipe.send(run_case(case, materials))
