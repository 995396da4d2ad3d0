"""The plug-in adds a test for each port, and nothing where no port is named."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import sdrt

PORTS = """
import sdrt

class MyDDIM(sdrt.schedulers.DiffusersScheduler):
    def __init__(self, prediction_type="epsilon"):
        super().__init__(sdrt.schedulers.sampler_from_config({"_class_name": "DDIMScheduler", "prediction_type": "epsilon"}))

def right(beta_schedule="linear"):
    return sdrt.schedulers.from_config({"_class_name": "DDIMScheduler", "beta_schedule": beta_schedule})

def noise(seed, shape):
    return sdrt.rng.stream("torch", seed).normal(shape)

class holder:
    noise = staticmethod(noise)

encode = sdrt.ClipTokenizer.clip().encode

def encode_backwards(text):
    return encode(text)[::-1]

def broken(networks, call):
    raise RuntimeError("out of memory")
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "myport.py").write_text(PORTS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "sdrt.testing.plugin", "-q", *arguments]
    # The plug-in as this checkout has it, whichever is installed, and no other.
    places = {**os.environ, "PYTHONPATH": str(Path(sdrt.__file__).parents[1]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    places.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(command, cwd=folder, env=places, capture_output=True, text=True, check=False)


def test_each_port_is_a_test_and_each_fault_a_line(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        *("--sdrt-scheduler", "myport:MyDDIM", "--sdrt-scheduler", "myport:right", "--sdrt-like", "DDIMScheduler"),
        *("--sdrt-stream", "myport:holder.noise", "--sdrt-tokenizer", "myport:encode", "--sdrt-tokenizer", "myport:encode_backwards"),
        *("--sdrt-loop", "myport:broken"),
    )
    lines = ran.stdout.splitlines()
    assert "3 failed, 3 passed" in lines[-1], ran.stdout
    assert ran.returncode == 1
    assert [line.split(";")[0] for line in lines if line.startswith("prediction_read_as_another: ")] == [
        "prediction_read_as_another: these are the numbers of prediction_type='epsilon'"
    ]
    assert any(line.startswith("start_token_missing: ") for line in lines)
    assert any(line.startswith("raises: EulerAncestralDiscreteScheduler, 4 steps") for line in lines)
    assert not any("Traceback" in line for line in lines)


def test_they_can_be_chosen_by_name(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text("def test_own(): pass\n")
    ran = run(tmp_path, "--sdrt-stream", "myport:noise", "--sdrt-tokenizer", "myport:encode", "-k", "sdrt-stream")
    assert "1 passed, 2 deselected" in ran.stdout
    ran = run(tmp_path, "--sdrt-stream", "myport:noise", "--sdrt-stream-like", "nv", "-rA")
    assert "PASSED test_own.py::test_own" in ran.stdout
    assert "FAILED sdrt-stream[myport:noise]" in ran.stdout
    assert "another_generator: these are the numbers of the stream 'torch'; nv, seed 0" in ran.stdout


def test_a_port_that_is_not_there_is_an_error_of_its_test(tmp_path: Path) -> None:
    ran = run(tmp_path, "--sdrt-stream", "myport:nois")
    assert "a port must be package.module:name, got 'myport:nois', which cannot be imported: module 'myport' has no attr" in ran.stdout
    assert "Traceback" not in ran.stdout
    assert ran.returncode == 1


def test_settings_reach_the_check(tmp_path: Path) -> None:
    settings = '{"clip_sample": false, "beta_schedule": "scaled_linear"}'
    ran = run(tmp_path, "--sdrt-scheduler", "myport:right", "--sdrt-settings", settings)
    assert "setting_ignored: these are the numbers of clip_sample=True" in ran.stdout


def test_wrong_options_are_one_line(tmp_path: Path) -> None:
    for options, said in (
        (("--sdrt-settings", "{x"), "--sdrt-settings must be a JSON object, got '{x'; write one such as '{\"clip_sample\": false}'"),
        (("--sdrt-like", "DDIM"), "like must be one of sdrt.schedulers.class_names(), got 'DDIM'; choose one of those"),
    ):
        ran = run(tmp_path, "--sdrt-scheduler", "myport:right", *options)
        assert ran.returncode == 1
        assert said in ran.stdout.splitlines()


def test_without_options_it_adds_nothing_and_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(
        "import sys\n"
        "def test_own():\n"
        "    loaded = {name for name in sys.modules if name.split('.')[0] == 'sdrt'}\n"
        "    assert loaded <= {'sdrt', 'sdrt._version', 'sdrt.late', 'sdrt.testing', 'sdrt.testing.plugin'}, loaded\n"
        "    assert 'numpy' not in sys.modules and 'hypothesis' not in sys.modules\n"
    )
    ran = run(tmp_path)
    assert "1 passed" in ran.stdout, ran.stdout


def test_the_entry_point_is_declared() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"sdrt": "sdrt.testing.plugin"}
    assert project["optional-dependencies"]["testing"] == ["hypothesis>=6.120"]


def test_help_names_every_option(tmp_path: Path) -> None:
    shown = run(tmp_path, "--help").stdout
    assert all(f"--sdrt-{name}" in shown for name in ("backend", "scheduler", "stream", "tokenizer", "loop", "like", "settings", "bound"))
