"""Configurations out of packages' inputs and outputs, for folders that hold nothing else (Apple's).

What no shape says is Stable Diffusion 1.x's; 2.x's where the U-Net takes texts as wide as its text encoder's; XL's where it takes
``time_ids``.
"""

from collections.abc import Mapping
from typing import Any

from sdrt.errors import ModelError
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.components.text_time import has_text_time, text_time_config
from sdrt.models.coreml.ports import Ports
from sdrt.models.families import SD1, SD2, SDXL, SDXL_REFINER, Release

__all__ = ["assumed_prediction_type", "assumed_release", "derived_config"]

# Width of each of time_ids' numbers inside the U-Net, in SDXL and its refiner alike.
_TIME_EMBED = 256
# Width of the text encoder of Stable Diffusion 2.x; that of 1.x has 768.
_SD2_WIDTH = 1024
_LATENT_CHANNELS = 4


def assumed_release(config: Mapping[str, Any], *, refining: bool) -> Release:
    """Return the release whose words stand for those that a folder lacks.

    Parameters
    ----------
    config : mapping
        Of the U-Net.
    refining : bool
        Whether the U-Net is used as a refiner.
    """
    if has_text_time(config):
        return SDXL_REFINER if refining else SDXL
    return SD2 if config["cross_attention_dim"] == _SD2_WIDTH else SD1


def assumed_prediction_type(config: Mapping[str, Any], release: Release) -> str:
    """Return what a U-Net predicts, by its size where models of its release differ in that.

    Of 2.x the models for pictures of 768 pixels were trained with v-prediction; those for 512 and for in-painting predict the noise.
    """
    if release is not SD2 or config["in_channels"] != _LATENT_CHANNELS:
        return "epsilon"
    size = config["sample_size"]
    return "v_prediction" if min(size if isinstance(size, list) else [size]) >= SD2.sample_size else "epsilon"


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
            config = _denoiser(ports[component])
        case "text_encoder" | "text_encoder_2":
            config = _text_encoder(component, ports[component])
        case "vae_decoder" | "vae_encoder":
            config = _vae(ports)
        case _:
            shape = ports[component].shape("clip_input")
            config = {"vision_config": {"image_size": shape[-1] if shape else 224}}
    return COMPONENTS[component].complete(config, f"the shapes of the {component}'s package")


def _shape(ports: Ports, name: str, *ranks: int) -> tuple[int, ...]:
    shape = ports.shape(name)
    if len(shape) not in ranks:
        raise ModelError(
            f"a package of this component must take or give {name} with {' or '.join(map(str, ranks))} dimensions, got {list(shape)}; "
            "pass a package of Stable Diffusion, or convert the model again"
        )
    return shape


def _denoiser(ports: Ports) -> dict[str, Any]:
    sample, states = _shape(ports, "sample", 4), _shape(ports, "encoder_hidden_states", 3, 4)
    config: dict[str, Any] = {
        "in_channels": sample[1],
        "sample_size": sample[2] if sample[2] == sample[3] else list(sample[2:]),
        "cross_attention_dim": states[1] if len(states) == 4 else states[-1],
    }
    if ports.shape("noise_pred"):
        config["out_channels"] = _shape(ports, "noise_pred", 4)[1]
    if condition := ports.shape("timestep_cond"):
        config["time_cond_proj_dim"] = condition[-1]
    if ids := ports.shape("time_ids"):
        # the first converters laid the rows of both guidance's halves end to end
        count = ids[-1] if len(ids) == 2 else ids[0] // sample[0]
        config |= text_time_config(_shape(ports, "text_embeds", 2)[-1], count, _TIME_EMBED)
    return config


def _text_encoder(component: ComponentName, ports: Ports) -> dict[str, Any]:
    states = _shape(ports, "last_hidden_state" if ports.shape("last_hidden_state") else "hidden_embeds", 3)
    pooled, ids = ports.shape("pooled_outputs"), _shape(ports, "input_ids", 2)
    config: dict[str, Any] = {"hidden_size": states[-1], "max_position_embeddings": ids[-1]}
    if component == "text_encoder_2" and pooled:
        config |= {"architectures": ["CLIPTextModelWithProjection"], "projection_dim": pooled[-1]}
    return config


def _vae(ports: Mapping[ComponentName, Ports]) -> dict[str, Any]:
    both: Ports | None = ports.get("vae_decoder") or ports.get("vae_encoder")
    if both is None:
        return {}
    if both.shape("z"):
        latent = _shape(both, "z", 4)
        channels, image = latent[1], both.shape("image")
    else:
        latent = _shape(both, "latent", 4)
        channels, image = latent[1] // 2, both.shape("x")
    scale = image[-1] // max(latent[-1], 1) if image else 8
    levels = scale.bit_length()
    release = SDXL if "unet" in ports and ports["unet"].shape("time_ids") else SD1
    return {
        "latent_channels": channels,
        # as many levels as halve the picture that often; their widths are not known here
        "block_out_channels": [128] * levels,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "sample_size": image[-1] if image else 512,
        "scaling_factor": release.scaling_factor,
    }
