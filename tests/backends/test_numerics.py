"""Backends are asked for the promises of precision that they keep, and refuse the others in one line."""

from typing import Any

import pytest

import sdrt
from sdrt.backends import BackendOptions, registry
from sdrt.errors import ConfigError
from sdrt.models import open_model
from tests.fake_backend import FakeBackend


def test_exact_is_numpys_alone() -> None:
    """By name, for one component of several, and for a backend of others that says nothing of numerics; before a network is opened."""
    with sdrt.load("nano", backend="numpy", numerics="exact") as pipe:
        assert pipe.numerics == "exact"
    fake = FakeBackend()
    backends: tuple[Any, ...] = ("torch", {"unet": "torch"}, fake)
    for backend in backends:
        with pytest.raises(ConfigError, match=r"^numerics='exact' must run on a backend that has it, got backend '(torch|fake)'; pass"):
            sdrt.load("nano", backend=backend, numerics="exact")
    assert not fake.opened


def test_a_backend_says_what_it_keeps() -> None:
    fake = FakeBackend()
    fake.numerics = ("float32", "exact")  # type: ignore[attr-defined]
    sdrt.load("nano", backend=fake, numerics="exact").close()
    with pytest.raises(
        ConfigError, match=r"^numerics='float64' must run on a backend that has it, got backend 'fake'; pass backend='numpy'$"
    ):
        sdrt.load("nano", backend=fake, numerics="float64")


def test_torch_refuses_where_it_is_opened_alone() -> None:
    with pytest.raises(ConfigError, match=r"^numerics='exact' must run on a backend that has it, got backend 'torch'"):
        registry.get("torch").open("unet", open_model(sdrt.models.path("nano")), BackendOptions(numerics="exact"))
