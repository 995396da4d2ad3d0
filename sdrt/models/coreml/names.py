"""How files of Core ML packages are called: by the converters of Python, and in the Resources folder of Swift's package.

Source: apple/ml-stable-diffusion at e12202c, ``torch2coreml.py`` and ``StableDiffusionPipeline+Resources.swift``.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

__all__ = ["CONTROLNET_PREFIX", "CONTROLNET_RESOURCES", "PREFIX", "RESOURCES", "SUFFIXES", "Role", "controlnet_resource", "file_stem"]

# What a package is for. A U-Net comes in three roles: alone, with a ControlNet's residuals as inputs, and as SDXL's refiner.
Role: TypeAlias = Literal[
    "text_encoder", "text_encoder_2", "unet", "control_unet", "refiner", "vae_decoder", "vae_encoder", "safety_checker", "controlnet"
]

PREFIX = "Stable_Diffusion_version_"
CONTROLNET_PREFIX = "ControlNet_"

# The end of a file's stem, after PREFIX and the model's name; its two halves end in _chunk1 and _chunk2 besides.
SUFFIXES: Mapping[Role, str] = {
    "text_encoder": "text_encoder",
    "text_encoder_2": "text_encoder_2",
    "unet": "unet",
    "control_unet": "control-unet",
    "refiner": "refiner",
    "vae_decoder": "vae_decoder",
    "vae_encoder": "vae_encoder",
    "safety_checker": "safety_checker",
}

# Stems in a Resources folder, the first being the one that is written; halves end in Chunk1 and Chunk2.
RESOURCES: Mapping[Role, tuple[str, ...]] = {
    "text_encoder": ("TextEncoder",),
    "text_encoder_2": ("TextEncoder2",),
    "unet": ("Unet",),
    "control_unet": ("ControlledUnet", "ControlledUNet"),
    "refiner": ("UnetRefiner",),
    "vae_decoder": ("VAEDecoder",),
    "vae_encoder": ("VAEEncoder",),
    "safety_checker": ("SafetyChecker",),
}
CONTROLNET_RESOURCES = "controlnet"


def file_stem(role: Role, name: str) -> str:
    """The stem of a package's file, for a model or ControlNet of this name (a repository's id, or the name of a folder).

    >>> file_stem("control_unet", "CompVis/stable-diffusion-v1-4")
    'Stable_Diffusion_version_CompVis_stable-diffusion-v1-4_control-unet'
    """
    flat = name.replace("/", "_")
    return f"{CONTROLNET_PREFIX}{flat}" if role == "controlnet" else f"{PREFIX}{flat}_{SUFFIXES[role]}"


def controlnet_resource(name: str) -> str:
    """A ControlNet's stem in a Resources folder.

    >>> controlnet_resource("lllyasviel/control_v11p_sd15_canny")
    'LllyasvielControlV11PSd15Canny'
    """
    return "".join(word.title() for word in name.replace("/", "_").replace("-", "_").split("_"))
