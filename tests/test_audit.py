"""What sdrt does to the world outside its process: it writes what it was asked to write, and nothing else.

Each test runs a piece of work in a process of its own, in an empty home, and reads what an audit hook wrote down.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sdrt

ROOT = Path(__file__).parents[1]


def acts_of(work: str, folder: Path) -> list[list[str]]:
    """The acts of a piece of work; home and temporary files have folders of their own."""
    for name in ("home", "tmp", "out"):
        (folder / name).mkdir(exist_ok=True)
    places = {"HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "home" / "cache"), "TMPDIR": str(folder / "tmp")}
    # which torch makes when a tool imports its compiler
    places["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "torch")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PYTEST"))}
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.audited", work, str(folder)],
        env={**kept, **places, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=folder / "out",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2_000:]
    found: list[list[str]] = json.loads(ran.stdout.splitlines()[-1])
    return found


def outside(acts: list[list[str]], *allowed: Path) -> list[list[str]]:
    """The acts that are no writing of files below the folders that are allowed."""
    files = ("open", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "os.chmod", "shutil.rmtree", "shutil.move")

    def is_allowed(act: list[str]) -> bool:
        places = [Path(place) for place in act[1:2]]
        # a number is an open file, and a relative name lies in an open folder: both were looked at when they were opened
        return act[0] in files and all(not place.is_absolute() or any(place.is_relative_to(each) for each in allowed) for place in places)

    return [act for act in acts if not is_allowed(act)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path.resolve()


def test_the_hook_sees_processes_pickles_connections_and_files(folder: Path) -> None:
    acts = acts_of("misbehave", folder)
    seen = {act[0] for act in acts}
    assert {"subprocess.Popen", "pickle.find_class", "socket.connect", "open"} <= seen
    assert {act[0] for act in outside(acts, folder)} == seen - {"open"}
    assert "open" in {act[0] for act in outside(acts, folder / "out")}


def test_loading_does_nothing_but_read(folder: Path) -> None:
    shutil.copytree(sdrt.models.path("nano"), folder / "models" / "copied")
    assert acts_of("load", folder) == []


def test_generate_writes_its_pictures_alone(folder: Path) -> None:
    acts = acts_of("generate", folder)
    assert outside(acts, folder / "out") == []
    assert sorted(file.name for file in (folder / "out").iterdir()) == ["again.png", "x.png"]
    assert [*(folder / "home").iterdir(), *(folder / "tmp").iterdir()] == []


def test_inspecting_does_nothing_but_read(folder: Path) -> None:
    (folder / "inspected").mkdir()
    with sdrt.load("nano", threads=1) as pipe:
        pipe.generate("a", seed=1, num_inference_steps=1).save(folder / "inspected")
    (folder / "inspected" / "damaged.mlmodel").write_bytes(b"\x08\x01" * 50)
    (folder / "inspected" / "y.png").write_bytes(b"no picture")
    assert acts_of("inspect", folder) == []


def test_converting_writes_packages_and_clears_up(folder: Path) -> None:
    pytest.importorskip("coremltools")
    acts = acts_of("convert", folder)
    assert outside(acts, folder / "out", folder / "tmp", folder / "torch") == []
    assert [*(folder / "home").iterdir(), *(folder / "tmp").iterdir()] == []
