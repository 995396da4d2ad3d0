"""A forked child goes on: with pictures, with locks that other threads held, and while networks are opened elsewhere."""

import ast
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.forking import ForkLock
from sdrt.tokenizer.clip_vocabulary import ClipVocabulary

ROOT = Path(sdrt.__file__).parent.parent

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

# Ends a child that waits for ever, and says where.
CHILD = """
import faulthandler, os, sys, threading, time
import numpy as np, sdrt

def in_child(work):
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(60, exit=True)
        try:
            work()
        except BaseException as error:
            print(type(error).__name__, error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

def draw(pipe):
    return np.asarray(pipe.generate("a red circle", seed=1, num_inference_steps=2).images[0]).astype(int)
"""


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CHILD + code], capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_child_draws_after_its_parent_has_drawn(backend: str) -> None:
    """torch's threads stay with the parent; the child's one rounds sums in another order. In this process: to import torch is slow."""
    pytest.importorskip(backend)
    with sdrt.load("nano", backend=backend, threads=2) as pipe:

        def draw() -> Any:
            return np.asarray(pipe.generate("a red circle", seed=1, num_inference_steps=2).images[0]).astype(int)

        before = draw()
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # ends a child that waits for ever
            try:
                os._exit(0 if abs(draw() - before).max() <= (backend == "torch") else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert (draw() == before).all()


def test_a_child_draws_while_another_thread_of_its_parent_opens_a_network() -> None:
    run("""
from sdrt.backends import registry
class Slow:
    name, option_names, component_options = "slow", (), ("clip_skip",)
    waits = True
    def open(self, *args):
        opening.set()
        while self.waits and threading.current_thread() is thread:
            time.sleep(0.01)
        return registry.get("numpy").open(*args)
slow, opening = Slow(), threading.Event()
pipe = sdrt.load("nano", backend=slow, threads=2)
thread = threading.Thread(target=pipe.load)
thread.start()
opening.wait()
in_child(lambda: draw(pipe))
slow.waits = False
thread.join()
draw(pipe)
""")


def test_a_child_draws_while_other_threads_of_its_parent_draw() -> None:
    run("""
pipe = sdrt.load("nano", threads=2)
before = draw(pipe)
ended = threading.Event()
def drawing():
    while not ended.is_set():
        draw(pipe)
threads = [threading.Thread(target=drawing) for _ in range(2)]
for thread in threads:
    thread.start()
def work():
    assert (draw(pipe) == before).all()
for _ in range(2):
    time.sleep(0.05)
    in_child(work)
ended.set()
""")


def child_enters(lock: Any, enter: Callable[[], object]) -> bool:
    """Whether a child that is forked while another thread holds a lock gets through what needs it."""
    held, ended = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            ended.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        entering = threading.Thread(target=enter, daemon=True)
        entering.start()
        entering.join(20)
        os._exit(1 if entering.is_alive() else 0)
    ended.set()
    thread.join()
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_lock_is_open_in_a_child_whoever_holds_it(reentrant: bool) -> None:
    lock = ForkLock(reentrant=reentrant)
    assert child_enters(lock, lock.__enter__)


def test_who_forks_while_holding_a_lock_leaves_it_in_both() -> None:
    lock = ForkLock()
    with lock:
        child = os.fork()
    with lock:
        if child == 0:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_a_lock_keeps_others_out() -> None:
    lock = ForkLock()
    order: list[str] = []

    def wait() -> None:
        with lock:
            order.append("second")

    with lock:
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="cached properties have no lock any more")
def test_a_cached_property_that_another_thread_computes_is_open_in_a_child() -> None:
    assert child_enters(vars(ClipVocabulary)["tokens"].lock, lambda: ClipVocabulary().tokens)


# Nobody waits for these: who comes second is refused.
NEVER_WAITED_FOR = ("sdrt/pipeline/steps.py",)


def test_every_lock_is_one_that_a_child_finds_open() -> None:
    files = [file for package in ("sdrt", "converter") for file in (ROOT / package).rglob("*.py") if file.name != "forking.py"]
    files = [file for file in files if file.relative_to(ROOT).as_posix() not in NEVER_WAITED_FOR]
    plain = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("Lock", "RLock", "Condition", "Semaphore")
    ]
    assert not plain
