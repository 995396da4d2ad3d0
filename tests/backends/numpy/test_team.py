"""The threads of the numpy backend: as many as are useful, and the caller alone where there are no others."""

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.backends.numpy import team as module
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.errors import ConfigError

ENOUGH = 1e12  # operations that are worth sharing


def squares(team: ThreadTeam, count: int = 200) -> tuple[list[int], set[str]]:
    out, names = [0] * count, set()

    def work(block: int) -> None:
        names.add(threading.current_thread().name)
        out[block] = block**2

    team.map_blocks(work, range(count), ENOUGH)
    return out, names


@pytest.mark.parametrize("threads", [1, 2, 3, 1000])
def test_every_block_is_done_once_by_no_more_threads_than_cores(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 4)
    team = ThreadTeam(threads)
    before = threading.active_count()
    for _ in range(5):
        out, names = squares(team)
        assert out == [k**2 for k in range(200)]
        assert len(names) <= min(threads, 4)
    assert threading.active_count() - before <= 3
    team.close()


def test_where_no_thread_can_be_started_the_caller_works_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module, "usable_cores", lambda: 4)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    team = ThreadTeam(4)
    for _ in range(3):
        assert squares(team)[0] == [k**2 for k in range(200)]
        # a pool that keeps what it refused would keep its arrays too
        assert team._pool is None


def test_threads_that_started_before_the_refusal_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 4)
    start = threading.Thread.start
    begun: list[threading.Thread] = []

    def one(self: threading.Thread) -> None:
        if begun:
            raise RuntimeError("can't start new thread")
        begun.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", one)
    assert squares(ThreadTeam(4), 2000)[0] == [k**2 for k in range(2000)]


def test_a_block_that_fails_fails_the_call() -> None:
    team = ThreadTeam(2)

    def work(block: int) -> None:
        if block == 50:
            raise ValueError("block 50")

    with pytest.raises(ValueError, match="block 50"):
        team.map_blocks(work, range(100), ENOUGH)
    assert squares(team)[0] == [k**2 for k in range(200)]
    team.close()


def test_the_callers_way_with_floating_point_faults_holds_in_every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 4)
    seen: list[Any] = []
    team = ThreadTeam(4)
    with np.errstate(divide="raise", invalid="ignore"):
        expected: Any = np.geterr()
        team.map_blocks(lambda _: seen.append(np.geterr()), range(100), ENOUGH)
    assert all(each == expected for each in seen)
    team.close()


def test_a_drawing_thread_may_outlive_the_main_thread() -> None:
    code = """
import threading, time, sdrt
pipe = sdrt.load("nano", threads=2)
if {first}:
    pipe.generate("red", num_inference_steps=1)
def work():
    threading.main_thread().join()
    time.sleep(0.1)
    print(len(pipe.generate("a red circle", num_inference_steps=2).images))
threading.Thread(target=work).start()
"""
    for first in (True, False):
        done = subprocess.run([sys.executable, "-c", code.format(first=first)], capture_output=True, text=True, timeout=100, check=True)
        assert done.stdout.strip() == "1", done.stderr
        assert not done.stderr


def test_more_threads_than_the_limit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"threads must be at most 1024, got 1000000; raise it with sdrt\.load\(limits="):
        sdrt.load("nano", threads=1_000_000)


def test_a_picture_strictly_and_with_warnings_as_errors_is_the_same() -> None:
    code = """
import warnings, numpy as np, sdrt
def draw():
    with sdrt.load("nano", threads=2) as pipe:
        return np.asarray(pipe.generate("a (red:1.3) circle", seed=1, num_inference_steps=2).images[0])
before = draw()
np.seterr(all="raise")
warnings.simplefilter("error")
assert (draw() == before).all()
"""
    subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=100, check=True)
