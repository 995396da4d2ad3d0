"""Model folders that do not fit: each is one error that names file, tensor or key, and what to do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sdrt.errors import ConfigError, WeightsError
from sdrt.models import ComponentName
from tests.backends.numpy.reference import change_config, open_network, part_folder
from tests.factories import (
    NARROW_CONTROLNET,
    NARROW_UNET,
    TEXT_ENCODERS,
    random_controlnet,
    random_safety_checker,
    random_text_encoder,
    random_unet,
    random_vae,
)

FILES: dict[ComponentName, str] = {
    "unet": "diffusion_pytorch_model",
    "controlnet": "diffusion_pytorch_model",
    "vae_decoder": "diffusion_pytorch_model",
    "text_encoder": "model",
    "safety_checker": "model",
}
VICTIMS: dict[ComponentName, str] = {
    "controlnet": "controlnet_cond_embedding.blocks.1.weight",
    "safety_checker": "concept_embeds",
    "unet": "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    "vae_decoder": "decoder.mid_block.resnets.1.conv2.weight",
    "text_encoder": "encoder.layers.1.mlp.fc2.bias",
}


@pytest.fixture(params=list(VICTIMS))
def component(request: pytest.FixtureRequest) -> ComponentName:
    found: ComponentName = request.param
    return found


@pytest.fixture
def folder(tmp_path: Path, component: ComponentName) -> Path:
    match component:
        case "unet":
            return part_folder(tmp_path, component, random_unet(NARROW_UNET))
        case "controlnet":
            return part_folder(tmp_path, component, random_controlnet(NARROW_CONTROLNET))
        case "safety_checker":
            return part_folder(tmp_path, component, random_safety_checker())
        case "text_encoder":
            return part_folder(tmp_path, component, random_text_encoder(TEXT_ENCODERS["sd1"]))
    return part_folder(tmp_path, component, random_vae({"block_out_channels": (8,), "norm_num_groups": 2}))


def _weights(folder: Path, component: ComponentName) -> Path:
    return next(folder.rglob(f"{FILES[component]}.safetensors"))


def _edit(file: Path, component: ComponentName, change: Callable[[np.ndarray], np.ndarray | None]) -> None:
    tensors = load_file(file)
    (name,) = (stored for stored in tensors if stored.removeprefix("text_model.") == VICTIMS[component])
    changed = change(tensors.pop(name))
    save_file(tensors | ({} if changed is None else {name: changed}), file)


def test_missing_tensor(folder: Path, component: ComponentName) -> None:
    _edit(_weights(folder, component), component, lambda _: None)
    with pytest.raises(WeightsError, match=rf"safetensors: tensor '{VICTIMS[component]}' of shape \[.*\] is missing"):
        open_network(folder, component)


def test_tensor_of_another_shape(folder: Path, component: ComponentName) -> None:
    _edit(_weights(folder, component), component, lambda x: np.concatenate([x, x]))
    with pytest.raises(WeightsError, match=rf"{VICTIMS[component]}' must have shape \[.*\] by config.json, got \[.*\]"):
        open_network(folder, component)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(folder: Path, component: ComponentName, value: float) -> None:
    def spoil(x: np.ndarray) -> np.ndarray:
        x.flat[1] = value
        return x

    _edit(_weights(folder, component), component, spoil)
    with pytest.raises(WeightsError, match=rf"{VICTIMS[component]}' holds 1 NaN or infinite values"):
        open_network(folder, component)


def test_file_cut_short(folder: Path, component: ComponentName) -> None:
    file = _weights(folder, component)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        open_network(folder, component)


def test_git_lfs_pointer(folder: Path, component: ComponentName) -> None:
    _weights(folder, component).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(WeightsError, match="Git-LFS pointer"):
        open_network(folder, component)


REFUSED: list[tuple[ComponentName, str, object]] = [
    ("unet", "class_embed_type", "timestep"),
    ("unet", "addition_embed_type", "text_image"),
    ("unet", "resnet_time_scale_shift", "scale_shift"),
    ("unet", "encoder_hid_dim_type", "text_proj"),
    ("unet", "num_attention_heads", 2),
    ("unet", "dual_cross_attention", True),
    ("unet", "act_fn", "gelu"),
    ("unet", "mid_block_type", "UNetMidBlock2DSimpleCrossAttn"),
    ("unet", "down_block_types", ["AttnDownBlock2D", "DownBlock2D"]),
    ("unet", "norm_num_groups", None),
    ("unet", "norm_num_groups", 3),
    ("unet", "conv_in_kernel", 1),
    ("unet", "attention_type", "gated"),
    ("unet", "mid_block_scale_factor", 1.5),
    ("unet", "time_embedding_type", "fourier"),
    ("vae_decoder", "act_fn", "relu"),
    ("vae_decoder", "up_block_types", ["AttnUpDecoderBlock2D"]),
    ("vae_decoder", "norm_num_groups", 3),
    ("controlnet", "mid_block_type", None),
    ("controlnet", "controlnet_conditioning_channel_order", "rgba"),
    ("text_encoder", "hidden_act", "relu"),
    ("text_encoder", "num_attention_heads", 5),
]


@pytest.mark.parametrize(("component", "key", "value"), REFUSED, indirect=["component"])
def test_unsupported_key(folder: Path, component: ComponentName, key: str, value: object) -> None:
    """A value that asks for something else than what is built is refused by file, key and value, with what is supported."""
    change_config(folder, component, **{key: value})
    with pytest.raises(ConfigError) as caught:
        open_network(folder, component)
    message = str(caught.value)
    assert f"config.json: {key} is {value!r}; the numpy backend runs " in message
    assert "\n" not in message
