"""T2I-Adapters against diffusers' own, and their features in a U-Net, on each backend that runs them."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import T2IAdapter, UNet2DConditionModel

from sdrt.arrays import Array, Numerics
from sdrt.backends import BackendOptions, Network, registry, signature
from sdrt.backends.numpy import NumpyBackend
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.models import open_component
from sdrt.models.components.feature_places import ADAPTER_FEATURES, feature_places
from sdrt.models.components.t2i_adapters import count_taken, feature_sizes
from tests.factories import T2I_ADAPTERS, UNETS, normal, random_unet, save_t2i_adapter_folder

# Sums of a few thousand products in another order.
BOUNDS: dict[str, float] = {"float32": 1e-5, "float64": 1e-12, "exact": 1e-5}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adapters")


@cache
def folder_of(root: Path, name: str) -> Path:
    return save_t2i_adapter_folder(root / name, name)


@pytest.fixture(params=[("numpy", "float32"), ("numpy", "float64"), ("numpy", "exact"), ("torch", "float32")], ids="-".join)
def runner(request: pytest.FixtureRequest) -> tuple[str, Numerics]:
    name, numerics = request.param
    return name, numerics


def open_adapter(folder: Path, backend: str, numerics: Any = "float32") -> Network:
    options = BackendOptions(numerics=numerics, threads=1)
    return registry.get(backend).open("t2i_adapter", open_component(folder, "t2i_adapter"), options)


def relative_error(found: Array, wanted: Array) -> float:
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


# 80 and 112 leave odd sides where features are halved
@pytest.mark.parametrize("name", T2I_ADAPTERS)
def test_agrees_with_diffusers(root: Path, runner: tuple[str, Numerics], name: str) -> None:
    network = open_adapter(folder_of(root, name), *runner)
    peer = T2IAdapter.from_pretrained(folder_of(root, name)).requires_grad_(False)
    dtype = "float64" if runner[1] == "float64" else "float32"
    channels = T2I_ADAPTERS[name][1].get("in_channels", 3)
    image = np.random.default_rng(3).random((2, channels, 80, 112)).astype(dtype)
    found = network(image=image)
    wanted = peer.to(getattr(torch, dtype))(torch.from_numpy(image))
    assert tuple(found) == tuple(f"feature_{number}" for number in range(len(wanted)))
    for value, want in zip(found.values(), wanted, strict=True):
        assert value.dtype == dtype
        assert relative_error(value, want.numpy()) < BOUNDS[runner[1]]
    sizes = feature_sizes(open_component(folder_of(root, name), "t2i_adapter").config("t2i_adapter"))
    assert [(x.shape[1], -(-80 // scale), -(-112 // scale)) for x, (_, scale) in zip(wanted, sizes, strict=True)] == [
        x.shape[1:] for x in found.values()
    ]
    # and the second picture is its own
    assert relative_error(network(image=image[1:])["feature_1"], found["feature_1"][1:]) < 1e-5


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_picture_that_does_not_divide_into_squares_is_refused(root: Path, backend: str) -> None:
    network = open_adapter(folder_of(root, "xl"), backend)
    with pytest.raises(ArrayContractError, match="image must have sides in multiples of 16, got 24x32"):
        network(image=np.zeros((1, 3, 24, 32), np.float32))


class TakingFeatures:
    """A U-Net's folder, seen with the key of a U-Net that takes features."""

    def __init__(self, folder: Path, count: int) -> None:
        self.model, self.count = open_component(folder, "unet"), count

    def config(self, component: Any) -> dict[str, Any]:
        return {**self.model.config(component), ADAPTER_FEATURES: self.count}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("form", ["sd1", "sdxl", pytest.param("sdxl-refiner", marks=pytest.mark.slow)])
def test_a_unet_adds_features_where_diffusers_does(tmp_path: Path, backend: str, form: Any) -> None:
    config = UNETS[form]
    random_unet(config).save_pretrained(tmp_path)
    peer = UNet2DConditionModel.from_pretrained(tmp_path).requires_grad_(False)
    places = feature_places(open_component(tmp_path, "unet").config("unet"))
    model: Any = TakingFeatures(tmp_path, len(places))
    network = registry.get(backend).open("unet", model, BackendOptions(threads=1))
    inputs = {
        "sample": normal(0, 2, 4, 8, 16),
        "timestep": np.array([3.0, 981.0], np.float32),
        "encoder_hidden_states": normal(1, 2, 9, config["cross_attention_dim"]),
    }
    added = {}
    if "addition_embed_type" in config:
        count = (config["projection_class_embeddings_input_dim"] - 24) // 8
        added = {"text_embeds": normal(2, 2, 24), "time_ids": np.tile(np.arange(count, dtype=np.float32) * 73, (2, 1))}
    features = {f"adapter_feature_{k}": normal(5 + k, 2, width, 8 >> by, 16 >> by) for k, (width, by) in enumerate(places)}
    assert {spec.name for spec in network.signature.inputs} == {*inputs, *added, *features}
    tensors = {name: torch.from_numpy(x) for name, x in (inputs | added).items()}
    conditions = {"added_cond_kwargs": {name: tensors[name] for name in added}} if added else {}

    def wanted(features: dict[str, Array]) -> np.ndarray:
        passed = [torch.from_numpy(x.copy()) for x in features.values()]
        return peer(  # type: ignore[no-any-return]
            *(tensors[name] for name in inputs), **conditions, down_intrablock_additional_residuals=passed
        ).sample.numpy()

    found = network(**inputs, **added, **features)["noise_pred"]
    assert relative_error(found, wanted(features)) < 1e-4
    bound = network.bind(**features, **added)(**inputs)["noise_pred"]
    np.testing.assert_array_equal(bound, found)
    for name, feature in features.items():
        without = features | {name: np.zeros_like(feature)}
        assert relative_error(network(**inputs, **added, **without)["noise_pred"], found) > 1e-3, name
        # narrower, and one that torch would spread over all places
        for wrong in (feature[:, :, :, 1:], feature[:, :, :1, :1]):
            if wrong.size and wrong.shape != feature.shape:
                with pytest.raises(ArrayContractError, match=f"{name} is .* pixels, but is added to"):
                    network(**inputs, **added, **features | {name: wrong})


def test_the_unets_residuals_of_controlnets_may_come_beside_features(tmp_path: Path) -> None:
    random_unet(UNETS["sd1"]).save_pretrained(tmp_path)
    model: Any = TakingFeatures(tmp_path, 4)
    networks = [registry.get(name).open("unet", model, BackendOptions(threads=1)) for name in ("numpy", "torch")]
    places = feature_places(model.config("unet"))
    inputs = {
        "sample": normal(0, 1, 4, 8, 8),
        "timestep": np.array([500.0], np.float32),
        "encoder_hidden_states": normal(1, 1, 9, 32),
        **{f"adapter_feature_{k}": normal(5 + k, 1, width, 8 >> by, 8 >> by) for k, (width, by) in enumerate(places[:4])},
    }
    levels = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    residuals = {
        spec.name: normal(20 + k, 1, spec.shape[1], 8 >> by, 8 >> by)  # type: ignore[arg-type]
        for k, (spec, by) in enumerate(zip(networks[0].signature.optional, levels, strict=True))
    }
    one, other = (network(**inputs, **residuals)["noise_pred"] for network in networks)
    assert relative_error(one, other) < 1e-4
    assert relative_error(networks[0](**inputs)["noise_pred"], one) > 1e-3


def test_the_contract_names_features_only_where_the_key_is(tmp_path: Path) -> None:
    random_unet(UNETS["sd1"]).save_pretrained(tmp_path)
    config = open_component(tmp_path, "unet").config("unet")
    plain = [spec.name for spec in signature("unet", config, "float32").inputs]
    taking = [spec.name for spec in signature("unet", {**config, ADAPTER_FEATURES: 2}, "float32").inputs]
    assert taking == [*plain, "adapter_feature_0", "adapter_feature_1"]
    assert NumpyBackend().open("unet", open_component(tmp_path, "unet"), BackendOptions(threads=1)).signature.input_names() == tuple(plain)


# ---- what fits


def config_of(name: str, **changes: Any) -> dict[str, Any]:
    from sdrt.models.components import COMPONENTS

    return COMPONENTS["t2i_adapter"].complete({**T2I_ADAPTERS[name][1], **changes})


def unet_of(form: str, **changes: Any) -> dict[str, Any]:
    from sdrt.models.components import COMPONENTS

    return COMPONENTS["unet"].complete({**UNETS[form], **changes})  # type: ignore[index]


@pytest.mark.parametrize("name", T2I_ADAPTERS)
def test_every_feature_of_the_published_forms_has_its_place(name: str) -> None:
    form = T2I_ADAPTERS[name][0]
    assert count_taken(config_of(name), unet_of(form), 8, "here") == 4


def test_what_has_no_place_is_not_taken() -> None:
    """As diffusers: one more in the middle, if it has that size."""
    adapter = config_of("full", channels=[32, 64, 64, 64, 64])
    assert count_taken(adapter, unet_of("sd1"), 8, "here") == 4
    assert count_taken(config_of("xl"), unet_of("sdxl", mid_block_type=None), 8, "here") == 3
    assert count_taken(config_of("full", channels=[32, 64]), unet_of("sd1"), 8, "here") == 2


@pytest.mark.parametrize(("name", "form"), [("full", "sdxl"), ("light", "sdxl"), ("xl", "sd1")])
def test_an_adapter_of_another_family_is_refused(name: str, form: str) -> None:
    with pytest.raises(ConfigError, match=r"feature \d of a T2I-Adapter must have \d+ channels, one value for .* same family"):
        count_taken(config_of(name), unet_of(form), 8, "here")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"in_channels": 2}, "in_channels must be 3, or 1"),
        ({"in_channels": 4}, "in_channels must be"),
        ({"adapter_type": "style_adapter"}, "adapter_type must be"),
        ({"adapter_type": "light_adapter", "channels": [2, 4]}, "channels of a light_adapter must be 4 or more"),
        ({"adapter_type": "full_adapter_xl", "channels": [4, 8, 16, 32]}, "must be equal from the third on"),
        ({"channels": []}, "channels must be"),
        ({"channels": [320.5]}, "channels must be"),
        ({"num_res_blocks": 10**6}, "num_res_blocks"),
        ({"downscale_factor": 0}, "downscale_factor must be"),
        ({"downscale_factor": float("nan")}, "downscale_factor must be"),
    ],
)
def test_a_configuration_that_no_adapter_has_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config_of("full", **changes)
