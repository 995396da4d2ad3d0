"""The same networks in torch, called with numpy arrays, and model folders that hold one part."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import cosine_distance
from torch import nn

from sdrt.arrays import Array, Numerics
from sdrt.backends import BackendOptions
from sdrt.backends.numpy import NumpyBackend
from sdrt.backends.numpy.network import NumpyNetwork
from sdrt.models import ComponentName, StoredModel, open_component, open_model, open_upscaler
from sdrt.models.components import COMPONENTS
from sdrt.models.ip_adapter import IPAdapterFile
from tests.factories import ADDED, UNETS, Form, normal

# Of the largest value. What is measured is 3e-6 and 2e-14.
BOUNDS: Mapping[Numerics, float] = {"float32": 1e-4, "float64": 1e-9}

NUMERICS: tuple[Numerics, ...] = ("float32", "float64")

# Their files in the folders of whole models, of which they are no part.
UPSCALER, IP_ADAPTER = "upscaler.safetensors", "ip_adapter.safetensors"


def open_network(
    folder: Path, component: ComponentName, numerics: Numerics = "float32", threads: int | None = None, *, low_memory: bool = False
) -> NumpyNetwork:
    options = BackendOptions(numerics=numerics, threads=threads, low_memory=low_memory)
    return NumpyBackend().open(component, open_beside(folder, component), options)


def open_beside(folder: Path, component: ComponentName) -> StoredModel:
    """Open what has the component: the model, or what lies in its folder and is no part of it."""
    match component:
        case "upscaler":
            return open_upscaler(folder / UPSCALER)
        case "image_projection":
            return IPAdapterFile(folder / IP_ADAPTER, "ip_adapter")
        case "t2i_adapter" | "image_encoder":
            return open_component(folder / COMPONENTS[component].folder, component)
        case _:
            return open_model(folder)


def part_folder(folder: Path, component: ComponentName, module: Any, **save: Any) -> Path:
    """A model folder with this one part in it."""
    for name in (*(each.folder for each in COMPONENTS.values()), "tokenizer", "tokenizer_2", "scheduler"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    module.save_pretrained(folder / COMPONENTS[component].folder, **save)
    return folder


def change_config(folder: Path, component: ComponentName, **changes: Any) -> None:
    file = folder / COMPONENTS[component].folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def relative_error(found: Array, wanted: Array) -> float:
    """The largest difference over the largest value; shapes must agree."""
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


class Float64Timesteps(nn.Module):
    """diffusers' timestep features without its float32 rounding, which moves them by 3e-5: what float64 is compared with."""

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.size, self.cosines_first, self.shift = original.num_channels, original.flip_sin_to_cos, original.downscale_freq_shift

    def forward(self, timesteps: torch.Tensor) -> torch.Tensor:
        half = self.size // 2
        frequencies = torch.pow(10000.0, -torch.arange(half, dtype=torch.float64) / (half - self.shift))
        angles = timesteps.double()[:, None] * frequencies
        waves = [angles.cos(), angles.sin()] if self.cosines_first else [angles.sin(), angles.cos()]
        return torch.cat(waves, dim=1)


def _in_numerics(module: Any, numerics: Numerics) -> Any:
    """The module, in place, with features of timesteps and of SDXL's numbers as exact as everything else."""
    if numerics == "float64":
        module = module.double()
        for name in ("time_proj", "add_time_proj"):
            if hasattr(module, name):
                setattr(module, name, Float64Timesteps(getattr(module, name)))
    return module


def _torch_inputs(inputs: Mapping[str, Array]) -> dict[str, Any]:
    """A denoising network's inputs under diffusers' own names."""
    arrays: dict[str, Any] = {name: torch.from_numpy(x) for name, x in inputs.items()}
    if added := {name: arrays.pop(name) for name in ("text_embeds", "time_ids") if name in arrays}:
        arrays["added_cond_kwargs"] = added
    residuals = [arrays.pop(name) for name in inputs if name.startswith("additional_residual_")]
    if residuals:
        arrays |= {"down_block_additional_residuals": residuals[:-1], "mid_block_additional_residual": residuals[-1]}
    return arrays


def torch_unet(unet: UNet2DConditionModel, numerics: Numerics) -> Callable[..., Array]:
    """Inputs of the signature -> noise_pred; the module is converted in place."""
    unet = _in_numerics(unet, numerics)

    def run(**inputs: Array) -> Array:
        with torch.no_grad():
            found: Array = unet(**_torch_inputs(inputs)).sample.numpy()
        return found

    return run


def torch_controlnet(controlnet: Any, numerics: Numerics) -> Callable[..., dict[str, Array]]:
    """Inputs of the signature -> residuals; the module is converted in place."""
    controlnet = _in_numerics(controlnet, numerics)

    def run(**inputs: Array) -> dict[str, Array]:
        with torch.no_grad():
            found = controlnet(**_torch_inputs(inputs))
        residuals = [*found.down_block_res_samples, found.mid_block_res_sample]
        return {f"additional_residual_{index}": residual.numpy() for index, residual in enumerate(residuals)}

    return run


def torch_safety_checker(checker: Any, numerics: Numerics) -> Callable[[Array], dict[str, Array]]:
    """Pictures -> scores before diffusers' rounding; the module is converted in place."""
    if numerics == "float64":
        checker = checker.double()

    def run(clip_input: Array) -> dict[str, Array]:
        with torch.no_grad():
            embeds = checker.visual_projection(checker.vision_model(torch.from_numpy(clip_input))[1])
            concepts = cosine_distance(embeds, checker.concept_embeds) - checker.concept_embeds_weights
            special = cosine_distance(embeds, checker.special_care_embeds) - checker.special_care_embeds_weights
        return {"concept_scores": concepts.numpy(), "special_scores": special.numpy()}

    return run


def torch_vae(vae: AutoencoderKL, component: ComponentName, numerics: Numerics) -> Callable[[Array], Array]:
    """Latents -> image, or image -> moments; the module is converted in place."""
    if numerics == "float64":
        vae = vae.double()

    def run(x: Array) -> Array:
        with torch.no_grad():
            found = (
                vae.decode(torch.from_numpy(x)).sample
                if component == "vae_decoder"
                else vae.encode(torch.from_numpy(x)).latent_dist.parameters
            )
        array: Array = found.numpy()
        return array

    return run


def torch_text_encoder(encoder: Any, numerics: Numerics) -> Callable[[Array], dict[str, Array]]:
    """Ids -> the three outputs; the module is converted in place."""
    if numerics == "float64":
        encoder = encoder.double()

    def run(input_ids: Array) -> dict[str, Array]:
        with torch.no_grad():
            found = encoder(torch.from_numpy(input_ids).long(), output_hidden_states=True)
        pooled = found.text_embeds if hasattr(found, "text_embeds") else found.pooler_output
        states = {"last_hidden_state": found.last_hidden_state, "penultimate_hidden_state": found.hidden_states[-2], "pooled": pooled}
        return {name: x.numpy() for name, x in states.items()}

    return run


def denoiser_inputs(form: Form, n: int, height: int, width: int, dtype: str = "float32", seed: int = 1) -> dict[str, Array]:
    """What a U-Net of this form takes; all but the picture is what its ControlNet takes too."""
    config = UNETS[form]
    inputs = {
        "sample": normal(seed, n, config.get("in_channels", 4), height, width, dtype=dtype),
        "timestep": np.linspace(1, 999, n).astype(dtype),
        "encoder_hidden_states": normal(seed + 1, n, 11, config["cross_attention_dim"], dtype=dtype),
    }
    if form in ADDED:
        wide, count = ADDED[form]
        # sizes, crops and scores as they are: tens to a thousand
        ids = np.random.default_rng(seed + 2).integers(0, 1024, (n, count)).astype(dtype)
        inputs |= {"text_embeds": normal(seed + 3, n, wide, dtype=dtype), "time_ids": ids}
    if size := config.get("time_cond_proj_dim"):
        inputs["timestep_cond"] = normal(seed + 4, n, size, dtype=dtype)
    return inputs
