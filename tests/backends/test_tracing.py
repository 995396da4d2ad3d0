"""Inner values by diffusers' module paths: what hooks on diffusers' and transformers' own modules see is what the backends give."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from sdrt.arrays import Array, Signature
from sdrt.backends import ComponentOptions
from sdrt.backends.pool import CheckedNetwork
from sdrt.errors import ArrayContractError, BackendError, ConfigError
from sdrt.models.components import COMPONENTS, ComponentName
from tests.backends.cases import Case, inputs_of, open_case, relative_error, residuals_for, save_parts
from tests.backends.traced import BACKENDS, CASES, label, open_traceable
from tests.factories import Form

# Modules that other layers contain or share: activations, dropout, lists, and the two tables behind a text's embeddings.
NO_LAYERS = (nn.ModuleList, nn.Dropout, nn.SiLU, nn.Embedding)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[Form, Path]:
    root = tmp_path_factory.mktemp("tracing")
    return {form: save_parts(root / form, form) for form in ("sd1", "lcm", "sdxl")}


def peer(component: ComponentName, folder: Path) -> tuple[nn.Module, Callable[..., Any], str]:
    """A peer's module from a model folder, a call of it by the contract's names, and what its paths lack of the files' names."""
    where = folder / COMPONENTS[component].folder
    match component:
        case "unet":
            unet: Any = UNet2DConditionModel.from_pretrained(where)
            return unet, lambda **inputs: _denoise(unet, inputs), ""
        case "controlnet":
            controlnet: Any = ControlNetModel.from_pretrained(where)
            return controlnet, lambda **inputs: _denoise(controlnet, inputs), ""
        case "vae_decoder":
            vae: Any = AutoencoderKL.from_pretrained(where)
            return vae, lambda z: vae.decode(z), ""
        case "vae_encoder":
            encoder: Any = AutoencoderKL.from_pretrained(where)
            return encoder, lambda x: encoder.encode(x), ""
        case "text_encoder":
            text: Any = CLIPTextModel.from_pretrained(where)
            return text, lambda input_ids: text(input_ids.long()), "" if hasattr(text, "text_model") else "text_model."
    projecting: Any = CLIPTextModelWithProjection.from_pretrained(where)
    return projecting, lambda input_ids: projecting(input_ids.long()), ""


def _denoise(module: Any, inputs: dict[str, torch.Tensor]) -> Any:
    added = {name: inputs.pop(name) for name in ("text_embeds", "time_ids") if name in inputs}
    return module(**inputs, added_cond_kwargs=added or None)


def hooked(component: ComponentName, folder: Path, inputs: dict[str, Array]) -> dict[str, Array]:
    """What hooks on the peer's layers see: of several values, the first."""
    module, call, prefix = peer(component, folder)
    seen: dict[str, Array] = {}

    def see(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            while not isinstance(output, torch.Tensor):
                output = output[0]
            seen[path] = output.numpy().copy()

        return hook

    for path, each in module.named_modules():
        if path and not isinstance(each, NO_LAYERS) and "activation" not in path:
            each.register_forward_hook(see(prefix + path))
    with torch.no_grad():
        call(**{name: torch.from_numpy(x) for name, x in inputs.items()})
    return seen


@pytest.mark.parametrize("case", CASES, ids=label)
def test_every_layer_gives_what_a_hook_on_the_peers_layer_sees(models: dict[Form, Path], case: Case) -> None:
    """Both backends know every layer that the peer runs, and give its value in its layout."""
    form, component = case
    inputs = inputs_of(form, component)
    seen = hooked(component, models[form], dict(inputs))
    for backend in BACKENDS:
        network = open_traceable(backend, models[form], component)
        assert seen.keys() <= set(network.trace_names), backend
        values = network.trace(seen, **inputs)
        assert values.keys() == seen.keys()
        for name, wanted in seen.items():
            assert values[name].dtype == np.float32
            assert values[name].flags.c_contiguous
            assert relative_error(values[name], wanted) < 1e-4, (backend, name)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES, ids=label)
def test_a_trace_changes_no_run(models: dict[Form, Path], backend: str, case: Case) -> None:
    """Calls before and after it give the same bytes; every name of the numpy backend is one of torch's; values are nobody else's."""
    form, component = case
    network, inputs = open_traceable(backend, models[form], component), inputs_of(form, component)
    before = network(**inputs)
    names = network.trace_names
    assert len(set(names)) == len(names) > 30
    assert set(names) <= set(open_traceable("torch", models[form], component).trace_names)
    values = network.trace(names, **inputs)
    assert values.keys() == set(names)
    for value in values.values():
        value[...] = np.nan
    after = network(**inputs)
    assert all(np.array_equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_are_those_of_the_bound_inputs_and_residuals(models: dict[Form, Path], backend: str) -> None:
    """Each input that is bound reaches the values, and what is computed ahead is recorded too."""
    network, inputs = open_traceable(backend, models["sdxl"], "unet"), inputs_of("sdxl", "unet")
    residuals = residuals_for(network)
    names = ("add_embedding", "time_embedding", "mid_block", "up_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k")
    wanted, plain = network.trace(names, **inputs, **residuals), network.trace(names, **inputs)
    assert relative_error(plain["up_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"], wanted[names[-1]]) == 0
    constants = {name: inputs.pop(name) for name in ("encoder_hidden_states", "text_embeds", "time_ids")}
    found = network.bind(**constants).bind(**residuals).trace(names, **inputs)
    assert all(np.array_equal(found[name], wanted[name]) for name in names)
    control, inputs = open_traceable(backend, models["sd1"], "controlnet"), inputs_of("sd1", "controlnet")
    hint = ("controlnet_cond_embedding", "controlnet_cond_embedding.blocks.1")
    wanted = control.trace(hint, **inputs)
    found = control.bind(controlnet_cond=inputs.pop("controlnet_cond")).trace(hint, **inputs)
    assert all(np.array_equal(found[name], wanted[name]) for name in hint)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_that_run_one_by_one_come_together(models: dict[Form, Path], backend: str) -> None:
    inputs = inputs_of("sd1", "vae_decoder", n=3)
    names = ("decoder.up_blocks.0.resnets.0", "decoder.conv_out", "post_quant_conv")
    wanted = open_traceable(backend, models["sd1"], "vae_decoder").trace(names, **inputs)
    found = open_traceable(backend, models["sd1"], "vae_decoder", low_memory=True).trace(names, **inputs)
    assert all(relative_error(found[name], wanted[name]) < 1e-5 for name in names)


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_layers_of_a_text_encoder_are_there_whatever_is_left_out(models: dict[Form, Path], backend: str) -> None:
    """The final norm's value is that of the last layer, as in a plain run."""
    inputs = inputs_of("sd1", "text_encoder")
    plain = open_traceable(backend, models["sd1"], "text_encoder")
    names = plain.trace_names
    skipping = open_traceable(backend, models["sd1"], "text_encoder", ComponentOptions(clip_skip=1))
    wanted, found = plain.trace(names, **inputs), skipping.trace(names, **inputs)
    assert found.keys() == set(names)
    assert all(np.array_equal(found[name], wanted[name]) for name in names)
    assert not np.array_equal(skipping(**inputs)["last_hidden_state"], wanted["text_model.final_layer_norm"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_float64_is_traced_in_float64(models: dict[Form, Path], backend: str) -> None:
    names = ("time_proj", "mid_block.attentions.0.transformer_blocks.0.ff.net.0", "conv_out")
    inputs = inputs_of("sd1", "unet", dtype="float64")
    found, wanted = (open_traceable(each, models["sd1"], "unet", numerics="float64").trace(names, **inputs) for each in (backend, "numpy"))
    for name in names:
        assert found[name].dtype == np.float64
        assert relative_error(found[name], wanted[name]) < 1e-9


@pytest.mark.parametrize("backend", BACKENDS)
def test_calls_at_once_see_nothing_of_a_trace(models: dict[Form, Path], backend: str) -> None:
    network = open_traceable(backend, models["sd1"], "unet")
    jobs = [inputs_of("sd1", "unet", seed=seed) for seed in range(4)]
    names = network.trace_names
    calls, traces = [network(**job) for job in jobs], [network.trace(names, **job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        called = [pool.submit(network, **job) for job in jobs]
        traced = [pool.submit(network.trace, names, **job) for job in jobs]
    for future, wanted in zip([*called, *traced], [*calls, *traces], strict=True):
        assert all(np.array_equal(value, wanted[name]) for name, value in future.result().items())


@pytest.mark.parametrize("backend", BACKENDS)
def test_refusals(models: dict[Form, Path], backend: str) -> None:
    network, inputs = open_traceable(backend, models["sd1"], "unet"), inputs_of("sd1", "unet")
    with pytest.raises(ConfigError, match=r"unet: names must be among trace_names, got 'mid_blocks'; it has mid_block,?.*"):
        network.trace(["conv_in", "mid_blocks"], **inputs)
    with pytest.raises(ConfigError, match=r"got 'zzz'; it has \d+ others"):
        network.trace(["zzz"], **inputs)
    with pytest.raises(ArrayContractError, match="unet input: names must be sample"):
        network.trace(["conv_in"], sample=inputs["sample"])
    assert network.trace([], **inputs) == {}
    network.close()
    with pytest.raises(BackendError, match="closed"):
        network.trace(["conv_in"], **inputs)
    with pytest.raises(BackendError, match="closed"):
        _ = network.trace_names


def test_the_checked_network_passes_on_what_can_be_looked_into(models: dict[Form, Path]) -> None:
    network, inputs = CheckedNetwork("unet", open_case("numpy", models["sd1"], "unet")), inputs_of("sd1", "unet")
    bound = network.bind(encoder_hidden_states=inputs.pop("encoder_hidden_states"))
    assert "conv_in" in bound.trace_names
    assert bound.trace(["conv_in"], **inputs)["conv_in"].shape == (2, 32, 8, 16)
    with pytest.raises(ArrayContractError, match="unet input: expected sample"):
        bound.trace(["conv_in"], **{**inputs, "sample": inputs["sample"].astype(np.float64)})


def test_a_network_without_a_trace_says_so() -> None:
    class Opaque:
        """A network that keeps to the protocol and offers no more."""

        signature = Signature(inputs=(), outputs=())

        def __call__(self, **_: Array) -> dict[str, Array]:
            return {}

        def bind(self, **_: Array) -> Self:
            return self

        def close(self) -> None:
            """Nothing is held."""

    network = CheckedNetwork("unet", Opaque())
    assert network.trace_names == ()
    with pytest.raises(ConfigError, match=r"unet: network must have trace\(\), got a Opaque without; use backend 'numpy'"):
        network.trace(["conv_in"])
