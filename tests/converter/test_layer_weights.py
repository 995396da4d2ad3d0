"""Layers of diffusers' U-Net and the weights of packages: by record, by name, by numbers, and never by less."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.compression.layer_weights import match_layers
from sdrt.arrays import Array
from sdrt.errors import ConfigError
from tests.backends.coreml.peer import ct, mb
from tests.converter.small import saved

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LAYERS = ("conv_in", "down_blocks.0.attn1.to_q", "mid_block.ff.net.0.proj")


def own_weights() -> dict[str, Array]:
    """Three weights of one size, whose first 600 numbers are the same in two of them: Apple's hash cannot tell those apart."""
    source = np.random.default_rng(5)
    weights = {layer: source.standard_normal((32, 32), np.float32).astype(np.float16) for layer in LAYERS}
    weights[LAYERS[2]].reshape(-1)[:600] = weights[LAYERS[1]].reshape(-1)[:600]
    return weights


def package(folder: Path, weights: Mapping[str, Array]) -> Path:
    def program(x: Any) -> Any:
        for name, weight in weights.items():
            x = mb.tanh(x=mb.conv(x=x, weight=mb.const(val=weight.astype(np.float32)[:, :, None, None], name=name)))
        return mb.identity(x=x, name="out")

    made = mb.program(input_specs=[mb.TensorSpec(shape=(1, 32, 4, 4))], opset_version=ct.target.iOS16)(program)
    return saved(ct.convert(made, convert_to="mlprogram", skip_model_load=True), folder / "X.mlpackage")


def no_source() -> Mapping[str, Array]:
    raise AssertionError("the source is not needed")


def test_weights_that_bear_their_layers_names_need_no_source(tmp_path: Path) -> None:
    """Apple's converter traces diffusers' own paths, and coremltools writes them with underscores."""
    names = {layer: f"{layer.replace('.', '_')}_weight" for layer in LAYERS}
    path = package(tmp_path, {names[layer]: weight for layer, weight in own_weights().items()})
    found = match_layers(path, LAYERS, no_source)
    assert {layer: weight.name for layer, weight in found.items()} == {layer: f"{name}_to_fp16" for layer, name in names.items()}


def by_numbers(folder: Path, change: Callable[[dict[str, Array]], None] | None = None) -> dict[str, str]:
    weights = own_weights()
    stored = {f"w{number}": weights[layer].copy() for number, layer in enumerate(reversed(LAYERS))}
    if change is not None:
        change(stored)
    found = match_layers(package(folder, stored), LAYERS, lambda: {layer: weight.astype(np.float32) for layer, weight in weights.items()})
    return {layer: weight.name.removesuffix("_to_fp16") for layer, weight in found.items()}


def test_other_names_are_told_apart_by_all_numbers(tmp_path: Path) -> None:
    assert by_numbers(tmp_path) == {LAYERS[2]: "w0", LAYERS[1]: "w1", LAYERS[0]: "w2"}


def test_a_factor_in_a_weight_is_no_difference(tmp_path: Path) -> None:
    """The scale of attention is in the weights of the queries."""

    def scale(stored: dict[str, Array]) -> None:
        stored["w1"] = (stored["w1"] * np.float32(40**-0.5)).astype(np.float16)

    assert by_numbers(tmp_path, scale)[LAYERS[1]] == "w1"


@pytest.mark.parametrize("change", ["other numbers", "turned round"])
def test_a_layer_without_its_weight_is_an_error(tmp_path: Path, change: str) -> None:
    def spoil(stored: dict[str, Array]) -> None:
        stored["w2"] = -stored["w2"] if change == "turned round" else stored["w2"][::-1].copy()

    with pytest.raises(ConfigError, match=r"X.mlpackage: must have a weight for each layer .* got none for 1 of 3 \(conv_in, ...\)"):
        by_numbers(tmp_path, spoil)
