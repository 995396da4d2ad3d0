"""Configurations are checked where they enter: the kind of every value, lists as long as the levels, and how many layers are asked for."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from sdrt.errors import ConfigError, ModelError
from sdrt.limits import Limits
from sdrt.models import COMPONENTS, ComponentName, open_component, open_model, path
from sdrt.models.coreml import read_config_overrides

WRONG: list[tuple[ComponentName, dict[str, Any], str]] = [
    ("unet", {"in_channels": "4"}, "in_channels must be a whole number from 1 to 1048576, got '4'"),
    ("unet", {"in_channels": True}, "in_channels must be a whole number"),
    ("unet", {"in_channels": None}, "in_channels must be a whole number"),
    ("unet", {"in_channels": 10**30}, "in_channels must be a whole number"),
    ("unet", {"time_cond_proj_dim": 0}, "time_cond_proj_dim must be a whole number from 1 to 1048576, or null, got 0"),
    (
        "unet",
        {"up_block_types": ["UpBlock2D"]},
        "up_block_types must have 4 entries, as many as block_out_channels has",
    ),
    ("unet", {"cross_attention_dim": [8, 8]}, "cross_attention_dim must be a whole number"),
    ("unet", {"attention_head_dim": [2]}, "attention_head_dim must have 4 entries"),
    ("unet", {"attention_head_dim": None}, "attention_head_dim must be a whole number"),
    ("unet", {"layers_per_block": 0}, "layers_per_block must be a whole number"),
    ("unet", {"layers_per_block": [1, 1, 1, True]}, "layers_per_block must be a whole number"),
    ("unet", {"transformer_layers_per_block": [1]}, "transformer_layers_per_block must have 4 entries"),
    ("unet", {"reverse_transformer_layers_per_block": 1}, "reverse_transformer_layers_per_block must be a list"),
    ("unet", {"only_cross_attention": "yes"}, "only_cross_attention must be true or false"),
    ("unet", {"flip_sin_to_cos": 1}, "flip_sin_to_cos must be true or false, got 1"),
    ("unet", {"norm_eps": "small"}, "norm_eps must be a finite number"),
    ("unet", {"norm_eps": float("inf")}, "norm_eps must be a finite number"),
    ("unet", {"block_out_channels": 8}, "block_out_channels must be a list"),
    ("unet", {"block_out_channels": []}, "block_out_channels must be a list of 1 to 16"),
    ("unet", {"sample_size": [1, 2, 3, 4]}, "sample_size must be a whole number from 1 to 65536, or a list of 2"),
    ("unet", {"addition_embed_type": "text_time"}, "projection_class_embeddings_input_dim must be above 5 times addition_time_embed_dim"),
    ("unet", {"class_embed_type": "true"}, "class_embed_type must be 'timestep' or"),
    ("unet", {"act_fn": ["silu"]}, "act_fn must be a .*string"),
    ("vae_decoder", {"latent_channels": "4"}, "latent_channels must be a whole number"),
    ("vae_decoder", {"scaling_factor": [0.5, 1]}, r"scaling_factor must be a finite number from 0.0001 to 10000.0, got \[0.5, 1\]"),
    ("vae_decoder", {"scaling_factor": 0}, "scaling_factor must be a finite number from 0.0001 to 10000.0, got 0"),
    ("vae_decoder", {"shift_factor": [48, 64]}, "shift_factor must be a finite number from -10000.0 to 10000.0, or null"),
    ("vae_decoder", {"latents_mean": [0.0] * 4}, "latents_mean and latents_std must both be null, or have a number for each of 4 channels"),
    ("vae_decoder", {"latents_mean": [0.0] * 3, "latents_std": [1.0] * 3}, "must both be null, or have a number for each of 4 channels"),
    ("vae_decoder", {"force_upcast": "true"}, "force_upcast must be true or false, got 'true'"),
    ("controlnet", {"conditioning_embedding_out_channels": [4, 0]}, "conditioning_embedding_out_channels must be a list"),
    ("controlnet", {"global_pool_conditions": 1}, "global_pool_conditions must be true or false"),
    ("text_encoder", {"architectures": 1}, "architectures must be a list"),
    ("text_encoder", {"hidden_size": 32.5}, "hidden_size must be a whole number"),
    ("text_encoder", {"max_position_embeddings": 10**9}, "max_position_embeddings must be a whole number from 1 to 65536"),
    ("safety_checker", {"vision_config": []}, "vision_config must be a mapping"),
    ("safety_checker", {"vision_config_dict": {"image_size": "224"}}, "vision_config: image_size must be a whole number"),
]


@pytest.mark.parametrize(("component", "config", "message"), WRONG)
def test_a_value_of_another_kind_is_one_error(component: ComponentName, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^here: .*{message}.*; correct the file$"):
        COMPONENTS[component].complete(config, "here")


def test_what_the_peers_read_is_read() -> None:
    unet = COMPONENTS["unet"].complete({"in_channels": 4.0, "sample_size": [64, 96], "upcast_attention": None, "later": {"a": [1]}})
    assert (unet["in_channels"], type(unet["in_channels"])) == (4, int)
    assert (unet["sample_size"], unet["upcast_attention"], unet["later"]) == ([64, 96], None, {"a": [1]})
    assert COMPONENTS["vae_decoder"].complete({"shift_factor": 0, "sample_size": [512, 512]})["shift_factor"] == 0


@pytest.mark.parametrize(
    ("component", "config"),
    [
        ("text_encoder", {"num_hidden_layers": 10**6}),
        ("unet", {"layers_per_block": 500}),
        ("unet", {"layers_per_block": 20, "transformer_layers_per_block": [1, 1, 1, 20]}),
        ("vae_decoder", {"layers_per_block": 1001}),
        ("controlnet", {"transformer_layers_per_block": 10**6}),
        ("safety_checker", {"vision_config": {"num_hidden_layers": 10**6}}),
    ],
)
def test_layers_are_limited_before_they_are_built(component: ComponentName, config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"the layers by .* must be at most 1000, got \d+; raise it with sdrt.load\(limits="):
        COMPONENTS[component].complete(config)
    assert COMPONENTS[component].complete(config, limits=Limits(layers=10**9))


@pytest.fixture
def nano(tmp_path: Path) -> Path:
    return Path(shutil.copytree(path("nano"), tmp_path / "nano"))


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_many_layers_take_no_time_on_any_backend(nano: Path, backend: str) -> None:
    import sdrt

    change(nano / "text_encoder" / "config.json", num_hidden_layers=10**9)
    begin = time.perf_counter()
    with pytest.raises(ConfigError, match="num_hidden_layers"):
        sdrt.load(nano, backend).load()
    assert time.perf_counter() - begin < 30


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("unet/config.json", {"in_channels": "4"}, "unet.config.json: in_channels must be"),
        ("unet/config.json", {"_class_name": []}, "unet.config.json: _class_name must be a .*string"),
        ("text_encoder/config.json", {"architectures": 1}, "text_encoder.config.json: architectures must be a list"),
        ("model_index.json", {"_class_name": []}, "model_index.json: _class_name must be a .*string"),
        (
            "model_index.json",
            {"force_zeros_for_empty_prompt": "false"},
            "model_index.json: force_zeros_for_.* must be true or false",
        ),
        ("sdrt.json", {"guidance_scale": [7.5]}, "sdrt.json: guidance_scale must be a finite number"),
        ("sdrt.json", {"height": 10.5}, "sdrt.json: height must be a whole number"),
    ],
)
def test_every_file_of_a_folder_is_checked(nano: Path, file: str, values: dict[str, object], message: str) -> None:
    change(nano / file, **values)
    with pytest.raises((ConfigError, ModelError), match=message):
        _read_all(nano)


def _read_all(folder: Path) -> None:
    model = open_model(folder)
    for component in model.components:
        model.config(component)
    assert model.defaults is not None
    assert model.flags is not None


def test_a_folder_of_one_component_is_checked(nano: Path) -> None:
    change(nano / "vae" / "config.json", _class_name=[])
    with pytest.raises(ConfigError, match=r"_class_name must be a .*string"):
        open_component(nano / "vae", "vae_decoder")
    change(nano / "vae" / "config.json", _class_name="AutoencoderKL", scaling_factor=[0.5, 1])
    with pytest.raises(ConfigError, match="scaling_factor must be a finite number from"):
        open_component(nano / "vae", "vae_decoder").config("vae_decoder")


def test_colours_of_a_feature_extractor_are_three_numbers(nano: Path) -> None:
    (nano / "feature_extractor").mkdir()
    for colours in ([1, 2], "abc", [1, 2, None], {"0": 1}):
        (nano / "feature_extractor" / "preprocessor_config.json").write_text(json.dumps({"image_mean": colours}))
        with pytest.raises(ModelError, match=r"preprocessor_config.json: image_mean must be a list of 3"):
            _ = open_model(nano).feature_extractor_config


def test_configurations_that_a_caller_gives_are_checked() -> None:
    with pytest.raises(ConfigError, match="config: unet: in_channels must be"):
        read_config_overrides({"unet": {"in_channels": "4"}})
    wrongs: list[Any] = [{"unet": 3}, {"scheduler": []}, {3: {}}]
    for wrong in wrongs:
        with pytest.raises(ConfigError):
            read_config_overrides(wrong)


@pytest.mark.parametrize("component", ["vae", "", None, 3, [1], "\x1b[31m"])
def test_a_component_that_is_none_is_one_error(component: Any) -> None:
    with pytest.raises(ConfigError, match="component must be"):
        open_component(path("nano") / "vae", component)
