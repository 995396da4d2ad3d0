"""Self-attention with the identity for its map, against diffusers' module with that map put in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from sdrt.arrays import Numerics
from sdrt.backends import BackendOptions, ComponentOptions, TraceableNetwork, registry
from sdrt.backends.component_options import check_component_options
from sdrt.errors import ConfigError
from sdrt.models import open_model
from sdrt.models.components.self_attentions import self_attentions
from tests.backends.numpy.reference import BOUNDS, NUMERICS, denoiser_inputs, open_network, relative_error, torch_unet
from tests.factories import Form


class WholeMap:
    """A processor that writes the map out: softmax in place of which stands the identity matrix."""

    def __call__(self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: Any = None, attention_mask: Any = None) -> Any:
        value = attn.head_to_batch_dim(attn.to_v(hidden_states))
        identity = torch.eye(value.shape[1], dtype=value.dtype)
        return attn.to_out[0](attn.batch_to_head_dim(identity @ value))


def paths_of(folder: Path) -> tuple[str, ...]:
    return self_attentions(open_model(folder).config("unet"))


@pytest.mark.parametrize("numerics", NUMERICS)
@pytest.mark.parametrize("form", ["sd1", "sdxl"])
def test_agrees_with_the_map_written_out(folders: dict[Form, Path], form: Form, numerics: Numerics) -> None:
    paths = paths_of(folders[form])
    chosen = (paths[0], paths[-1])
    unet = UNet2DConditionModel.from_pretrained(folders[form] / "unet")
    reference, inputs = torch_unet(unet, numerics), denoiser_inputs(form, 2, 16, 8, numerics)
    plain = reference(**inputs)
    for path in chosen:
        attention: Any = unet.get_submodule(path)
        attention.set_processor(WholeMap())
    wanted = reference(**inputs)
    assert relative_error(plain, wanted) > 1e-3
    options = ComponentOptions(identity_attention=chosen)
    found = open_network(folders[form], "unet", numerics).with_options(options)(**inputs)["noise_pred"]
    assert relative_error(found, wanted) < BOUNDS[numerics]
    if numerics == "float32":
        opened = registry.get("torch").open("unet", open_model(folders[form]), BackendOptions(), options)
        assert relative_error(opened(**inputs)["noise_pred"], wanted) < BOUNDS[numerics]


def test_weights_that_stay_in_their_file_give_the_same_bytes(folders: dict[Form, Path]) -> None:
    options = ComponentOptions(identity_attention=paths_of(folders["sd1"]))
    inputs = denoiser_inputs("sd1", 2, 8, 8)
    mapped, held = (
        open_network(folders["sd1"], "unet", low_memory=low_memory).with_options(options)(**inputs)["noise_pred"]
        for low_memory in (True, False)
    )
    # products of one operand in another layout of memory round alike here or in their last bits
    assert relative_error(mapped, held) < 1e-5


def test_exact_results_do_not_depend_on_threads_or_on_where_weights_are(folders: dict[Form, Path]) -> None:
    options = ComponentOptions(identity_attention=paths_of(folders["sd1"]))
    inputs = denoiser_inputs("sd1", 2, 8, 8)
    found = [
        open_network(folders["sd1"], "unet", "exact", threads, low_memory=low_memory).with_options(options)(**inputs)["noise_pred"]
        for threads, low_memory in ((1, False), (3, False), (1, True))
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    wanted = open_network(folders["sd1"], "unet").with_options(options)(**inputs)["noise_pred"]
    assert relative_error(found[0], wanted) < BOUNDS["float32"]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_its_inner_values_have_the_same_names(folders: dict[Form, Path], backend: str) -> None:
    path = paths_of(folders["sd1"])[0]
    network = registry.get(backend).open("unet", open_model(folders["sd1"]), BackendOptions(), ComponentOptions(identity_attention=(path,)))
    inputs: Any = denoiser_inputs("sd1", 1, 8, 8)
    assert isinstance(network, TraceableNetwork)
    values = network.trace([f"{path}.to_v", path], **inputs)
    assert set(values) == {f"{path}.to_v", path}


def test_paths_that_are_none_are_refused(folders: dict[Form, Path]) -> None:
    with pytest.raises(ConfigError, match=r"identity_attention must be a list"):
        ComponentOptions(identity_attention="mid")  # type: ignore[arg-type]
    config = open_model(folders["sd1"]).config("unet")
    with pytest.raises(ConfigError, match=r"identity_attention must be among down_blocks.0.attentions.0.*, got mid; choose of these"):
        check_component_options("unet", config, ComponentOptions(identity_attention=("mid",)), "mine", ("identity_attention",))
    with pytest.raises(ConfigError, match=r"of backend 'mine' \(none\), got identity_attention=.*; leave pag_scale out, or choose another"):
        check_component_options("unet", config, ComponentOptions(identity_attention=paths_of(folders["sd1"])[:1]), "mine", ())
