"""Packages in float32 beside their source: alike where nothing is wrong, and a mistake is found at its module and step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from converter.report import Report
from sdrt.arrays import Float
from sdrt.backends.numpy import attention as numpy_attention
from sdrt.backends.numpy import transformer
from sdrt.compare import Comparison, Departure, compare
from sdrt.compare.sides import Side
from sdrt.compare.truth import judge
from sdrt.errors import ConfigError
from sdrt.pipeline.pipeline import Pipeline
from tests.compare import planted
from tests.converter.small import EXACT
from tests.factories import Form

# of 64 pixels
BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"


@pytest.fixture(scope="module")
def packages(model_folder: Callable[[Form], Path], converted: Callable[..., Report]) -> Iterator[Pipeline]:
    parts = ("unet", "text_encoder", "vae_decoder")
    folder = converted(model_folder("sd1"), parts=parts, **EXACT).outcomes[0].packages[0].parent
    with sdrt.load(folder, config=model_folder("sd1")) as pipe:
        yield pipe


@pytest.fixture(scope="module")
def torch_pipe(model_folder: Callable[[Form], Path]) -> Iterator[Pipeline]:
    with sdrt.load(model_folder("sd1"), "torch") as pipe:
        yield pipe


@pytest.fixture(scope="module")
def numpy_pipe(model_folder: Callable[[Form], Path]) -> Iterator[Pipeline]:
    with sdrt.load(model_folder("sd1"), "numpy") as pipe:
        yield pipe


def layers(a: Any, b: Any, **options: Any) -> Comparison:
    call = {"seed": 7, "num_inference_steps": 1, "height": 64, "width": 64} | options
    return compare(a, b, "a red circle", layers=True, **call)


def departure(a: Pipeline, b: Pipeline, **options: Any) -> tuple[str, str | None, int | None]:
    found = layers(a, b, **options).first_departure
    assert isinstance(found, Departure)
    return found.component, found.layer, found.step


def test_packages_and_their_source_are_alike(packages: Pipeline, torch_pipe: Pipeline, numpy_pipe: Pipeline) -> None:
    """Though they take float16: that the inputs are rounded is no module's error."""
    for sides in ((torch_pipe, packages), (packages, numpy_pipe)):
        found = layers(*sides)
        assert found.first_departure is None
        assert {row.component for row in found.layers} == {"text_encoder", "unet", "vae_decoder"}


# the module where torch is made wrong, the mistake, the module that is to be named, and the step
PLANTED: list[tuple[str, planted.Plant, str, int]] = [
    ("up_blocks.1.resnets.0.conv1", planted.one_weight, "up_blocks.1.resnets.0.conv1", 0),
    (f"{BLOCK}.attn1.to_v", planted.transposed, f"{BLOCK}.attn1.to_v", 0),
    # a package names neither the queries nor the gated product: what is around them is as near as it gets
    (f"{BLOCK}.attn1.to_q", planted.all_weights, f"{BLOCK}.attn1", 0),
    (f"{BLOCK}.ff.net.0", planted.swapped_gate, f"{BLOCK}.ff", 0),
    ("mid_block.resnets.1.conv2", planted.half, "mid_block.resnets.1.conv2", 0),
]


@pytest.mark.parametrize(("path", "mistake", "named", "step"), PLANTED, ids=lambda each: getattr(each, "__name__", None))
def test_a_mistake_in_torch_is_found(
    packages: Pipeline, torch_pipe: Pipeline, path: str, mistake: planted.Plant, named: str, step: int
) -> None:
    with planted.plant(torch_pipe, "unet", path, mistake):
        assert departure(packages, torch_pipe) == ("unet", named, step)


def test_a_mistake_that_begins_late_is_found_at_its_step(packages: Pipeline, torch_pipe: Pipeline) -> None:
    with planted.plant(torch_pipe, "unet", "time_proj", planted.late):
        assert departure(packages, torch_pipe, num_inference_steps=3) == ("unet", "time_proj", 2)


@contextmanager
def changed(pipe: Pipeline, find: Callable[[Any], Any], **values: Any) -> Iterator[None]:
    """Change fields of a module of the numpy backend's U-Net."""
    network: Any = pipe._assembly.base.networks.get("unet").network
    module = find(network._unbound_program)
    before = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        object.__setattr__(module, name, value(before[name]))
    try:
        yield
    finally:
        for name, value in before.items():
            object.__setattr__(module, name, value)


def one_weight(weight: Float) -> Float:
    wrong = weight.copy()
    wrong[np.unravel_index(np.abs(wrong).argmax(), wrong.shape)] *= 1.01
    return wrong


def block(unet: Any) -> Any:
    return unet.trunk.down_blocks[0].attentions[0].transformer_blocks[0]


# the mistake: the module of the numpy backend, its field and the wrong value; and the module that is to be named
IN_NUMPY: list[tuple[Callable[[Any], Any], str, Callable[[Any], Any], str]] = [
    (lambda unet: unet.trunk.mid_block.resnets[0].conv1, "packed", one_weight, "mid_block.resnets.0.conv1"),
    (lambda unet: block(unet).norm2, "eps", lambda _: 1e-3, f"{BLOCK}.norm2"),
    (lambda unet: block(unet).attn2.to_kv, "packed", one_weight, f"{BLOCK}.attn2.to_"),
    (lambda unet: block(unet).attn2.to_q, "packed", lambda weight: np.array(weight.T, order="F"), f"{BLOCK}.attn2"),
    (lambda unet: unet.conv_out, "packed", lambda weight: weight.astype(np.float16).astype(np.float32), "conv_out"),
]


@pytest.mark.parametrize(("find", "field", "wrong", "named"), IN_NUMPY, ids=[each[3] for each in IN_NUMPY])
def test_a_mistake_in_numpy_is_found(
    packages: Pipeline,
    numpy_pipe: Pipeline,
    find: Callable[[Any], Any],
    field: str,
    wrong: Callable[[Any], Any],
    named: str,
) -> None:
    with changed(numpy_pipe, find, **{field: wrong}):
        component, layer, step = departure(numpy_pipe, packages)
    assert (component, step) == ("unet", 0)
    # of joined products, the largest weight is a key's or a value's
    assert layer == named or (named.endswith("_") and layer in (f"{named}k", f"{named}v"))


def test_attention_without_its_scale_is_found(packages: Pipeline, numpy_pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    attend = numpy_attention.attend

    def no_scale(team: Any, q: Float, k: Float, v: Float, heads: int, **more: Any) -> Float:
        return attend(team, q * np.float32(np.sqrt(q.shape[-1] // heads)), k, v, heads, **more)

    monkeypatch.setattr(transformer, "attend", no_scale)
    assert departure(numpy_pipe, packages) == ("unet", f"{BLOCK}.attn1", 0)


def test_layers_of_two_packages_are_refused(packages: Pipeline) -> None:
    with pytest.raises(ConfigError, match="the truth must be computed from weights, got none with"):
        judge([Side(name="packages", pipe=packages)])
    with pytest.raises(ConfigError, match="layers must be compared with a network of numpy or torch on one side, got none"):
        layers(packages, packages)
