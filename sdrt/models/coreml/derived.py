"""Configurations out of packages' inputs and outputs, for folders that hold nothing else (Apple's).

What no shape says is Stable Diffusion 1.x's, or XL's where the U-Net takes ``time_ids``.
"""

from collections.abc import Mapping
from typing import Any

from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.coreml.ports import Ports

__all__ = ["SD1_SCHEDULER", "SDXL_SCHEDULER", "derived_config"]

_SCHEDULE: Mapping[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "prediction_type": "epsilon",
}
# As published with Stable Diffusion 1.5 and XL 1.0, scheduler/scheduler_config.json.
SD1_SCHEDULER: Mapping[str, Any] = {**_SCHEDULE, "_class_name": "PNDMScheduler", "skip_prk_steps": True, "set_alpha_to_one": False}
SDXL_SCHEDULER: Mapping[str, Any] = {**_SCHEDULE, "_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading"}

# Width of each of time_ids' numbers inside the U-Net, in SDXL and its refiner alike.
_TIME_EMBED = 256


def derived_config(component: ComponentName, ports: Mapping[ComponentName, Ports]) -> dict[str, Any]:
    """The configuration that a component's packages have.

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
    found: dict[str, Any] = {
        "in_channels": sample[1],
        "sample_size": sample[2] if sample[2] == sample[3] else list(sample[2:]),
        "cross_attention_dim": states[1] if len(states) == 4 else states[-1],
    }
    if predicted := ports.shape("noise_pred"):
        found["out_channels"] = predicted[1]
    if condition := ports.shape("timestep_cond"):
        found["time_cond_proj_dim"] = condition[-1]
    if ids := ports.shape("time_ids"):
        # the first converters laid the rows of both guidance's halves end to end
        count = ids[-1] if len(ids) == 2 else ids[0] // sample[0]
        found |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": _TIME_EMBED,
            "projection_class_embeddings_input_dim": ports.shape("text_embeds")[-1] + count * _TIME_EMBED,
        }
    return found


def _text_encoder(component: ComponentName, ports: Ports) -> dict[str, Any]:
    states = ports.shape("last_hidden_state") or ports.shape("hidden_embeds")
    pooled, ids = ports.shape("pooled_outputs"), ports.shape("input_ids")
    found: dict[str, Any] = {"hidden_size": states[-1], "max_position_embeddings": ids[-1]}
    if component == "text_encoder_2" and pooled:
        found |= {"architectures": ["CLIPTextModelWithProjection"], "projection_dim": pooled[-1]}
    return found


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
    xl = "unet" in ports and bool(ports["unet"].shape("time_ids"))
    return {
        "latent_channels": channels,
        # as many levels as halve the picture that often; their widths are not known here
        "block_out_channels": [128] * scale.bit_length(),
        "sample_size": image[-1] if image else 512,
        "scaling_factor": 0.13025 if xl else 0.18215,
    }
