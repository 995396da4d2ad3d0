"""How files of Core ML packages are called: by the converters of Python, and in the Resources folder of Swift's package.

Source: apple/ml-stable-diffusion at e12202c, ``torch2coreml.py`` and ``StableDiffusionPipeline+Resources.swift``.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

from sdrt.models.components import COMPONENTS, Role

__all__ = [
    "COMPUTE_UNITS",
    "CONTROLNET_PREFIX",
    "CONTROLNET_RESOURCES",
    "PREFIX",
    "RESOURCES",
    "SUFFIXES",
    "TRANSFORMERS",
    "ComputeUnit",
    "Role",
    "controlnet_resource",
    "file_stem",
]

# Where Core ML may compute, as coremltools calls it.
ComputeUnit: TypeAlias = Literal["ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE"]
COMPUTE_UNITS: tuple[ComputeUnit, ...] = get_args(ComputeUnit)

PREFIX = "Stable_Diffusion_version_"
CONTROLNET_PREFIX = "ControlNet_"
CONTROLNET_RESOURCES = "controlnet"

_PACKAGES = tuple(package for component in COMPONENTS.values() for package in component.packages)

# How the network of Stable Diffusion 3 is called, in both places: it is not a U-Net.
TRANSFORMERS = ("mmdit", "MultiModalDiffusionTransformer")

# The end of a file's stem, after PREFIX and the model's name.
SUFFIXES: Mapping[Role, str] = {package.role: package.suffix for package in _PACKAGES}
# Stems in a Resources folder, the first being the one that is written.
RESOURCES: Mapping[Role, tuple[str, ...]] = {package.role: package.resources for package in _PACKAGES}


def file_stem(role: Role, name: str) -> str:
    """Return the stem of a package's file, for a model or ControlNet of this name (a repository's id, or the name of a folder).

    >>> file_stem("control_unet", "CompVis/stable-diffusion-v1-4")
    'Stable_Diffusion_version_CompVis_stable-diffusion-v1-4_control-unet'
    """
    flat = name.replace("/", "_")
    return f"{CONTROLNET_PREFIX}{flat}" if role == "controlnet" else f"{PREFIX}{flat}_{SUFFIXES[role]}"


def controlnet_resource(name: str) -> str:
    """Return a ControlNet's stem in a Resources folder.

    >>> controlnet_resource("lllyasviel/control_v11p_sd15_canny")
    'LllyasvielControlV11PSd15Canny'
    """
    return "".join(word.title() for word in name.replace("/", "_").replace("-", "_").split("_"))
