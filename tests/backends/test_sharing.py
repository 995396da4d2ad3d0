"""Networks that share weights: one component opened with several options reads and holds its tensors once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.arrays import Array
from sdrt.backends import PLAIN, BackendOptions, ComponentOptions, SharingNetwork, registry
from sdrt.backends.numpy import NumpyBackend
from sdrt.backends.pool import NetworkPool
from sdrt.errors import BackendError
from sdrt.freeu import FreeU
from sdrt.models import ComponentName, open_model
from tests.factories import normal, save_pipeline_folder
from tests.fake_backend import FakeBackend

FREEU = FreeU(b1=1.5, b2=1.6, s1=0.9, s2=0.2)
OTHERS: dict[ComponentName, ComponentOptions] = {
    "unet": ComponentOptions(freeu=FREEU),
    "text_encoder": ComponentOptions(clip_skip=1),
}
INPUTS: dict[ComponentName, dict[str, Array]] = {
    "unet": {"sample": normal(1, 1, 4, 8, 8), "timestep": np.array([500.0], np.float32), "encoder_hidden_states": normal(2, 1, 7, 16)},
    "text_encoder": {"input_ids": np.arange(77, dtype=np.int32)[None] % 20},
}
BACKENDS = pytest.mark.parametrize("backend", ["numpy", "torch"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("sharing") / "sd1")


def inputs_of(component: ComponentName, network: Any) -> dict[str, Array]:
    inputs = dict(INPUTS[component])
    if component == "unet":
        width = next(spec.shape[2] for spec in network.signature.inputs if spec.name == "encoder_hidden_states")
        inputs["encoder_hidden_states"] = normal(2, 1, 7, int(str(width)))
    return inputs


def arrays_of(module: Any) -> Iterator[Array]:
    """All arrays inside a program of the numpy backend."""
    if isinstance(module, np.ndarray):
        yield module
    elif is_dataclass(module):
        for each in fields(module):
            yield from arrays_of(getattr(module, each.name))
    elif isinstance(module, tuple | list):
        for each in module:
            yield from arrays_of(each)


def tensors_of(network: Any, backend: str) -> list[int]:
    """The addresses of a network's weights."""
    if backend == "torch":
        return [parameter.data_ptr() for parameter in network._adapter.parameters()]
    return [array.__array_interface__["data"][0] for array in arrays_of(network._program) if array.size]


@BACKENDS
@pytest.mark.parametrize("component", OTHERS)
def test_other_options_compute_what_opening_with_them_does_on_the_same_memory(folder: Path, backend: str, component: ComponentName) -> None:
    opened = registry.get(backend).open(component, open_model(folder), BackendOptions(), PLAIN)
    alone = registry.get(backend).open(component, open_model(folder), BackendOptions(), OTHERS[component])
    assert isinstance(opened, SharingNetwork)
    other = opened.with_options(OTHERS[component])
    inputs = inputs_of(component, opened)
    plain, wanted = opened(**inputs), alone(**inputs)
    for name, value in other(**inputs).items():
        np.testing.assert_array_equal(value, wanted[name])
    assert any(not np.array_equal(value, plain[name]) for name, value in wanted.items())
    addresses = tensors_of(opened, backend)
    assert len(addresses) > 20
    assert tensors_of(other, backend) == addresses

    # from one with options back to the plain one, and each is closed by itself
    assert isinstance(other, SharingNetwork)
    again = other.with_options(PLAIN)
    opened.close()
    other.close()
    for name, value in again(**inputs).items():
        np.testing.assert_array_equal(value, plain[name])
    with pytest.raises(BackendError, match=f"{component}: this network is closed"):
        opened.with_options(PLAIN)


class CountingBackend(NumpyBackend):
    def __init__(self) -> None:
        self.opened: list[ComponentOptions] = []

    def open(self, component: Any, model: Any, options: Any, component_options: ComponentOptions = PLAIN) -> Any:
        self.opened.append(component_options)
        return super().open(component, model, options, component_options)


def test_a_pool_opens_a_component_once_for_all_its_options(folder: Path) -> None:
    backend = CountingBackend()
    with sdrt.load(folder, backend) as pipe:
        for k in range(6):
            pipe.generate("a", seed=1, num_inference_steps=1, height=32, width=32, freeu=FreeU(b1=1 + k / 10, b2=1, s1=1, s2=1))
        shelf = pipe._assembly.base.networks._shelf
        assert sum(key[0] == "unet" for key in shelf.networks) == 4
        assert shelf.networks.keys() >= {("unet", ComponentOptions(freeu=FreeU(b1=1.5, b2=1, s1=1, s2=1)), ())}
    assert len(backend.opened) == 3  # text encoder, U-Net, decoder


def test_a_network_in_use_stays_while_many_others_are_asked_for(folder: Path) -> None:
    pool = NetworkPool(open_model(folder), {"unet": NumpyBackend()}, {"unet": BackendOptions()})
    with pool.using("unet") as network:
        inputs = inputs_of("unet", network)
        wanted = network(**inputs)["noise_pred"]
        for k in range(9):
            pool.get("unet", ComponentOptions(freeu=FreeU(b1=1 + k, b2=1, s1=1, s2=1)))
        np.testing.assert_array_equal(network(**inputs)["noise_pred"], wanted)


def test_a_backend_whose_networks_share_nothing_opens_them_one_by_one(folder: Path) -> None:
    backend = FakeBackend()
    pool = NetworkPool(open_model(folder), {"text_encoder": backend}, {"text_encoder": BackendOptions()})
    for options in (PLAIN, ComponentOptions(clip_skip=1), PLAIN):
        pool.get("text_encoder", options)
    assert backend.asked_options == [PLAIN, ComponentOptions(clip_skip=1)]


@pytest.mark.parametrize(
    ("backend", "reduce_memory"), [("numpy", False), pytest.param("torch", False, marks=pytest.mark.slow), ("torch", True)]
)
def test_threads_with_other_options_draw_what_each_draws_alone(folder: Path, backend: str, reduce_memory: bool) -> None:
    every: list[dict[str, Any]] = [{}, {"freeu": FREEU}, {"freeu": FreeU(b1=1, b2=2, s1=1, s2=0.5)}, {"clip_skip": 1}]

    def draw(pipe: sdrt.Pipeline, options: dict[str, Any]) -> Array:
        [image] = pipe.generate("a red circle", seed=3, num_inference_steps=2, height=32, width=32, **options).images
        return np.asarray(image)

    with sdrt.load(folder, backend=backend, reduce_memory=reduce_memory) as pipe:
        alone = [draw(pipe, options) for options in every]
        with ThreadPoolExecutor(len(every)) as threads:
            together = list(threads.map(lambda options: draw(pipe, options), [*every, *every]))
    assert len({picture.tobytes() for picture in alone}) == len(every)
    for one, other in zip(together, [*alone, *alone], strict=True):
        np.testing.assert_array_equal(one, other)
