"""Options of components: what a backend does not have is refused by name, before anything is opened."""

from pathlib import Path

import pytest

import sdrt
from sdrt.backends import PLAIN, BackendOptions, ComponentOptions
from sdrt.backends.pool import NetworkPool
from sdrt.errors import ConfigError
from sdrt.models import open_model
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend


class PlainBackend(FakeBackend):
    name, component_options = "plain", ()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("sd1"), "sd1")


def pool(folder: Path, backend: FakeBackend) -> NetworkPool:
    return NetworkPool(open_model(folder), {"text_encoder": backend}, {"text_encoder": BackendOptions()})


def test_a_backend_that_lacks_an_option_is_never_asked(folder: Path) -> None:
    backend = PlainBackend()
    message = r"text_encoder: options must be among those of backend 'plain' \(none\), got clip_skip=1; leave clip_skip out, or choose"
    with pytest.raises(ConfigError, match=message), pool(folder, backend).using("text_encoder", ComponentOptions(clip_skip=1)):
        pass
    with pytest.raises(ConfigError, match=message):
        pool(folder, backend).check("text_encoder", ComponentOptions(clip_skip=1))
    with pytest.raises(ConfigError, match=message):
        sdrt.load(folder, backend).generate("a circle", clip_skip=1, num_inference_steps=1)
    assert backend.opened == []
    pool(folder, backend).check("text_encoder", PLAIN)


def test_other_options_are_another_network_and_equal_ones_the_same(folder: Path) -> None:
    networks = pool(folder, FakeBackend())
    plain = networks.get("text_encoder")
    skipping = networks.get("text_encoder", ComponentOptions(clip_skip=1))
    assert plain is networks.get("text_encoder", ComponentOptions(clip_skip=0))
    assert skipping is networks.get("text_encoder", ComponentOptions(clip_skip=1))
    assert skipping is not plain


def test_values_that_no_network_can_take_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"clip_skip must be a whole number of at least 0, got -1; 0 skips no layer"):
        ComponentOptions(clip_skip=-1)
    backend = FakeBackend()
    with pytest.raises(ConfigError, match=r"clip_skip must be below 3, the layers of this model's text_encoder, got 3; skip fewer"):
        pool(folder, backend).get("text_encoder", ComponentOptions(clip_skip=3))
    assert backend.opened == []
