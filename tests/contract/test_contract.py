"""What holds for every backend, whoever wrote it: the suite runs over those that are built in, or over the one that ``--backend`` names."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sdrt.arrays import check_arrays, check_finite
from sdrt.backends import ComponentOptions, Network, registry, signature
from sdrt.errors import ArrayContractError, BackendError, ConfigError, ModelError
from sdrt.models import ComponentName, open_model
from sdrt.models.components import COMPONENTS
from tests.contract.cases import CASES, ONE_OF_EACH, Case, inputs_of, open_case, relative_error, residuals_for
from tests.factories import Form


def label(case: object) -> str | None:
    return " ".join(case) if isinstance(case, tuple) else None


@pytest.fixture(scope="session")
def opened(backend_name: str, models: dict[Form, Path]) -> Iterator[dict[Case, Network]]:
    """Every case, opened once; tests must not close these."""
    networks = {(form, component): open_case(backend_name, models[form], component) for form, component in CASES}
    yield networks
    for network in networks.values():
        network.close()


@pytest.mark.parametrize("case", CASES, ids=label)
def test_the_signature_is_the_contract(opened: dict[Case, Network], models: dict[Form, Path], case: Case) -> None:
    """Names and dtypes as they stand there; sizes may be fewer, and outputs too where a format lacks them."""
    form, component = case
    wanted, found = signature(component, open_model(models[form]).config(component), "float32"), opened[case].signature
    assert [(spec.name, spec.dtype) for spec in found.inputs] == [(spec.name, spec.dtype) for spec in wanted.inputs]
    assert {(spec.name, spec.dtype) for spec in found.optional} <= {(spec.name, spec.dtype) for spec in wanted.optional}
    assert {(spec.name, spec.dtype) for spec in found.outputs} <= {(spec.name, spec.dtype) for spec in wanted.outputs}


@pytest.mark.parametrize("case", CASES, ids=label)
def test_outputs_agree_with_the_numpy_backend(
    backend_name: str, opened: dict[Case, Network], models: dict[Form, Path], case: Case, bound: float
) -> None:
    """One row and three, of two sizes, in float32."""
    if backend_name == "numpy":
        pytest.skip("the numpy backend is what others are compared with; its own peers are in tests/backends/numpy")
    form, component = case
    network, reference = opened[case], open_case("numpy", models[form], component)
    for n, size in ((1, 16), (3, 8)):
        inputs = inputs_of(form, component, n=n, size=size, seed=n)
        found, wanted = network(**inputs), reference(**inputs)
        check_arrays(component, network.signature.outputs, found)
        assert found.keys() == wanted.keys()
        for name, value in found.items():
            check_finite(component, name, value)
            assert wanted[name].std() > 0
            assert relative_error(value, wanted[name]) < bound, name


@pytest.mark.parametrize("case", CASES, ids=label)
def test_float64_is_exact_or_refused(backend_name: str, models: dict[Form, Path], case: Case) -> None:
    """Two ways to compute in float64 agree to 1e-9, which is a million times what they differ by in rounding."""
    if backend_name == "numpy":
        pytest.skip("the numpy backend is what others are compared with; its own peers are in tests/backends/numpy")
    form, component = case
    try:
        network = open_case(backend_name, models[form], component, numerics="float64")
    except ConfigError as error:
        assert "float64" in str(error)  # noqa: PT017 - a refusal is one of two right answers
        pytest.skip(f"{backend_name} refuses float64, as it may")
    inputs = inputs_of(form, component, dtype="float64")
    found, wanted = network(**inputs), open_case("numpy", models[form], component, numerics="float64")(**inputs)
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        assert value.dtype == np.float64
        assert relative_error(value, wanted[name]) < 1e-9, name


@pytest.mark.parametrize("case", CASES, ids=label)
def test_every_input_moves_an_output(opened: dict[Case, Network], case: Case) -> None:
    """Without this, a network that ignores a condition would agree with another that does."""
    form, component = case
    plain, other = inputs_of(form, component), inputs_of(form, component, seed=50)
    # these two do not depend on the seed
    other |= {name: plain[name] + 11 for name in ("timestep", "time_ids") if name in plain}
    before = opened[case](**plain)
    for name in plain:
        after = opened[case](**{**plain, name: other[name]})
        assert any(relative_error(after[key], before[key]) > 1e-3 for key in before), name


@pytest.mark.parametrize("case", [("sd1", "unet"), ("sdxl", "unet")], ids=label)
def test_residuals_come_together_or_not_at_all(opened: dict[Case, Network], models: dict[Form, Path], case: Case, bound: float) -> None:
    """With all of a ControlNet's residuals the numpy backend's answer comes, each of them moves it, and one alone is refused."""
    form, component = case
    network, reference, inputs = opened[case], open_case("numpy", models[form], component), inputs_of(form, component)
    residuals = residuals_for(network)
    found, wanted = (each(**inputs, **residuals)["noise_pred"] for each in (network, reference))
    assert relative_error(found, wanted) < bound
    for name in (min(residuals), max(residuals)):
        other = network(**inputs, **{**residuals, name: -residuals[name]})["noise_pred"]
        assert relative_error(other, found) > 1e-3, name
    with pytest.raises(ArrayContractError):
        network(**inputs, additional_residual_0=residuals["additional_residual_0"])
    with pytest.raises(ArrayContractError):
        network.bind(additional_residual_0=residuals["additional_residual_0"])
    assert np.array_equal(network.bind(**residuals)(**inputs)["noise_pred"], found)


@pytest.mark.parametrize("case", [*ONE_OF_EACH, ("lcm", "unet")], ids=label)
def test_bound_inputs_are_fixed_and_nobody_elses(opened: dict[Case, Network], case: Case) -> None:
    """Binding changes no result beyond rounding, keeps a copy, and may be done in two goes."""
    inputs = inputs_of(*case)
    wanted = opened[case](**inputs)
    for name in inputs:
        constant = inputs[name].copy()
        rest = {key: x for key, x in inputs.items() if key != name}
        bound = opened[case].bind(**{name: constant})
        constant[...] = 1
        for found in (bound(**rest), bound.bind(**rest)()):
            assert found.keys() == wanted.keys()
            assert all(relative_error(x, wanted[key]) < 1e-5 for key, x in found.items()), name
        with pytest.raises(ArrayContractError):
            bound(**inputs)
        with pytest.raises(ArrayContractError):
            bound.bind(**{name: inputs[name]})


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=label)
def test_outputs_are_nobody_elses_memory(opened: dict[Case, Network], case: Case) -> None:
    """Overwriting outputs or inputs of one call leaves the next call, and the outputs already given, alone."""
    network, inputs = opened[case], inputs_of(*case)
    before = {name: x.copy() for name, x in inputs.items()}
    first = network(**inputs)
    kept = {name: x.copy() for name, x in first.items()}
    assert all(np.array_equal(inputs[name], before[name]) for name in inputs)
    assert not any(np.shares_memory(x, y) for x in first.values() for y in inputs.values())
    network(**inputs_of(*case, seed=5))
    for name in kept:
        assert np.array_equal(first[name], kept[name])
        assert first[name].flags.writeable
        first[name][...] = 0
    assert all(np.array_equal(x, kept[name]) for name, x in network(**inputs).items())


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=label)
def test_any_numpy_array_will_do(opened: dict[Case, Network], case: Case) -> None:
    """Read-only arrays, and views with steps, are arrays like others."""
    inputs = inputs_of(*case)
    wanted = opened[case](**inputs)
    strange = {name: np.repeat(x, 2, axis=-1)[..., ::2] for name, x in inputs.items()}
    for x in strange.values():
        x.flags.writeable = False
    found = opened[case](**strange)
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(x, wanted[name]) for name, x in found.items())


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=label)
def test_calls_at_once_give_what_calls_alone_give(opened: dict[Case, Network], case: Case) -> None:
    jobs = [inputs_of(*case, seed=seed, size=size) for seed, size in enumerate((8, 16, 8))]
    alone = [opened[case](**job) for job in jobs]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda job: opened[case](**job), jobs * 2))
    for found, wanted in zip(together, alone * 2, strict=True):
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=label)
def test_closing(backend_name: str, models: dict[Form, Path], case: Case) -> None:
    """Closing twice is fine; afterwards a call, a bind and whatever was bound say so."""
    form, component = case
    network, inputs = open_case(backend_name, models[form], component), inputs_of(form, component)
    bound, second = network.bind(**inputs), network.bind(**inputs)
    bound.close()
    second()
    network.close()
    network.close()
    for call in (lambda: network(**inputs), lambda: network.bind(**inputs), second, bound):
        with pytest.raises(BackendError, match="closed"):
            call()


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=label)
def test_names_of_inputs(opened: dict[Case, Network], case: Case) -> None:
    """Missing and unknown inputs are one clear error, for a call and for a bind."""
    inputs = inputs_of(*case)
    unknown = {"glitter": next(iter(inputs.values()))}
    for wrong in ({}, {**inputs, **unknown}, dict(list(inputs.items())[1:])):
        with pytest.raises(ArrayContractError):
            opened[case](**wrong)
    with pytest.raises(ArrayContractError):
        opened[case].bind(**unknown)


def test_ids_outside_the_vocabulary(opened: dict[Case, Network]) -> None:
    for bad in (10**6, -1):
        with pytest.raises(ArrayContractError, match="vocabulary"):
            opened["sd1", "text_encoder"](input_ids=np.array([[0, bad]], np.int32))


def test_a_pooled_text_that_does_not_go_with_the_numbers(opened: dict[Case, Network]) -> None:
    inputs = inputs_of("sdxl", "unet")
    with pytest.raises(ArrayContractError, match="time_ids"):
        opened["sdxl", "unet"](**{**inputs, "time_ids": inputs["time_ids"][:, :5]})


@pytest.mark.parametrize("case", [("sd1", "text_encoder"), ("sd2", "text_encoder"), ("sdxl", "text_encoder_2")], ids=label)
def test_layers_that_are_left_out(backend_name: str, models: dict[Form, Path], case: Case, bound: float) -> None:
    """As the numpy backend leaves them out, by every backend that names clip_skip; ``pooled`` is of the last layer always."""
    if "clip_skip" not in registry.get(backend_name).component_options:
        pytest.skip(f"backend {backend_name} does not support clip_skip")
    form, component = case
    inputs = inputs_of(form, component)
    whole = open_case(backend_name, models[form], component)(**inputs)
    for options in (ComponentOptions(clip_skip=1), ComponentOptions(clip_skip=2)):
        found, wanted = (open_case(name, models[form], component, options)(**inputs) for name in (backend_name, "numpy"))
        assert found.keys() == wanted.keys()
        assert all(relative_error(found[name], wanted[name]) < bound for name in found)
        assert relative_error(found["last_hidden_state"], whole["last_hidden_state"]) > 1e-3
        assert relative_error(found["pooled"], whole["pooled"]) < 1e-6


VICTIMS: dict[ComponentName, str] = {
    "unet": "mid_block.resnets.0.conv1.weight",
    "controlnet": "controlnet_cond_embedding.conv_in.weight",
    "vae_decoder": "decoder.mid_block.resnets.1.conv2.weight",
    "vae_encoder": "encoder.mid_block.resnets.1.conv2.weight",
    "text_encoder": "encoder.layers.1.mlp.fc2.bias",
    "text_encoder_2": "text_projection.weight",
    "safety_checker": "concept_embeds",
}


@pytest.mark.parametrize("fault", ["missing", "shape", "nan"])
@pytest.mark.parametrize("case", ONE_OF_EACH, ids=label)
def test_weights_that_do_not_fit_are_named(backend_name: str, models: dict[Form, Path], tmp_path: Path, case: Case, fault: str) -> None:
    """A tensor that is missing, of another shape or not finite is one error with file and tensor in it."""
    form, component = case
    folder = shutil.copytree(models[form], tmp_path / "model")
    [file] = (folder / COMPONENTS[component].folder).glob("*.safetensors")
    tensors = load_file(file)
    (stored,) = (name for name in tensors if name.removeprefix("text_model.") == VICTIMS[component])
    victim = tensors.pop(stored)
    changed = {"missing": None, "shape": np.concatenate([victim, victim]), "nan": np.full_like(victim, np.nan)}[fault]
    save_file(tensors | ({} if changed is None else {stored: changed}), file)
    with pytest.raises(ModelError) as caught:
        open_case(backend_name, folder, component)
    assert str(file) in str(caught.value)
    assert VICTIMS[component] in str(caught.value)


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=label)
def test_a_part_of_another_class_is_refused(backend_name: str, models: dict[Form, Path], tmp_path: Path, case: Case) -> None:
    form, component = case
    folder = shutil.copytree(models[form], tmp_path / "model")
    file = folder / COMPONENTS[component].folder / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"_class_name": "Flux", "architectures": ["Flux"]}))
    with pytest.raises(ModelError, match="Flux"):
        open_case(backend_name, folder, component)
