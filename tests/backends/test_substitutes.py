"""Traces with substitutes: each module computes from another network's values, so that its error is its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdrt.arrays import Array, Signature
from sdrt.backends import BoundNetwork
from sdrt.backends.pool import CheckedNetwork
from sdrt.errors import ArrayContractError, ConfigError
from tests.backends.cases import Case, inputs_of, relative_error, save_parts
from tests.backends.traced import BACKENDS, CASES, label, open_traceable
from tests.factories import Form

# Sums in another order, through one module. torch's group norm errs by 5e-5 where a group is one channel whose mean is large beside its
# deviation: it takes the variance as a difference.
OWN = 1e-4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[Form, Path]:
    root = tmp_path_factory.mktemp("substitutes")
    return {form: save_parts(root / form, form) for form in ("sd1", "lcm", "sdxl")}


def with_inputs(network: Any) -> list[str]:
    return [*network.trace_names, *(f"{name}.input" for name in network.trace_inputs)]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_what_a_layer_takes_is_the_same_on_both(models: dict[Form, Path], case: Case) -> None:
    """numpy's layers take what torch's take, in torch's layout."""
    form, component = case
    inputs, networks = inputs_of(form, component), [open_traceable(each, models[form], component) for each in BACKENDS]
    assert set(networks[0].trace_inputs) <= set(networks[1].trace_inputs)
    names = [f"{name}.input" for name in networks[0].trace_inputs]
    assert len(names) == len(set(names)) > 20
    found, wanted = (network.trace(names, **inputs) for network in networks)
    assert found.keys() == wanted.keys() == set(names)
    assert all(relative_error(found[name], wanted[name]) < 1e-4 for name in names)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES, ids=label)
def test_fed_with_the_others_values_each_layer_gives_what_the_other_gives(models: dict[Form, Path], backend: str, case: Case) -> None:
    form, component = case
    inputs = inputs_of(form, component)
    network, other = open_traceable(backend, models[form], component), open_traceable(BACKENDS[backend == "numpy"], models[form], component)
    known = set(with_inputs(other))
    names = [name for name in with_inputs(network) if name in known]
    theirs = other.trace(names, **inputs)
    substitutes = {name: value for name, value in theirs.items() if not name.endswith(".input")}
    before = network(**inputs)
    own = network.trace(names, substitutes, **inputs)
    assert own.keys() == set(names)
    assert max(relative_error(own[name], theirs[name]) for name in names) < OWN
    after = network(**inputs)
    assert all(np.array_equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_substitute_reaches_what_comes_behind_it_and_nothing_before(models: dict[Form, Path], backend: str) -> None:
    """The value itself is still the module's own; joined products may be replaced one by one."""
    network, inputs = open_traceable(backend, models["sd1"], "unet"), inputs_of("sd1", "unet")
    block = "down_blocks.0.attentions.0.transformer_blocks.0"
    first, key, gate, norm = f"{block}.norm1", f"{block}.attn1.to_k", f"{block}.ff.net.0.proj", "down_blocks.0.resnets.0.norm2"
    behind = {
        key: f"{block}.attn1.to_out.0.input",
        gate: f"{block}.ff.net.2.input",
        norm: "down_blocks.0.resnets.0.conv2.input",
        first: f"{key}.input",
        "mid_block": "up_blocks.0.resnets.0.norm1.input",
        "time_embedding": "mid_block.resnets.0.time_emb_proj.input",
    }
    names = [*behind, *behind.values()]
    plain = network.trace(names, **inputs)
    for name, next_one in behind.items():
        other = plain[name] * np.float32(2.0)
        found = network.trace(names, {name: other}, **inputs)
        assert np.array_equal(found[name], plain[name]), name
        assert relative_error(found[next_one], plain[next_one]) > 1e-3, name
        order = list(plain)
        assert all(np.array_equal(found[each], plain[each]) for each in order[: order.index(name)]), name
    # what comes behind is a function of the substitute alone
    value = np.random.default_rng(3).standard_normal(plain[norm].shape, np.float32)
    found = network.trace([behind[norm]], {norm: value}, **inputs)[behind[norm]]
    assert relative_error(found, torch.nn.functional.silu(torch.from_numpy(value)).numpy()) < 1e-6
    value = np.random.default_rng(4).standard_normal(plain[gate].shape, np.float32)
    found = network.trace([behind[gate]], {gate: value}, **inputs)[behind[gate]]
    left, right = torch.from_numpy(value).chunk(2, dim=-1)
    assert relative_error(found, (left * torch.nn.functional.gelu(right)).numpy()) < 1e-6


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_module_with_another_weight_is_alone_with_its_error(models: dict[Form, Path], backend: str) -> None:
    """One weight of a product, one per cent apart: behind it the values of both networks differ, their own errors do not."""
    inputs = inputs_of("sd1", "unet")
    network, other = open_traceable(backend, models["sd1"], "unet"), open_traceable("torch", models["sd1"], "unet")
    place = "mid_block.attentions.0.transformer_blocks.0.ff.net.2"
    with torch.no_grad():
        other._adapter.get_submodule(f"module.{place}").weight[3] *= 1.01
    names = network.trace_names
    mine, theirs = network.trace(names, **inputs), other.trace(names, **inputs)
    differing = [name for name in theirs if relative_error(mine[name], theirs[name]) > OWN]
    own = network.trace(names, theirs, **inputs)
    out_of_line = [name for name in theirs if relative_error(own[name], theirs[name]) > OWN]
    # torch's owner passes on its last module's value, which is the substitute; numpy's owner has that module's
    assert out_of_line[0] == place
    assert set(out_of_line) <= {place, place.removesuffix(".net.2")}
    assert len(differing) > 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_refusals(models: dict[Form, Path], backend: str) -> None:
    network, inputs = open_traceable(backend, models["sd1"], "unet"), inputs_of("sd1", "unet")
    value = network.trace(["conv_in"], **inputs)["conv_in"]
    with pytest.raises(ConfigError, match="names must be among trace_names, got 'conv_inn'"):
        network.trace(["conv_out"], {"conv_inn": value}, **inputs)
    with pytest.raises(ConfigError, match=r"got 'mid_block\.input'"):
        network.trace(["mid_block.input"], **inputs)
    with pytest.raises(ArrayContractError, match=r"substitute of conv_in must have the shape \[2, 32, 8, 16\], got \[1, 32, 8, 16\]"):
        network.trace(["conv_out"], {"conv_in": value[:1]}, **inputs)
    checked = CheckedNetwork("unet", network)
    assert checked.trace_inputs == network.trace_inputs
    assert "conv_out" in checked.trace(["conv_out"], {"conv_in": value}, **inputs)


def test_a_network_that_passes_on_nothing_says_so() -> None:
    class Doubling(BoundNetwork):
        def _run(self, inputs: Any) -> dict[str, Array]:
            return dict(inputs)

        def _trace_names(self) -> tuple[str, ...]:
            return ("inner",)

    network = Doubling("unet", Signature(inputs=(), outputs=()))
    assert network.trace_inputs == ()
    with pytest.raises(ConfigError, match="unet: substitutes must be none for a Doubling, got some"):
        network.trace(["inner"], {"inner": np.zeros(1)})
