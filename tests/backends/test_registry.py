"""Backends by name, plug-ins included."""

import importlib.metadata
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import pytest

from sdrt.backends import BackendOptions, registry
from sdrt.errors import BackendError, ConfigError
from tests.fake_backend import FakeBackend


@pytest.fixture
def plug_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    points: list[EntryPoint] = []
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: EntryPoints(points).select(group=group))
    registry._plug_in.cache_clear()
    yield points
    registry._plug_in.cache_clear()


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, registry.GROUP)


def test_numpy_is_built_in_and_the_same_object_every_time() -> None:
    assert registry.get("numpy").name == "numpy"
    assert registry.get("numpy") is registry.get("numpy")


def test_an_unknown_name_lists_the_known_ones(plug_ins: list[EntryPoint]) -> None:
    plug_ins.append(entry("fake", "tests.fake_backend:FakeBackend"))
    with pytest.raises(ConfigError, match=r"backend must be numpy, torch, coreml, fake, got 'nump'"):
        registry.get("nump")


def test_a_plug_in_is_found_by_its_entry_point(plug_ins: list[EntryPoint]) -> None:
    plug_ins.append(entry("fake", "tests.fake_backend:FakeBackend"))
    assert isinstance(registry.get("fake"), FakeBackend)
    assert registry.get("fake") is registry.get("fake")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_package:Backend", r"backend 'bad' of no_such_package:Backend fails to load \(ModuleNotFoundError"),
        ("tests.fake_backend:Missing", r"fails to load \(AttributeError"),
        ("sys:exit", r"fails to load \(SystemExit"),
        ("tests.fake_backend:nan_like", r"fails to load \(TypeError"),
        ("builtins:dict", r"must be an object with name, option_names, component_options and open, got \{\}; see"),
    ],
)
def test_a_broken_plug_in_is_named_and_harms_no_other(plug_ins: list[EntryPoint], value: str, message: str) -> None:
    plug_ins.extend([entry("bad", value), entry("fake", "tests.fake_backend:FakeBackend")])
    with pytest.raises(BackendError, match=message):
        registry.get("bad")
    assert isinstance(registry.get("fake"), FakeBackend)
    rows = {row.name: row.problem for row in registry.status()}
    assert rows["numpy"] is None
    assert rows["fake"] is None
    assert rows["bad"] is not None


def test_two_plug_ins_of_one_name_are_refused(plug_ins: list[EntryPoint]) -> None:
    plug_ins.extend([entry("fake", "tests.fake_backend:FakeBackend"), entry("fake", "builtins:dict")])
    with pytest.raises(ConfigError, match=r"backend 'fake' is registered by builtins:dict and tests.fake_backend:FakeBackend"):
        registry.get("fake")


def test_a_plug_in_cannot_take_a_built_in_name(plug_ins: list[EntryPoint]) -> None:
    plug_ins.append(entry("numpy", "tests.fake_backend:FakeBackend"))
    assert not isinstance(registry.get("numpy"), FakeBackend)
    assert [row.problem for row in registry.status() if row.name == "numpy"] == [None, "the name belongs to a built-in backend"]


def test_options_are_checked_on_construction() -> None:
    with pytest.raises(ConfigError, match=r"numerics must be 'float32' or 'float64' or 'exact', got 'float16'"):
        BackendOptions(numerics="float16")  # type: ignore[arg-type]
    for threads in (0, 2.5, "2"):
        with pytest.raises(ConfigError, match=f"threads must be a whole number of at least 1, or null, got {threads!r}"):
            BackendOptions(threads=threads)  # type: ignore[arg-type]
    assert BackendOptions(threads=np.int64(2)).threads == 2  # type: ignore[arg-type]
