"""Unfinished files: they never lie under a finished name, and never outlive the next conversion, however a process ended."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from converter import workplace as module
from converter.workplace import move_into_place, output_folder, workplace, write_text
from sdrt.errors import ConversionError

# Replaces a package, and is killed at one of the moments.
KILLED = """
import os, pathlib, signal, sys
from converter import workplace as module
out, moment = pathlib.Path(sys.argv[1]), sys.argv[2]
plain, calls = pathlib.Path.rename, []
def rename(self, target):
    calls.append(self)
    if moment == f"before rename {len(calls)}":
        os.kill(os.getpid(), signal.SIGKILL)
    plain(self, target)
pathlib.Path.rename = rename
with module.workplace(out) as work:
    (work / "x.mlpackage").mkdir()
    (work / "x.mlpackage" / "new").write_text("new")
    (out / "Resources").mkdir(exist_ok=True)
    module.move_into_place(work / "x.mlpackage", out / sys.argv[3])
    os.kill(os.getpid(), signal.SIGKILL)
"""

needs_kill = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on Windows")


def package(path: Path, content: str) -> Path:
    path.mkdir(parents=True)
    (path / content).write_text(content)
    return path


def content_of(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


def test_a_finished_package_takes_its_place_and_nothing_else_is_left(tmp_path: Path) -> None:
    package(tmp_path / "x.mlpackage", "old")
    with workplace(tmp_path) as work:
        move_into_place(package(work / "x.mlpackage", "new"), tmp_path / "x.mlpackage")
    assert content_of(tmp_path) == ["x.mlpackage"]
    assert content_of(tmp_path / "x.mlpackage") == ["new"]


@needs_kill
@pytest.mark.parametrize("place", ["x.mlpackage", "Resources/Unet.mlmodelc", "Stable_Diffusion_version_日本のモデル_unet.mlpackage"])
@pytest.mark.parametrize(
    ("moment", "left"), [("before rename 1", "old"), ("before rename 2", "old"), ("after both", "new")], ids=["first", "second", "after"]
)
def test_after_a_kill_the_next_conversion_puts_back_and_clears_up(tmp_path: Path, place: str, moment: str, left: str) -> None:
    package(tmp_path / place, "old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), moment, place], check=False)
    assert killed.returncode == -9
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".converting-")]
    if moment == "before rename 2":
        assert not (tmp_path / place).exists()
    with output_folder(tmp_path):
        assert content_of(tmp_path / place) == [left]
        assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_is_left_of_an_older_sdrt_is_removed(tmp_path: Path) -> None:
    """Its folders have no lock."""
    package(tmp_path / ".converting-abcd1234" / "x.mlpackage", "half")
    with output_folder(tmp_path):
        assert content_of(tmp_path) == []


def test_the_folder_of_a_running_conversion_stays(tmp_path: Path) -> None:
    with workplace(tmp_path) as ours:
        (ours / "half").write_text("half")
        program = "import pathlib, sys; from converter.workplace import workplace\nwith workplace(pathlib.Path(sys.argv[1])): pass"
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
        # a second conversion in this process
        other = threading.Thread(target=lambda: write_text(tmp_path / "vocab.json", "{}"))
        other.start()
        other.join()
        assert content_of(ours) == ["half", "lock"]
    assert content_of(tmp_path) == ["vocab.json"]


def test_a_link_and_a_file_of_that_name_are_left_alone(tmp_path: Path) -> None:
    package(tmp_path / "elsewhere", "mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".converting-notes").write_text("mine")
    try:
        (tmp_path / "out" / ".converting-link").symlink_to(tmp_path / "elsewhere")
    except OSError:
        pytest.skip("links need a right on Windows")
    with output_folder(tmp_path / "out"):
        pass
    assert content_of(tmp_path / "out") == [".converting-link", ".converting-notes"]
    assert content_of(tmp_path / "elsewhere") == ["mine"]


def test_a_disk_without_locks_is_written_to_and_nothing_is_taken_for_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(lock: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(module, "lock_file", no_locks)
    package(tmp_path / ".converting-abcd1234", "somebody's")
    write_text(tmp_path / "vocab.json", "{}")
    assert content_of(tmp_path) == [".converting-abcd1234", "vocab.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
@pytest.mark.parametrize(("umask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0o002, 0o664, 0o775)])
def test_rights_are_those_of_the_umask(tmp_path: Path, umask: int, file_mode: int, folder_mode: int) -> None:
    before = os.umask(umask)
    try:
        with workplace(tmp_path) as work:
            made = package(work / "x.mlpackage", "model.mlmodel")
            (made / "model.mlmodel").chmod(0o600)
            move_into_place(made, tmp_path / "x.mlpackage")
    finally:
        os.umask(before)
    assert (tmp_path / "x.mlpackage").stat().st_mode & 0o777 == folder_mode
    assert (tmp_path / "x.mlpackage" / "model.mlmodel").stat().st_mode & 0o777 == file_mode


def test_an_empty_folder_that_was_made_for_nothing_goes_again(tmp_path: Path) -> None:
    with output_folder(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert content_of(tmp_path) == []
    with output_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert content_of(tmp_path / "a" / "b") == ["file"]


@pytest.mark.parametrize("name", ["file", "file/below", "a" * 300])
def test_a_place_that_cannot_be_written_to_is_found_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConversionError, match=r"must be a folder to write to, got .*; choose another one with -o"),
        output_folder(tmp_path / name),
    ):
        pytest.fail("it was taken for a folder")
    assert content_of(tmp_path) == ["file"]
