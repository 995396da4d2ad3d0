"""Networks of a model: who may run them."""

from dataclasses import replace

import pytest

from sdrt.backends import PLAIN, BackendOptions
from sdrt.backends.pool import NetworkPool
from sdrt.errors import ConfigError
from sdrt.models import open_model
from sdrt.models.components import COMPONENTS
from tests.fake_backend import FakeBackend


class Tabled(FakeBackend):
    """A backend under the name of one that the table of components knows."""

    name = "torch"


def test_a_backend_that_lacks_a_component_says_so_before_anything_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = NetworkPool(open_model("nano"), {"unet": Tabled()}, {"unet": BackendOptions()})
    pool.check("unet", PLAIN)
    monkeypatch.setitem(COMPONENTS, "unet", replace(COMPONENTS["unet"], backends=("numpy",)))
    with pytest.raises(ConfigError, match=r"backend of unet must be one of numpy, got 'torch'; choose another for it"):
        pool.check("unet", PLAIN)


def test_the_table_does_not_judge_backends_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = NetworkPool(open_model("nano"), {"unet": FakeBackend()}, {"unet": BackendOptions()})
    monkeypatch.setitem(COMPONENTS, "unet", replace(COMPONENTS["unet"], backends=("numpy",)))
    pool.check("unet", PLAIN)


def test_what_was_open_with_other_weights_leaves_nothing_behind() -> None:
    """Twenty LoRAs in twenty prompts take the memory of one."""
    pool = NetworkPool(open_model("nano"), {"unet": FakeBackend()}, {"unet": BackendOptions()})
    for k in range(20):
        with pool.merging(pool.model, {"unet": k}).using("unet"):
            pass
    assert len(pool._shelf.networks) == 1
    assert not pool._shelf.users
