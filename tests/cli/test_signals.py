"""Ctrl-C and the signals that ask a process to end: one line, its status, and nothing left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sdrt.cli import main, signals
from tests.cli.programs import start

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")

ENDS = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated"), signal.SIGHUP: (129, "terminated")}

# Entered before anything of the program is imported: the process tells when it is there, and a signal may come at any moment behind.
LATE_START = "import sys; sys.argv[0] = 'sdrt'; from sdrt.cli import main; print('ready', flush=True); sys.exit(main())"

# What Python says of a Ctrl-C in that line itself, before any line of the program is entered.
BEFORE_MAIN = 'Traceback (most recent call last):\n  File "<string>", line 1, in <module>\nKeyboardInterrupt\n'


def stop_after(seconds: float, number: signal.Signals, folder: Path, *argv: str) -> tuple[int, str]:
    """Send a signal some time after the entry point is reached; returns status and errors."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    command = [sys.executable, "-c", LATE_START, *argv]
    with subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.mark.parametrize("seconds", [0, 0.03, 0.1, 0.2, 0.35, 0.6])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_is_one_line(tmp_path: Path, seconds: float, number: signal.Signals) -> None:
    argv = ["generate", "a red circle", "--steps", "400", "--seed", "1", "-q", "-o", "out"]
    status, err = stop_after(seconds, number, tmp_path, *argv)
    expected, word = ENDS[number]
    if seconds == 0 and number == signal.SIGTERM and status == -signal.SIGTERM:
        return  # it came before the handler, and the system ended the process
    if seconds == 0 and (status, err) == (-signal.SIGINT, BEFORE_MAIN):
        return  # it came between the word and the call of main
    assert (status, err) in {(expected, f"sdrt: {word}; pictures that were finished are kept\n"), (expected, f"sdrt: {word}\n")}
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_is_being_written_is_finished_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = Path.hardlink_to

    def hardlink_to(self: Path, target: Path) -> None:
        signal.raise_signal(signal.SIGTERM)
        plain(self, target)

    monkeypatch.setattr(Path, "hardlink_to", hardlink_to)
    (tmp_path / "two.txt").write_text("a\nb\n")
    assert main(["generate", "--prompts", str(tmp_path / "two.txt"), "--steps", "1", "--seed", "1", "-o", str(tmp_path / "out")]) == 143
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'out' / 'a.1.png'}\n"
    assert err == "sdrt: terminated; pictures that were finished are kept\n"
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a.1.png"]


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize(
    ("swallow", "place"),
    [
        (None, "sdrt.pipeline.loading.load"),
        (ImportError("it was in the middle of an import"), "sdrt.pipeline.loading.load"),
        (None, "sdrt.cli.plug_ins.entry_points"),
    ],
    ids=["loading", "as another exception", "plug-ins"],
)
def test_wherever_a_signal_comes_out_it_is_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    swallow: Exception | None,
    place: str,
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        try:
            signal.raise_signal(number)
        except signals.Interrupted:
            if swallow is not None:
                raise swallow from None
            raise

    monkeypatch.setattr(place, interrupted)
    before = signal.getsignal(number)
    status, word = ENDS[number]
    kept = "" if "plug_ins" in place else "; pictures that were finished are kept"
    assert main(["generate", "a", "-q", "-o", str(tmp_path / "out")]) == status
    assert capsys.readouterr() == ("", f"sdrt: {word}{kept}\n")
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) is before


def test_a_signal_that_a_library_drops_is_raised_at_the_next_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: list[int] = []
    plain = signals.check

    def check() -> None:
        drawn.append(1)
        if len(drawn) == 3:
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        plain()

    monkeypatch.setattr(signals, "check", check)
    assert main(["generate", "a", "--steps", "50", "-q", "-o", str(tmp_path / "out")]) == 130
    assert len(drawn) < 6


def test_a_second_signal_does_not_disturb_the_cleaning_up() -> None:
    cleaned = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            cleaned.append(True)

    with signals.handled(), pytest.raises(signals.Interrupted):
        work()
    assert cleaned


def test_a_signal_that_is_ignored_or_handled_by_others_is_theirs() -> None:
    got = []
    before = signal.signal(signal.SIGTERM, lambda *_: got.append(1)), signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.handled():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGHUP)
            assert signals.came() is None
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGHUP, before[1])
    assert got == [1]


def test_another_thread_than_the_main_one_may_run_commands(capsys: pytest.CaptureFixture[str]) -> None:
    status = []
    thread = threading.Thread(target=lambda: status.append(main(["models"])))
    thread.start()
    thread.join()
    assert status == [0]


def test_a_signal_while_python_ends_says_nothing(tmp_path: Path) -> None:
    """The work is done, and what Python does last is nobody's concern."""
    slow = "import atexit, time; atexit.register(time.sleep, 0.5); " + LATE_START.replace("'sdrt'", "'sdrt'; sys.argv[1:] = ['models']", 1)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    with subprocess.Popen(
        [sys.executable, "-c", slow], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        while "nano" not in process.stdout.readline():
            pass
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 0


def test_the_converter_is_interrupted_in_one_line(tmp_path: Path) -> None:
    with start("--model-version", "nano", "--convert-unet", "-o", "out", cwd=tmp_path, module="converter") as process:
        time.sleep(1.5)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) in {(143, "converter: terminated; finished packages are kept\n"), (143, "converter: terminated\n")}
    assert list(tmp_path.iterdir()) == []


def test_a_command_inside_a_command_leaves_the_signals_to_it() -> None:
    with signals.handled():
        with signals.handled():
            pass
        with suppress(signals.Interrupted):
            signal.raise_signal(signal.SIGINT)
        with signals.handled(), pytest.raises(signals.Interrupted):
            signals.check()
