"""Converted packages can be looked into under diffusers' module paths, by the map that the converter writes into ``sdrt.json``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.report import Report
from sdrt.arrays import Array
from sdrt.backends import BackendOptions, TraceableNetwork, registry
from sdrt.errors import ConfigError, ModelError
from sdrt.models import ComponentName, open_model
from sdrt.models.coreml.component import find_controlnet
from tests.converter.small import EXACT
from tests.factories import ADDED, UNETS, Form, normal


def small_inputs(form: Form, component: ComponentName, n: int = 3) -> dict[str, Array]:
    """Inputs of the size that the packages take, of numbers that float16 holds: packages take float16."""
    text = UNETS[form]["cross_attention_dim"]
    arrays: dict[str, Array]
    match component:
        case "text_encoder" | "text_encoder_2":
            return {"input_ids": np.random.default_rng(0).integers(0, 300, (n, 77)).astype(np.int32)}
        case "vae_decoder":
            arrays = {"z": normal(0, n, 4, 8, 8)}
        case "vae_encoder":
            arrays = {"x": normal(0, n, 3, 64, 64)}
        case _:
            arrays = {
                "sample": normal(0, n, 4, 8, 8),
                "timestep": np.linspace(3, 981, n).round(),
                "encoder_hidden_states": normal(1, n, 77, text),
            }
            if form in ADDED:
                pooled, count = ADDED[form]
                arrays |= {"text_embeds": normal(2, n, pooled), "time_ids": np.tile(np.arange(count) * 8.0, (n, 1))}
            if component == "controlnet":
                arrays["controlnet_cond"] = np.random.default_rng(3).random((n, 3, 64, 64))
    return {name: x.astype(np.float16).astype(np.float32) for name, x in arrays.items()}


def compare(traced: Any, source: Any, inputs: dict[str, Array], bound: float) -> set[str]:
    """Hold every value that the map names to the source's, and return the source's names that the map leaves out."""
    names, known = traced.trace_names, set(source.trace_names)
    assert set(names) <= known
    found, wanted = traced.trace(names, **inputs), source.trace(names, **inputs)
    assert found.keys() == set(names)
    for name in names:
        assert found[name].shape == wanted[name].shape, name
        assert found[name].dtype == np.float32
        assert np.abs(found[name] - wanted[name]).max() <= bound * np.abs(wanted[name]).max(), name
    return known - set(names)


def open_both(folder: Path, source: Path, component: ComponentName) -> tuple[Any, Any]:
    networks = [
        registry.get(name).open(component, open_model(path), BackendOptions()) for name, path in (("coreml", folder), ("torch", source))
    ]
    assert all(isinstance(network, TraceableNetwork) for network in networks)
    return networks[0], networks[1]


@pytest.fixture(scope="module")
def packages(model_folder: Callable[[Form], Path], converted: Callable[..., Report]) -> Callable[[Form], Path]:
    """A function that gives a folder of packages of a model of this form."""

    def make(form: Form) -> Path:
        more = {"parts": ("unet", "text_encoder", "vae_decoder", "vae_encoder"), "chunk": True} if form == "sd1" else {}
        return converted(model_folder(form), **{"parts": ("unet", "text_encoder"), **more}, **EXACT).outcomes[0].packages[0].parent

    return make


# What a package computes in another form: queries that are scaled already, and the gated product, which is no module's.
LEFT_OUT = (".to_q", ".ff.net.0")


@pytest.mark.parametrize("form", ["sd1", "sdxl"])
def test_a_rewritten_unet(packages: Callable[[Form], Path], model_folder: Callable[[Form], Path], form: Form) -> None:
    """Values come back in diffusers' layouts, of convolutions (sd1) and linear layers (sdxl), without rows that fill up a call."""
    traced, source = open_both(packages(form), model_folder(form), "unet")
    # cutting in two keeps the names of values
    assert len(list(packages(form).glob("*_chunk?.mlpackage"))) == (2 if form == "sd1" else 0)
    missing = compare(traced, source, small_inputs(form, "unet"), 1e-4)
    assert all(name.endswith(LEFT_OUT) for name in missing)


@pytest.mark.parametrize("component", ["vae_decoder", "vae_encoder", "text_encoder"])
def test_networks_as_they_are(packages: Callable[[Form], Path], model_folder: Callable[[Form], Path], component: ComponentName) -> None:
    traced, source = open_both(packages("sd1"), model_folder("sd1"), component)
    missing = compare(traced, source, small_inputs("sd1", component), 1e-4)
    assert missing <= {"text_model", "text_model.embeddings.position_embedding"}


def test_a_second_text_encoder(packages: Callable[[Form], Path], model_folder: Callable[[Form], Path]) -> None:
    traced, source = open_both(packages("sdxl"), model_folder("sdxl"), "text_encoder_2")
    assert "text_projection" in traced.trace_names
    compare(traced, source, small_inputs("sdxl", "text_encoder_2"), 1e-4)


def test_a_controlnet_and_a_unet_that_takes_its_residuals(
    model_folder: Callable[[Form], Path], controlnet_folder: Callable[[Form], Path], converted: Callable[..., Report], tmp_path: Path
) -> None:
    """Each has a map of its own; the U-Net's values are those under the residuals."""
    report = converted(
        model_folder("sd1"),
        parts=("unet", "text_encoder"),
        controlnets=(str(controlnet_folder("sd1")),),
        unet_support_controlnet=True,
        **EXACT,
    )
    folder = report.outcomes[0].packages[0].parent
    model = open_model(folder)
    (stem,) = json.loads((folder / "sdrt.json").read_text())["coreml"]["controlnets"]
    package = find_controlnet(stem.removeprefix("ControlNet_"), model)  # type: ignore[arg-type]
    traced: Any = registry.get("coreml").open("controlnet", package, BackendOptions())
    whole = tmp_path / "source"
    whole.mkdir()
    for path in model_folder("sd1").iterdir():
        (whole / path.name).symlink_to(path)
    (whole / "controlnet").symlink_to(controlnet_folder("sd1"))
    source: Any = registry.get("torch").open("controlnet", open_model(whole), BackendOptions())
    inputs = small_inputs("sd1", "controlnet")
    assert all(name.endswith(LEFT_OUT) for name in compare(traced, source, inputs, 1e-4))
    residuals = {name: x.astype(np.float16).astype(np.float32) for name, x in source(**inputs).items()}
    unets = open_both(folder, model_folder("sd1"), "unet")
    inputs.pop("controlnet_cond")
    compare(*unets, {**inputs, **residuals}, 1e-4)
    plain, led = (unets[0].trace(["up_blocks.0.resnets.0"], **each)["up_blocks.0.resnets.0"] for each in (inputs, {**inputs, **residuals}))
    assert np.abs(plain - led).max() > 1e-2 * np.abs(plain).max()


def test_a_map_that_is_damaged_or_of_another_package_says_so(packages: Callable[[Form], Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in packages("sd1").iterdir():
        (folder / path.name).symlink_to(path)
    written = json.loads((folder / "sdrt.json").read_text())
    (folder / "sdrt.json").unlink()

    def described(traces: Any) -> Any:
        (folder / "sdrt.json").write_text(json.dumps({**written, "coreml": {**written["coreml"], "traces": traces}}))
        return registry.get("coreml").open("vae_decoder", open_model(folder), BackendOptions())

    inputs = small_inputs("sd1", "vae_decoder")
    for damaged in ([["x", "same"]], {"same": ["x"]}, {"sideways": {"decoder": "x"}}, {"same": {"decoder": 3}}):
        with pytest.raises(ModelError, match=r"sdrt\.json: coreml\.traces must hold names by module path for each of same, sequence"):
            described({"vae_decoder": damaged})
    with pytest.raises(ConfigError, match=r"must compute the value of 'decoder', got a program without it; convert the model again"):
        described({"vae_decoder": {"same": {"decoder": "x"}}}).trace(["decoder"], **inputs)
    unmapped = described({})
    name = unmapped.trace_names[-1]
    assert "decoder" not in unmapped.trace_names
    # a trace runs operations one by one, where a run fuses some
    np.testing.assert_allclose(unmapped.trace([name], **inputs)[name], unmapped(**inputs)["image"], rtol=0, atol=1e-5)
