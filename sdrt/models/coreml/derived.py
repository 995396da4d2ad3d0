"""Configurations out of packages' inputs and outputs, for folders that hold nothing else (Apple's).

What no shape says is Stable Diffusion 1.x's, or XL's where the U-Net takes ``time_ids``.
"""

from collections.abc import Mapping
from typing import Any

from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.components.text_time import has_text_time, text_time_config
from sdrt.models.coreml.ports import Ports
from sdrt.models.families import SD1, SDXL, SDXL_REFINER, Release

__all__ = ["assumed_release", "derived_config"]

# Width of each of time_ids' numbers inside the U-Net, in SDXL and its refiner alike.
_TIME_EMBED = 256


def assumed_release(config: Mapping[str, Any], *, refining: bool) -> Release:
    """Return the release whose words stand for those that a folder lacks.

    Parameters
    ----------
    config : mapping
        Of the U-Net.
    refining : bool
        Whether the U-Net is used as a refiner.
    """
    if not has_text_time(config):
        return SD1
    return SDXL_REFINER if refining else SDXL


def derived_config(component: ComponentName, ports: Mapping[ComponentName, Ports]) -> dict[str, Any]:
    """Derive the configuration of a component from its packages' shapes.

    Parameters
    ----------
    component : ComponentName
    ports : mapping of Ports by component
        The components that are there.
    """
    match component:
        case "unet" | "controlnet":
            return COMPONENTS[component].complete(_denoiser(ports[component]))
        case "text_encoder" | "text_encoder_2":
            return COMPONENTS[component].complete(_text_encoder(component, ports[component]))
        case "vae_decoder" | "vae_encoder":
            return COMPONENTS[component].complete(_vae(ports))
        case _:
            shape = ports[component].shape("clip_input")
            return COMPONENTS[component].complete({"vision_config": {"image_size": shape[-1] if shape else 224}})


def _denoiser(ports: Ports) -> dict[str, Any]:
    sample, states = ports.shape("sample"), ports.shape("encoder_hidden_states")
    config: dict[str, Any] = {
        "in_channels": sample[1],
        "sample_size": sample[2] if sample[2] == sample[3] else list(sample[2:]),
        "cross_attention_dim": states[1] if len(states) == 4 else states[-1],
    }
    if predicted := ports.shape("noise_pred"):
        config["out_channels"] = predicted[1]
    if condition := ports.shape("timestep_cond"):
        config["time_cond_proj_dim"] = condition[-1]
    if ids := ports.shape("time_ids"):
        # the first converters laid the rows of both guidance's halves end to end
        count = ids[-1] if len(ids) == 2 else ids[0] // sample[0]
        config |= text_time_config(ports.shape("text_embeds")[-1], count, _TIME_EMBED)
    return config


def _text_encoder(component: ComponentName, ports: Ports) -> dict[str, Any]:
    states = ports.shape("last_hidden_state") or ports.shape("hidden_embeds")
    pooled, ids = ports.shape("pooled_outputs"), ports.shape("input_ids")
    config: dict[str, Any] = {"hidden_size": states[-1], "max_position_embeddings": ids[-1]}
    if component == "text_encoder_2" and pooled:
        config |= {"architectures": ["CLIPTextModelWithProjection"], "projection_dim": pooled[-1]}
    return config


def _vae(ports: Mapping[ComponentName, Ports]) -> dict[str, Any]:
    both: Ports | None = ports.get("vae_decoder") or ports.get("vae_encoder")
    if both is None:
        return {}
    if latent := both.shape("z"):
        channels, image = latent[1], both.shape("image")
    else:
        moments = both.shape("latent")
        latent, channels, image = moments, moments[1] // 2, both.shape("x")
    scale = image[-1] // latent[-1] if image else 8
    release = SDXL if "unet" in ports and ports["unet"].shape("time_ids") else SD1
    return {
        "latent_channels": channels,
        # as many levels as halve the picture that often; their widths are not known here
        "block_out_channels": [128] * scale.bit_length(),
        "sample_size": image[-1] if image else 512,
        "scaling_factor": release.scaling_factor,
    }
