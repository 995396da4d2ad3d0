"""Model folders whose JSON is damaged: configurations of every component, model_index.json, sdrt.json, indexes of shards."""

import json
from pathlib import Path
from typing import Any

# what the torch backend imports: the time of a case is its own
import torch  # noqa: F401
from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: F401
from transformers import CLIPTextModel  # noqa: F401

import sdrt
from sdrt.models import path
from tests.fake_backend import FakeBackend
from tests.fuzz.damage import damaged_file, damaged_json
from tests.fuzz.drawing import Draw, overwrite
from tests.fuzz.values import FLAG, NUMBER, TEXT, WHOLE_FLOAT, Declared, wrong_kinds

_CONFIGS = ("unet/config.json", "vae/config.json", "text_encoder/config.json")
_KINDS: dict[str, Declared] = {
    **dict.fromkeys(("in_channels", "out_channels", "latent_channels", "hidden_size", "num_hidden_layers", "vocab_size"), WHOLE_FLOAT),
    **dict.fromkeys(
        ("num_attention_heads", "intermediate_size", "norm_num_groups", "eos_token_id", "max_position_embeddings"), WHOLE_FLOAT
    ),
    **dict.fromkeys(("scaling_factor", "shift_factor", "layer_norm_eps", "norm_eps"), NUMBER),
    **dict.fromkeys(("flip_sin_to_cos", "use_linear_projection", "force_upcast", "use_quant_conv", "use_post_quant_conv"), FLAG),
    "upsampling_scaling_factor": WHOLE_FLOAT,
    **dict.fromkeys(("act_fn", "hidden_act", "upsample_fn"), TEXT),
}
_DEFAULT_KINDS = {"guidance_scale": NUMBER, **dict.fromkeys(("num_inference_steps", "height", "width"), WHOLE_FLOAT)}


def _damaged_json_file(draw: Draw, file: Path) -> dict[str, Any]:
    """Damage a JSON file, and return the values at its top that were changed."""
    if draw.chance(0.08):
        damaged_file(draw, file)
        return {}
    data, changes = damaged_json(draw, json.loads(file.read_text()))
    overwrite(file, data)
    return {path[0]: value for path, value in changes if len(path) == 1}


def _draws(folder: Path, **options: Any) -> None:
    with sdrt.load(folder, threads=1, **options) as pipe:
        result = pipe.generate("a red circle", seed=1, num_inference_steps=1, height=64, width=64)
        if result.images[0].mode != "RGB":
            raise AssertionError("no picture")


def component_config(draw: Draw) -> str | None:
    """The config.json of a component, and a picture of the model."""
    folder = draw.copy_of(draw.choice((draw.materials.nano, draw.materials.nano, draw.materials.sd1, draw.materials.sdxl)))
    configs = _CONFIGS if folder.name != "sdxl" else (*_CONFIGS, "text_encoder_2/config.json", "model_index.json")
    changed = _damaged_json_file(draw, folder / draw.choice(configs))
    _draws(folder)
    return wrong_kinds(changed, _KINDS)


def torch_config(draw: Draw) -> str | None:
    """The same on the torch backend, which builds diffusers' modules."""
    folder = draw.copy_of(draw.materials.nano)
    changed = _damaged_json_file(draw, folder / draw.choice(_CONFIGS))
    _draws(folder, backend="torch")
    return wrong_kinds(changed, _KINDS)


def quick_config(draw: Draw) -> str | None:
    """The configuration of a quick autoencoder in the place of a model's VAE, and its weights."""
    folder = draw.copy_of(path("nano-quick"))
    changed: dict[str, Any] = {}
    if draw.chance(0.8):
        changed = _damaged_json_file(draw, folder / "config.json")
    else:
        damaged_file(draw, folder / "diffusion_pytorch_model.safetensors")
    _draws(draw.materials.nano, vae=folder)
    return wrong_kinds(changed, _KINDS)


def safety_config(draw: Draw) -> str | None:
    """The configurations of a safety checker, and of a folder that has one."""
    folder = draw.copy_of(draw.materials.sd1)
    changed = _damaged_json_file(draw, folder / draw.choice(("safety_checker/config.json", "model_index.json")))
    with sdrt.load(folder, threads=1, safety_checker=True) as pipe:
        pipe.generate("a", seed=1, num_inference_steps=1, height=64, width=64)
    return wrong_kinds(changed, _KINDS)


def controlnet_config(draw: Draw) -> str | None:
    """The configuration of a ControlNet."""
    from sdrt.models import open_component

    folder = draw.copy_of(draw.materials.controlnet)
    changed = _damaged_json_file(draw, folder / "config.json")
    opened = open_component(folder, "controlnet")
    opened.config("controlnet")
    _ = len(opened.tensors("controlnet"))
    from sdrt.backends import BackendOptions, registry

    registry.get("numpy").open("controlnet", opened, BackendOptions(threads=1)).close()
    return wrong_kinds(changed, _KINDS)


def model_index(draw: Draw) -> str | None:
    """``model_index.json``."""
    folder = draw.copy_of(draw.materials.nano)
    _damaged_json_file(draw, folder / "model_index.json")
    with sdrt.load(folder, FakeBackend()) as pipe:
        pipe.generate("a", seed=1, num_inference_steps=1)
    return None


def preferences(draw: Draw) -> str | None:
    """``sdrt.json``: a model's own number of steps, size and scale."""
    folder = draw.copy_of(draw.materials.nano)
    changed = _damaged_json_file(draw, folder / "sdrt.json")
    with sdrt.load(folder, FakeBackend()) as pipe:
        settings = pipe.resolve("a", seed=1)
        if settings.height * settings.width <= 256 * 256 and settings.num_inference_steps < 100:
            pipe.generate("a", seed=1)
    return wrong_kinds(changed, _DEFAULT_KINDS)


def shards(draw: Draw) -> str | None:
    """The index of weights in several files."""
    folder = draw.copy_of(draw.materials.sharded)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    if draw.chance(0.7):
        _damaged_json_file(draw, file)
    else:
        damaged_file(draw, draw.choice(sorted((folder / "unet").glob("*.safetensors"))))
    _draws(folder)
    return None


def missing(draw: Draw) -> str | None:
    """A folder of which files are missing, or are no files."""
    folder = draw.copy_of(draw.materials.nano)
    for file in draw.some(sorted(file for file in folder.rglob("*") if file.is_file()), 2):
        damaged_file(draw, file)
    _draws(folder)
    return None


GENERATORS = {
    "component-config": component_config,
    "torch-config": torch_config,
    "quick-config": quick_config,
    "safety-config": safety_config,
    "controlnet-config": controlnet_config,
    "model-index": model_index,
    "sdrt-json": preferences,
    "shard-index": shards,
    "folder-files": missing,
}
