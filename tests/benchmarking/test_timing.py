"""``sdrt benchmark``: what is measured, and what is told of it. How long anything takes is no matter here."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.backends import registry
from sdrt.benchmarking import Candidate, Workload, attention, candidates, measure
from sdrt.benchmarking import timing as timing_module
from sdrt.cli import main
from sdrt.errors import ConfigError

QUICK = ["--steps", "2", "--repeats", "2"]


def test_the_table_and_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "here.json"
    assert main(["benchmark", *QUICK, "--size", "64x128", "--json", str(file)]) == 0
    out, err = capsys.readouterr()
    # nobody looks at a pipe
    assert err == ""
    heads, row = out.splitlines()
    assert " ".join(heads.split()) == "model backend compute unit attention size image step load peak memory"
    assert row.split()[:5] == ["nano", "numpy", "-", "-", "64x128"]
    found = json.loads(file.read_text())
    assert found["machine"]["versions"]["sdrt"] == sdrt.__version__
    assert found["machine"]["versions"]["numpy"] == np.__version__
    assert found["machine"]["cores"] >= 1
    assert found["workload"]["steps"] == 2
    [result] = found["results"]
    assert (result["width"], result["height"], result["calls"], result["skipped"]) == (64, 128, 2, "")
    assert len(result["all_image_seconds"]) == 2
    assert [each.name for each in tmp_path.iterdir()] == ["here.json"]


class _Clock:
    """A clock that a call moves on by one second, and drawing by what the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1.0
        return self.now


def test_the_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that each look moves on by a second: one look as a picture starts, one a step, one as it ends."""
    monkeypatch.setattr(timing_module, "time", _Clock())
    [found] = measure([Candidate(model="nano", backend="numpy")], Workload(steps=4, repeats=3))
    assert found.load_seconds == 1
    assert found.all_image_seconds == (5, 5, 5)
    assert (found.image_seconds, found.step_seconds, found.calls) == (5, 1, 4)


def test_the_median_is_of_pictures_and_the_warm_up_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock()
    monkeypatch.setattr(timing_module, "time", clock)
    drawn: list[int] = []
    plain = timing_module._draw

    def slow(pipe: Any, workload: Workload, steps: int, told: Any) -> Any:
        drawn.append(steps)
        # the warm-up would be the slowest of all, were it counted
        clock.now += {0: 1000.0, 1: 10.0, 2: 500.0, 3: 20.0}[len(drawn) - 1]
        return plain(pipe, workload, steps, told)

    monkeypatch.setattr(timing_module, "_draw", slow)
    [found] = measure([Candidate(model="nano", backend="numpy")], Workload(steps=5, repeats=3))
    assert drawn == [3, 5, 5, 5]
    assert found.all_image_seconds == (16, 506, 26)
    assert found.image_seconds == 26


def test_progress_counts_every_call_of_a_scheduler_that_calls_twice() -> None:
    told: list[tuple[int, int]] = []
    workload = Workload(steps=4, repeats=2, scheduler="heun")
    [found] = measure([Candidate(model="nano", backend="numpy")], workload, on_step=lambda _, done, total: told.append((done, total)))
    assert found.calls == 7
    assert [done for done, _ in told] == list(range(1, 5 + 2 * 7 + 1))
    # once a picture has shown how many calls a step takes, all are known
    assert {total for done, total in told if done > 5} == {5 + 2 * 7}


class _Units:
    """A backend that knows compute units, and runs on numpy."""

    name, option_names = "units", ("compute_unit", "dtype")


def test_each_model_on_each_backend_and_on_each_unit_where_it_knows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = registry.get
    monkeypatch.setattr(registry, "get", lambda name: _Units() if name == "units" else plain(name))
    found = candidates(["a", "b"], ["numpy", "units"], ["ALL", "CPU_ONLY"], {"threads": 1, "dtype": "float16"})
    assert [(each.model, each.backend, each.compute_unit) for each in found] == [
        (model, *rest) for model in "ab" for rest in (("numpy", None), ("units", "ALL"), ("units", "CPU_ONLY"))
    ]
    assert [dict(each.options) for each in found[:2]] == [{"threads": 1}, {"threads": 1, "dtype": "float16"}]
    assert [each.compute_unit for each in candidates(["a"], ["units"])] == [None]
    with pytest.raises(ConfigError, match=r"compute_unit: none of the backends numpy takes it"):
        candidates(["a"], ["numpy"], ["CPU_ONLY"])
    assert [each.compute_unit for each in candidates(["a"], ["numpy"], ["ALL"])] == [None]


def call_any(function: Any, *values: Any, **options: Any) -> Any:
    """Call with what a type checker would refuse."""
    return function(*values, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: call_any(Workload, steps="2"), "steps must be a whole number of at least 1, got '2'"),
        (lambda: call_any(Workload, steps=True), "steps must be"),
        (lambda: call_any(Workload, repeats=10**9), "repeats must be a whole number from 1 to 10000"),
        (lambda: call_any(Workload, prompt=None), "prompt must be a Unicode string"),
        (lambda: call_any(Workload, seed=1.5), "seed must be a whole number"),
        (lambda: call_any(Workload, height=0), "height must be a whole number of at least 1, or null"),
        (lambda: call_any(Workload, scheduler=""), "scheduler must be"),
        (lambda: call_any(candidates, "nano", ["numpy"]), "models must be a list"),
        (lambda: call_any(candidates, [], ["numpy"]), "models must be a list of at least 1"),
        (lambda: call_any(candidates, [None], ["numpy"]), "models must be a list"),
        (lambda: call_any(candidates, ["nano"], "numpy"), "backends must be a list"),
        (lambda: call_any(candidates, ["nano"], ["numpy"], "ALL"), "compute_units must be a list"),
        (lambda: call_any(candidates, ["nano"], ["numpy"], options=[1]), "options must be a mapping"),
        (lambda: call_any(measure, [Candidate(model="nano", backend="numpy")], None), "workload must be a Workload, got None"),
        (lambda: call_any(measure, ["nano"], Workload()), "chosen must hold Candidates, got 'nano'"),
        (lambda: call_any(measure, None, Workload()), "chosen must hold Candidates, got None"),
        (lambda: call_any(measure, [], Workload(), on_step=3), "on_step must be a function, got 3"),
    ],
)
def test_what_cannot_be_measured_is_one_line(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        call()
    assert message in str(raised.value)


def test_values_of_numpy_and_paths_are_taken(tmp_path: Path) -> None:
    workload = call_any(Workload, steps=np.int64(2), seed=np.uint8(5))
    assert (workload.steps, type(workload.steps), workload.seed) == (2, int, 5)
    assert [each.model for each in call_any(candidates, [tmp_path], ("numpy",))] == [str(tmp_path)]


def test_what_cannot_run_is_told_and_the_rest_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing"
    assert main(["benchmark", *QUICK, "--model", str(missing), "nano"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].startswith("nano ")
    assert out[2].startswith("missing on numpy: not measured: ")
    assert "no such folder" in out[2]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--model", "no/such"], "nothing could be measured: no/such: no such folder"),
        (["--backend", "abacus"], "backend must be numpy"),
        (["--backend", "numpy,"], "--backend must be names separated by commas, got 'numpy,'"),
        (["--steps", "0"], "steps must be a whole number of at least 1, got 0"),
        (["--repeats", "0"], "repeats must be a whole number from 1 to 10000, got 0"),
        (["--size", "512"], "--size must be WIDTHxHEIGHT in pixels, got '512'; write it like 512x768"),
        (["--compute-unit", "GPU"], "--compute-unit must be one or more of ALL, CPU_ONLY, CPU_AND_GPU, CPU_AND_NE, got GPU"),
        (["--steps", "1", "--repeats", "1", "--json", "no/such/a.json"], "--json no/such/a.json: cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_error_is_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_attention_is_what_the_packages_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert attention.attention_of("nano") is None
    assert attention.attention_of(str(tmp_path)) is None
    said = {"a.mlpackage": {}, "b.mlpackage": {"sdrt.attention": "SPLIT_EINSUM"}}
    for name in said:
        (tmp_path / "Resources" / name).mkdir(parents=True)
    monkeypatch.setattr(attention, "describe", lambda path: type("Summary", (), {"user_defined": said[path.name]}))
    assert attention.attention_of(str(tmp_path)) == "SPLIT_EINSUM"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux lets a process set its own peak back")
def test_the_peak_of_memory_starts_anew_with_each_candidate() -> None:
    code = """
import numpy as np
from sdrt.benchmarking.machine import peak_memory_mib, reset_peak_memory
before = peak_memory_mib()
large = np.ones(64 * 2**20 // 8)
with_it = peak_memory_mib()
del large
assert reset_peak_memory()
print(before, with_it, peak_memory_mib())
"""
    root = Path(__file__).parents[2]
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(root)}
    )
    before, with_it, after = map(float, shown.stdout.split())
    assert with_it > before + 60
    assert after < with_it - 60
