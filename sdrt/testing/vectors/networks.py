"""Vectors of networks: a model narrow enough to carry its weights, and what each of its networks gives."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import sdrt.pipeline as pipelines
from sdrt.arrays import Array
from sdrt.backends import BackendOptions
from sdrt.backends.numpy import NumpyBackend
from sdrt.models import ComponentName, Model, open_component, open_model
from sdrt.testing.networks.cases import Case
from sdrt.testing.networks.settings import Setting, inputs_of
from sdrt.testing.small_models import write_component, write_model

__all__ = ["networks", "whole_run", "write_narrow_model"]

_UNET: Mapping[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 16,
    "attention_head_dim": 2,
}
_CONTROLNET: Mapping[str, Any] = {
    **{key: value for key, value in _UNET.items() if key not in ("up_block_types", "sample_size")},
    "conditioning_embedding_out_channels": (4, 4, 8, 8),
}
_XL_UNET: Mapping[str, Any] = {
    **_UNET,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2),
    "attention_head_dim": (2, 4),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 32,  # a pooled text of 8, and six numbers
}
_VAE: Mapping[str, Any] = {"block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 4}
_TEXT: Mapping[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "eos_token_id": 2}
_CHECKER: Mapping[str, Any] = {
    "projection_dim": 8,
    "vision_config": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 7,
    },
}
_NARROW: tuple[tuple[ComponentName, str, Mapping[str, Any]], ...] = (
    ("text_encoder", "text_encoder", _TEXT),
    ("unet", "unet", _UNET),
    ("controlnet", "controlnet", _CONTROLNET),
    ("vae_decoder", "vae", _VAE),
    ("safety_checker", "safety_checker", _CHECKER),
)

_XL_FOLDER = "unet-xl"
_CALLS = (Setting(), Setting(rows=2, height=4, width=6, length=77, timesteps=(17.3, 981.0), seed=1))


def write_narrow_model(folder: Path) -> None:
    """Write a model in diffusers' layout whose networks have some ten thousand numbers each, and SDXL's kind of U-Net beside it."""
    write_model(folder, "sd1", extras=("controlnet", "safety_checker"))
    for component, name, config in _NARROW:
        write_component(folder / name, component, config)
    write_component(folder / _XL_FOLDER, "unet", _XL_UNET)


def networks(folder: Path) -> tuple[list[dict[str, Any]], Mapping[str, Array]]:
    """Return the calls of each network, their inputs in float32, and their outputs in float64 and as numpy has them in float32."""
    rows: list[dict[str, Any]] = []
    arrays: dict[str, Array] = {}
    model = open_model(folder)
    for component in model.components:
        _add_calls(rows, arrays, component, Case("sd1", component), model, component)
    _add_calls(rows, arrays, _XL_FOLDER, Case("sdxl", "unet"), open_component(folder / _XL_FOLDER, "unet"), "unet")
    return rows, arrays


def _add_calls(rows: list[dict[str, Any]], arrays: dict[str, Array], name: str, case: Case, model: Model, component: ComponentName) -> None:
    backend = NumpyBackend()
    wide, narrow = (backend.open(component, model, BackendOptions(numerics=each, threads=1)) for each in ("float64", "float32"))
    settings = [*_CALLS, *([replace(_CALLS[1], residuals=True)] if component == "unet" else [])]
    for index, setting in enumerate(settings):
        inputs = inputs_of(case, model.config(component), setting)
        given = {key: x if x.dtype == np.int32 else x.astype(np.float32) for key, x in inputs.items()}
        outputs, rounded = wide(**inputs), narrow(**given)
        key = f"{name}.{index}"
        arrays |= {f"{key}.input.{each}": x for each, x in given.items()}
        arrays |= {f"{key}.output.{each}.float64": x for each, x in outputs.items()}
        arrays |= {f"{key}.output.{each}.float32": x for each, x in rounded.items()}
        rows.append({"network": name, "call": index, "key": key, "inputs": list(given), "outputs": list(outputs)})
    wide.close()
    narrow.close()


def whole_run(folder: Path) -> tuple[dict[str, Any], Mapping[str, Array]]:
    """Draw a picture with the model, and return its settings, every sample on the way and its pixels."""
    options: dict[str, Any] = {
        "negative_prompt": "a blue circle",
        "seed": 93,
        "num_inference_steps": 4,
        "guidance_scale": 5.0,
        "height": 64,
        "width": 96,
    }
    prompt = "a red circle"
    pipe = pipelines.load(folder, numerics="float64", safety_checker=False)
    steps = pipe.steps(prompt, **options)
    arrays: dict[str, Array] = {}
    timesteps = []
    for step in steps:
        arrays[f"latents.{step.index}.float64"] = np.array(step.latents)
        arrays[f"x0.{step.index}.float64"] = np.array(step.x0)
        timesteps.append(step.timestep)
    arrays["pixels"] = np.asarray(steps.result().images[0])
    about = {"prompt": prompt, **options, "stream": "torch", "scheduler": "scheduler/scheduler_config.json", "timesteps": timesteps}
    return about, arrays
