"""``sdrt download`` and the Hub's part of ``sdrt models`` as a user meets them, in processes that are killed and interrupted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sdrt.cli import download, main
from tests.cli.programs import ROOT
from tests.hub_repository import StoredFile, apple_files, folder_files, nano_files
from tests.hub_server import HubServer

# The client writes in pieces of 10 MiB, which would make these tests slow.
PIECE = 100_000
SMALL_PIECES = f"from huggingface_hub import constants; constants.DOWNLOAD_CHUNK_SIZE = {PIECE}"
CODE = f"import sys; {SMALL_PIECES}; from sdrt.cli import main; sys.exit(main())"
LARGE = bytes(range(256)) * 10_000
HUGE = StoredFile(b"x", lfs=True, claimed_size=2_600_000_000)

posix = pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")


@contextmanager
def downloading(folder: Path, *argv: str, **streams: object) -> Iterator[subprocess.Popen[str]]:
    """``sdrt download`` in a process of its own, which the fixture's environment points at the tests' Hub."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    command = [sys.executable, "-c", CODE, "download", *argv]
    with subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def wait_for_bytes(folder: Path, number: int) -> None:
    """Wait until so many bytes have arrived."""
    for _ in range(1000):
        if sum(file.stat().st_size for file in folder.glob(".*.part/arriving/*")) >= number:
            return
        time.sleep(0.01)
    raise AssertionError(f"{number} bytes did not arrive in {folder}")


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_what_arrived_before_a_kill_is_not_fetched_again(hub: HubServer, tmp_path: Path, number: signal.Signals) -> None:
    hub.add("someone/large", {"a.safetensors": LARGE, "b/c.json": b"{}"})
    hub.disturb("^/repos/", bytes_per_second=500_000)
    folder = tmp_path / "new"
    folder.mkdir()
    with downloading(folder, "someone/large", "--all", "-q") as process:
        wait_for_bytes(folder, 2 * PIECE)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    words = {signal.SIGKILL: "", signal.SIGINT: "interrupted"}[number]
    kept = f"sdrt: {words}; what has arrived is kept, and the same command goes on from there\n"
    assert (out, err) == ("", kept if words else "")
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert not (folder / "large").exists()
    before = hub.contents()
    hub.requests.clear()
    hub.calm()
    with downloading(folder, "someone/large", "--all", "-q") as process:
        assert process.communicate(timeout=60) == ("large\n", "")
    assert folder_files(folder / "large") == {"a.safetensors": LARGE, "b/c.json": b"{}"}
    # the small file was there, and of the large one the rest is asked for
    (rest,) = hub.contents()
    assert rest.headers["range"] == f"bytes={rest.range_start}-"
    assert rest.range_start >= 2 * PIECE
    assert rest.range_start % PIECE == 0
    assert rest.sent == len(LARGE) - rest.range_start
    assert sorted(each.content for each in before) == ["a.safetensors", "b/c.json"]
    assert [entry.name for entry in folder.iterdir()] == ["large"]


@posix
def test_two_processes_do_no_harm(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/large", {"a.safetensors": LARGE})
    hub.disturb("^/repos/", bytes_per_second=200_000)
    with downloading(tmp_path, "someone/large", "-q") as first:
        wait_for_bytes(tmp_path, PIECE)
        with downloading(tmp_path, "someone/large", "-q") as second:
            _, err = second.communicate(timeout=60)
        assert second.returncode == 2
        assert err == "sdrt: large: another process is downloading it; wait for that, or choose another output folder\n"
        hub.calm()
        assert first.communicate(timeout=60) == ("large\n", "")
    assert folder_files(tmp_path / "large") == {"a.safetensors": LARGE}


def test_the_folder_is_printed_and_the_size_told(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    hub.add("apple/coreml-stable-diffusion-v1-4", apple_files())
    argv = ["download", "apple/coreml-stable-diffusion-v1-4", "--variant", "original/packages", "-o", "models"]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    folder = Path("models", "coreml-stable-diffusion-v1-4_original_packages")
    assert out == f"{folder}\n"
    assert err == "sdrt: apple/coreml-stable-diffusion-v1-4: fetching 15.4 kB\n"
    assert len(folder_files(folder)) == 12
    assert main(argv) == 2
    assert (
        capsys.readouterr().err == f"sdrt: {folder}: is there already; remove it or give it another name, or choose another output folder\n"
    )


class Terminal:
    """A standard stream with somebody at it, who types."""

    def __init__(self, answer: str = "") -> None:
        self.answer, self.written = answer, ""

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.answer

    def write(self, text: str) -> int:
        self.written += text
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("answer", ["y\n", "YES\n", "n\n", "\n", ""])
def test_a_large_download_is_asked_about_at_a_terminal(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(download, "_ASKED_ABOVE", 1_000)
    hub.add("someone/lora", {"a.safetensors": LARGE})
    err = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr", err)
    yes = answer.lower().startswith("y")
    assert main(["download", "someone/lora", "-o", str(tmp_path / "new")]) == (0 if yes else 2)
    assert f"sdrt: fetch 2.6 MB of someone/lora into {tmp_path / 'new'}? [y/N]\n" in err.written
    assert (tmp_path / "new" / "lora").exists() == yes
    assert len(hub.contents()) == yes
    assert ("2.56M/2.56M" in err.written) == yes
    assert ("sdrt: someone/lora: not fetched, since the answer was no; --yes fetches without a question" in err.written) != yes


@pytest.mark.parametrize("argv", [["--yes"], ["-y", "-q"], []])
def test_it_is_not_asked_about_otherwise(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    monkeypatch.setattr(download, "_ASKED_ABOVE", 1_000)
    hub.add("someone/lora", {"a.safetensors": LARGE})
    if argv:
        monkeypatch.setattr("sys.stdin", Terminal())
    assert main(["download", "someone/lora", "-o", str(tmp_path), *argv]) == 0
    assert "[y/N]" not in capsys.readouterr().err


@posix
def test_a_person_at_a_real_terminal_is_asked(hub: HubServer, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    hub.add("someone/huge", {"a.safetensors": HUGE})
    ours, theirs = pty.openpty()
    with downloading(tmp_path, "someone/huge", stdin=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = ""
        while "[y/N]" not in written:
            written += os.read(ours, 1000).decode()
        os.write(ours, b"n\n")
        process.wait(timeout=60)
    os.close(ours)
    assert "sdrt: fetch 2.6 GB of someone/huge into .? [y/N]" in written
    assert process.returncode == 2
    assert hub.contents() == []


def test_the_cache_is_listed_below_the_embedded_models(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sdrt

    cache = tmp_path / "hub-cache"
    assert main(["models"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["", f"in the Hub's cache, {cache}: no models"]
    tip = hub.add("someone/nano", nano_files()).tip
    sdrt.load("someone/nano")
    assert main(["models"]) == 0
    *_, blank, title, heads, row = capsys.readouterr().out.splitlines()
    assert (blank, title) == ("", f"in the Hub's cache, {cache}:")
    assert heads.split("  ")[0] == "name"
    assert row.split()[:6] == ["someone/nano", "main", tip[:8], "Stable", "Diffusion", "9.7"]
    assert main(["models", "--cache-dir", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr() == (
        "",
        f"sdrt: {tmp_path / 'nowhere'}: no such folder; pass the Hub's cache as --cache-dir, or leave it out\n",
    )


def test_without_the_client_the_embedded_models_are_listed_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main(["models"]) == 0
    assert "cache" not in capsys.readouterr().out
    assert main(["download", "someone/nano", "-o", str(tmp_path)]) == 2
    assert "pip install 'sdrt[hub]'" in capsys.readouterr().err
