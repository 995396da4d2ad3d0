"""What is known of one component of a model, wherever its files lie: the form of a row of the table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sdrt.arrays import Signature

__all__ = ["Component", "ComponentName", "PackageNames", "Role"]

ComponentName: TypeAlias = Literal["text_encoder", "text_encoder_2", "unet", "controlnet", "vae_decoder", "vae_encoder", "safety_checker"]

# What a Core ML package is for. A U-Net comes in three roles: alone, with a ControlNet's residuals as inputs, and as SDXL's refiner.
Role: TypeAlias = Literal[
    "text_encoder", "text_encoder_2", "unet", "control_unet", "refiner", "vae_decoder", "vae_encoder", "safety_checker", "controlnet"
]


@dataclass(frozen=True, kw_only=True)
class PackageNames:
    """What Core ML packages of one role are called.

    Parameters
    ----------
    role : Role
    suffix : str
        The end of a file's stem as the converters of Python write it; its two halves end in ``_chunk1`` and ``_chunk2`` besides.
    resources : tuple of str
        Stems in a Resources folder of Swift's package, the one that is written first; halves end in ``Chunk1`` and ``Chunk2``.

    Source: apple/ml-stable-diffusion at e12202c, ``torch2coreml.py`` and ``StableDiffusionPipeline+Resources.swift``.
    """

    role: Role
    suffix: str
    resources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Component:
    """A component.

    Parameters
    ----------
    name : ComponentName
    folder : str
        Its folder in diffusers' layout.
    prefix : str or None
        Of its tensors in a checkpoint with the key names of the original code; None where each family has its own.
    packages : tuple of PackageNames
        Core ML packages of a model's folder that run it, the plain one first; empty for ControlNets, which have names of their own.
    classes : tuple of str
        What its ``config.json`` may call its class. Another name is another architecture, whatever its tensors are called.
    complete : callable
        Lays a configuration over the defaults of that class.
    contract : callable
        Makes the signature from a complete configuration and the name of the floating dtype.
    canonical_name : callable
        Brings the name of a tensor in diffusers' layout to one spelling: that of diffusers 0.42's and transformers 5's own modules.
    backends : tuple of str
        The built-in backends that run it.
    """

    name: ComponentName
    folder: str
    prefix: str | None = None
    packages: tuple[PackageNames, ...] = ()
    classes: tuple[str, ...]
    complete: Callable[[Mapping[str, Any]], dict[str, Any]]
    contract: Callable[[Mapping[str, Any], str], Signature]
    canonical_name: Callable[[str], str] = str
    backends: tuple[str, ...] = ("numpy", "torch", "coreml", "openvino")
