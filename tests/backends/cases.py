"""Every component of every form of model, and inputs for each."""

from pathlib import Path
from typing import TypeAlias

import numpy as np

from sdrt.arrays import Array, Numerics
from sdrt.backends import PLAIN, BackendOptions, ComponentOptions, Network, registry
from sdrt.models import ComponentName, open_model
from sdrt.testing import write_model
from tests.factories import (
    ADDED,
    CONTROLNETS,
    SAFETY_CHECKER,
    UNETS,
    Form,
    normal,
)

Case: TypeAlias = tuple[Form, ComponentName]

CASES: tuple[Case, ...] = (
    ("sd1", "text_encoder"),
    ("sd2", "text_encoder"),
    ("sdxl", "text_encoder_2"),
    ("sd1", "unet"),
    ("sd2", "unet"),
    ("inpaint", "unet"),
    ("lcm", "unet"),
    ("sdxl", "unet"),
    ("sdxl-refiner", "unet"),
    ("sd1", "controlnet"),
    ("sd2", "controlnet"),
    ("sdxl", "controlnet"),
    ("sd1", "vae_decoder"),
    ("sd2", "vae_decoder"),
    ("sd1", "vae_encoder"),
    ("sd2", "vae_encoder"),
    ("sd1", "safety_checker"),
)

# One of each kind of component, where the form is beside the point.
ONE_OF_EACH: tuple[Case, ...] = (
    ("sd1", "text_encoder"),
    ("sdxl", "text_encoder_2"),
    ("sdxl", "unet"),
    ("sd1", "controlnet"),
    ("sd1", "vae_decoder"),
    ("sd1", "vae_encoder"),
    ("sd1", "safety_checker"),
)


def save_parts(folder: Path, form: Form) -> Path:
    """A model folder with a ControlNet in it where there is one of its form, and its path."""
    extras: list[ComponentName] = ["safety_checker"] if form == "sd1" else []
    write_model(folder, form, extras=[*extras, "controlnet"] if form in CONTROLNETS else extras)
    for name in ("text_encoder", "tokenizer"):
        (folder / name).mkdir(exist_ok=True)
    return folder


def inputs_of(
    form: Form, component: ComponentName, *, seed: int = 0, size: int = 8, n: int = 2, dtype: Numerics = "float32"
) -> dict[str, Array]:
    """Inputs of n rows, of another height than width."""
    config, wide = UNETS[form], size + 8
    match component:
        case "text_encoder" | "text_encoder_2":
            return {"input_ids": np.random.default_rng(seed).integers(0, 300, (n, 12)).astype(np.int32)}
        case "unet" | "controlnet":
            channels = config.get("in_channels", 4) if component == "unet" else 4
            arrays = {
                "sample": normal(seed, n, channels, size, wide),
                "timestep": np.linspace(3.0, 981.0, n),
                "encoder_hidden_states": normal(seed + 1, n, 9, config["cross_attention_dim"]),
            }
            if form in ADDED:
                pooled, count = ADDED[form]
                arrays |= {"text_embeds": normal(seed + 2, n, pooled), "time_ids": np.tile(np.arange(count) * 73.0, (n, 1))}
            if component == "controlnet":
                arrays["controlnet_cond"] = np.random.default_rng(seed + 3).random((n, 3, 8 * size, 8 * wide))
            elif "time_cond_proj_dim" in config:
                arrays["timestep_cond"] = normal(seed + 4, n, config["time_cond_proj_dim"])
            return {name: x.astype(dtype) for name, x in arrays.items()}
        case "vae_decoder":
            return {"z": normal(seed, n, 4, size, wide, dtype=dtype)}
        case "vae_encoder":
            return {"x": normal(seed, n, 3, 8 * size, 8 * wide, dtype=dtype)}
        case "safety_checker":
            edge = SAFETY_CHECKER["vision_config"]["image_size"]
            return {"clip_input": normal(seed, n, 3, edge, edge, dtype=dtype)}
        case _:
            raise ValueError(component)


def residuals_for(network: Network, size: int = 8, n: int = 2) -> dict[str, Array]:
    """What a ControlNet would give this U-Net: halved in size where the U-Net's own way down halves it."""
    optional = network.signature.optional
    levels = (len(optional) - 1) // 3
    arrays = {}
    for index, spec in enumerate(optional):
        # conv_in and two blocks at the first level, then a downsampler and two blocks at each other; the middle is as small as the last
        scale = 2 ** min(index // 3, levels - 1)
        width = spec.shape[1]
        assert isinstance(width, int)
        arrays[spec.name] = normal(20 + index, n, width, size // scale, (size + 8) // scale, dtype=spec.dtype)
    return arrays


def open_case(
    backend_name: str, folder: Path, component: ComponentName, component_options: ComponentOptions = PLAIN, **options: object
) -> Network:
    """Open a component on a backend by name."""
    return registry.get(backend_name).open(component, open_model(folder), BackendOptions(**options), component_options)  # type: ignore[arg-type]


def relative_error(found: Array, wanted: Array) -> float:
    """The largest difference over the largest value; shapes must agree."""
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())
