"""Core ML itself behind the seam, with a coremltools of the test's own in the place of the one that needs a Mac."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sdrt.backends import BackendOptions
from sdrt.backends.coreml import MLProgram, native, open_runner
from sdrt.backends.coreml.compiled_cache import content_key
from sdrt.backends.coreml.native import NativeRunner
from sdrt.backends.coreml.options import CoreMLOptions
from sdrt.errors import BackendError, ConfigError, MissingExtraError


class FakeCoreML:
    """Remembers what it was asked for; predicts with the executor."""

    def __init__(self) -> None:
        self.__version__ = "9.0"
        self.compiled: list[str] = []
        self.loaded: list[tuple[str, str]] = []
        self.given: dict[str, Any] = {}
        self.ComputeUnit = SimpleNamespace(ALL="all", CPU_ONLY="cpu", CPU_AND_GPU="gpu", CPU_AND_NE="ne")
        self.models = SimpleNamespace(CompiledMLModel=self.load, utils=SimpleNamespace(compile_model=self.compile_model))
        self.source = ""

    def compile_model(self, path: str, destination: str) -> str:
        self.compiled.append(path)
        Path(destination).mkdir()
        return destination

    def load(self, path: str, compute_units: str) -> Any:
        self.loaded.append((Path(path).suffix, compute_units))
        return SimpleNamespace(predict=self.predict)

    def predict(self, values: dict[str, Any]) -> dict[str, Any]:
        self.given = values
        with MLProgram(self.source) as model:
            return model.predict(values)


@pytest.fixture
def core_ml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCoreML:
    fake = FakeCoreML()
    monkeypatch.setattr(native, "_coremltools", lambda: fake)
    monkeypatch.setenv("SDRT_CACHE", str(tmp_path / "cache"))
    return fake


def options(**extra: Any) -> CoreMLOptions:
    return CoreMLOptions.read(BackendOptions(extra=extra))


def test_on_a_mac_core_ml_predicts_unless_a_precision_is_asked_for(
    package: Callable[..., Any], core_ml: FakeCoreML, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = package("layers")[0]
    core_ml.source = str(path)
    monkeypatch.setattr(sys, "platform", "darwin")
    events: list[Any] = []
    runner = open_runner([path], options(compute_unit="CPU_AND_NE", on_load=events.append))
    assert isinstance(runner, NativeRunner)
    assert isinstance(open_runner([path], options(precision="float32")), MLProgram)
    assert core_ml.loaded == [(".mlmodelc", "ne")]
    assert [event.path for event in events] == [path, path]
    assert events[0].seconds is None
    assert events[1].seconds >= 0
    monkeypatch.setattr(sys, "platform", "linux")
    assert isinstance(open_runner([path], options(compute_unit="CPU_AND_NE")), MLProgram)


def test_what_was_compiled_is_kept_by_content(package: Callable[..., Any], core_ml: FakeCoreML) -> None:
    path, other = package("layers")[0], package("vae_decoder")[0]
    for each in (path, path, other):
        NativeRunner(each, "ALL").close()
    assert core_ml.compiled == [str(path), str(other)]
    assert content_key(path) == content_key(path) != content_key(other)


def test_inputs_go_in_and_outputs_come_out_by_the_packages_names(package: Callable[..., Any], core_ml: FakeCoreML) -> None:
    path = package("layers")[0]
    core_ml.source = str(path)
    runner = NativeRunner(path, "ALL")
    x = np.ones((2, 8, 6, 6))
    found = runner.predict({"x": x})
    assert core_ml.given["x"].dtype == np.float32
    with MLProgram(path) as model:
        np.testing.assert_array_equal(found["out"], model.predict({"x": x})["out"])
    runner.close()
    with pytest.raises(BackendError, match="this model is closed"):
        runner.predict({"x": x})


def test_without_coremltools_the_extra_is_named(package: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(MissingExtraError, match=r"install the extra: pip install 'sdrt\[coreml\]'"):
        NativeRunner(package("layers")[0], "ALL")


def test_options_are_checked() -> None:
    for wrong in ({"compute_unit": "NE"}, {"precision": "bfloat16"}, {"on_load": 3}):
        with pytest.raises(ConfigError):
            options(**wrong)
