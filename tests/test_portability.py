"""What Windows lacks is asked for in one module, with an answer for where it is missing; everything else runs without it."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sdrt
from sdrt import host

ROOT = Path(sdrt.__file__).parents[1]

# Calls of os and of pathlib that Windows lacks, or allows to administrators alone.
POSIX_CALLS = {
    *("fork", "geteuid", "getpgid", "getuid", "killpg", "mkfifo", "sched_getaffinity", "setsid", "statvfs", "sysconf", "wait4"),
    *("symlink", "symlink_to"),
}
POSIX_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "termios"}

# Takes all of them away, before anything of ours is imported.
WINDOWS = f"""
import os, sys
for name in {sorted(POSIX_CALLS)}:
    if hasattr(os, name):
        delattr(os, name)
for name in {sorted(POSIX_MODULES)}:
    sys.modules[name] = None
"""

FAKE_PIPELINE = """
import sdrt
from tests.fake_backend import FakeBackend
with sdrt.load("nano", backend=FakeBackend()) as pipe:
    steps = [step.index for step in pipe.steps("a red circle", seed=1, num_inference_steps=2)]
    image, = pipe.generate("a red circle", seed=1, num_inference_steps=2).images
print(steps, image.size)
"""

NANO = """
import sdrt
with sdrt.load("nano") as pipe:
    image, = pipe.generate("a red circle", seed=1, num_inference_steps=1).images
print(image.size)
"""

COMMAND_LINES = """
import converter.cli, sdrt.backends.coreml, sdrt.cli
converter.cli.parser()
sdrt.cli.main(["generate", "a red circle", "--seed", "1", "--steps", "1", "-o", "picture.png"])
"""


def run_as_on_windows(program: str, folder: Path) -> str:
    command, environment = [sys.executable, "-c", WINDOWS + program], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_fake_pipeline_runs_without_posix(tmp_path: Path) -> None:
    assert run_as_on_windows(FAKE_PIPELINE, tmp_path) == "[0, 1] (128, 128)\n"


def test_a_picture_is_drawn_without_posix(tmp_path: Path) -> None:
    assert run_as_on_windows(NANO, tmp_path) == "(128, 128)\n"


def test_both_command_lines_run_without_posix(tmp_path: Path) -> None:
    run_as_on_windows(COMMAND_LINES, tmp_path)
    assert (tmp_path / "picture.png").is_file()


def trees() -> Iterator[tuple[str, ast.AST]]:
    """Every node of every installed file, with the file's name."""
    for room in ("sdrt", "converter"):
        for file in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                yield file.relative_to(ROOT).as_posix(), node


def posix_names(node: ast.AST) -> set[str]:
    """What Windows lacks that this node names."""
    if isinstance(node, ast.Attribute):
        return {node.attr} & POSIX_CALLS
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names} & POSIX_MODULES
    if isinstance(node, ast.ImportFrom):
        return {str(node.module)} & POSIX_MODULES or {alias.name for alias in node.names if node.module == "os"} & POSIX_CALLS
    # as in getattr(os, "sysconf", None)
    return {node.value} & POSIX_CALLS if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def test_what_windows_lacks_is_named_in_one_module_and_text_has_an_encoding() -> None:
    """Windows reads a text file in the system's code page where nothing is said."""
    used: dict[str, set[str]] = {}
    for file, node in trees():
        if names := posix_names(node):
            used.setdefault(file, set()).update(names)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("read_text", "write_text"):
            assert any(keyword.arg == "encoding" for keyword in node.keywords), f"{file}:{node.lineno}"
    assert used == {"sdrt/host.py": {"fcntl", "sched_getaffinity", "symlink_to", "sysconf"}}


def test_the_machine_is_described() -> None:
    assert host.usable_cores() >= 1
    assert host.total_memory() > host.available_memory() > 2**20
    assert host.processor_name()


def test_a_machine_that_tells_nothing_is_described_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for call in ("sysconf", "sched_getaffinity"):
        monkeypatch.delattr(os, call, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    for file in ("_CPUINFO", "_MEMINFO"):
        monkeypatch.setattr(host, file, tmp_path / "none")
    assert (host.usable_cores(), host.total_memory(), host.available_memory()) == (1, 2**34, 2**33)
    assert host.processor_flags() == frozenset()
    assert host.processor_name()


def test_linux_says_what_memory_is_available(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:       24684084 kB\nMemFree:        20684084 kB\nMemAvailable:   22081504 kB\n", encoding="ascii")
    monkeypatch.setattr(host, "_MEMINFO", told)
    assert host.available_memory() == 22081504 * 1024


def test_linux_names_the_processor_and_its_features(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text(
        "processor\t: 0\nmodel name\t: A processor\nflags\t\t: avx2 amx_bf16\n\nprocessor\t: 1\nflags\t\t: another\n", encoding="ascii"
    )
    monkeypatch.setattr(host, "_CPUINFO", told)
    assert host.processor_name() == "A processor"
    assert host.processor_flags() == {"avx2", "amx_bf16"}
