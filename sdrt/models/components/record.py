"""The form of a row in the table of components: the facts about a component that do not depend on the place of its files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from sdrt.arrays import Signature
from sdrt.limits import DEFAULT_LIMITS, Limits

__all__ = ["Component", "ComponentName", "Extra", "PackageNames", "Role"]

ComponentName: TypeAlias = Literal[
    "text_encoder",
    "text_encoder_2",
    "unet",
    "controlnet",
    "t2i_adapter",
    "vae_decoder",
    "vae_encoder",
    "safety_checker",
    "upscaler",
    "image_encoder",
    "image_projection",
]

# The role of a Core ML package. A U-Net comes in three roles: alone, with a ControlNet's residuals as inputs, and as SDXL's refiner.
Role: TypeAlias = Literal[
    "text_encoder", "text_encoder_2", "unet", "control_unet", "refiner", "vae_decoder", "vae_encoder", "safety_checker", "controlnet"
]


@dataclass(frozen=True, kw_only=True)
class PackageNames:
    """The names of Core ML packages of one role.

    Parameters
    ----------
    role : Role
    suffix : str
        The end of a file's stem as the Python converters write it; its two chunks add ``_chunk1`` and ``_chunk2``.
    resources : tuple of str
        Stems in the Resources folder of the Swift package, beginning with the one that is written; chunks add ``Chunk1`` and ``Chunk2``.

    Source: apple/ml-stable-diffusion at e12202c, ``torch2coreml.py`` and ``StableDiffusionPipeline+Resources.swift``.
    """

    role: Role
    suffix: str
    resources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Extra:
    """What a component may have beside its own, told by a key of its configuration that no file has.

    Parameters
    ----------
    what : str
        For messages: "a T2I-Adapter".
    backends : tuple of str
        The built-in backends that run the component with it.
    """

    what: str
    backends: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Component:
    """A component.

    Parameters
    ----------
    name : ComponentName
    folder : str
        Its folder in diffusers' layout.
    prefix : str or None
        The prefix of its tensors in a checkpoint with the original key names; None if each family has its own.
    packages : tuple of PackageNames
        The Core ML packages that run it, the plain one first; empty for ControlNets, which have names of their own.
    classes : tuple of str
        The classes that its ``config.json`` may name. Another class is another architecture, even if the tensors have the same names.
    keys : callable
        Checks a configuration and fills in the defaults of that class, see :meth:`complete`.
    contract : callable
        Builds the signature from a complete configuration and the name of the floating dtype.
    canonical_name : callable
        Maps a tensor's name in diffusers' layout to one spelling: that of the modules of diffusers 0.42 and transformers 5.
    roots : tuple of str
        How the names of its tensors begin in diffusers' layout: what all tensors of a file have before these is cut off.
    others : tuple of str
        How canonical names of tensors begin that may lie in its files and are another component's, or of no use to this one.
    backends : tuple of str
        The built-in backends that run it.
    extras : mapping from key of the configuration to Extra
    """

    name: ComponentName
    folder: str
    prefix: str | None = None
    packages: tuple[PackageNames, ...] = ()
    classes: tuple[str, ...]
    keys: Callable[[Mapping[str, Any], str, Limits], dict[str, Any]]
    contract: Callable[[Mapping[str, Any], str], Signature]
    canonical_name: Callable[[str], str] = str
    roots: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    backends: tuple[str, ...] = ("numpy", "torch", "coreml", "openvino")
    extras: Mapping[str, Extra] = field(default_factory=dict)

    def complete(self, config: Mapping[str, Any], where: object = "config.json", limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
        """Check a configuration, wherever it comes from, and fill in the defaults of the class.

        Parameters
        ----------
        config : mapping
        where : path or str
            Where it comes from, for messages.
        limits : Limits

        Raises
        ------
        ConfigError : a value is not what its key takes, or asks for more than is allowed
        """
        return self.keys(config, str(where), limits)
