"""One component's folder: a configuration whose class fits, and the weights beside it."""

from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.models.base import Pickled
from sdrt.models.configs import with_defaults
from sdrt.models.json_file import read_json
from sdrt.models.names import canonical_name
from sdrt.models.parts import Part
from sdrt.models.stored_tensor import Place
from sdrt.models.weight_files import find_weights
from sdrt.models.weights import Weights

__all__ = ["CLASSES", "class_names", "read_config", "read_weights"]

# What a part's config.json may call its class. Another name is another architecture, whatever its tensors are called.
CLASSES: dict[Part, tuple[str, ...]] = {
    "text_encoder": ("CLIPTextModel", "CLIPTextModelWithProjection"),
    "text_encoder_2": ("CLIPTextModel", "CLIPTextModelWithProjection"),
    "unet": ("UNet2DConditionModel",),
    "controlnet": ("ControlNetModel",),
    "vae_decoder": ("AutoencoderKL",),
    "vae_encoder": ("AutoencoderKL",),
    "safety_checker": ("StableDiffusionSafetyChecker",),
}


def class_names(config: dict[str, Any]) -> list[str]:
    """What a configuration says of its class: diffusers' key, or transformers'; empty where it says nothing."""
    return [config["_class_name"]] if "_class_name" in config else list(config.get("architectures") or [])


def read_config(part: Part, file: Path) -> dict[str, Any]:
    """A part's ``config.json`` over the defaults of its class.

    Raises
    ------
    MissingFileError, ModelError : it is not there, is no JSON object, or is of another class of model
    """
    config = read_json(file)
    names = class_names(config)
    if names and not set(names) & set(CLASSES[part]):
        raise ModelError(f"{file}: is of class {', '.join(names)}; sdrt's {part} is a {' or '.join(CLASSES[part])}")
    return with_defaults(part, config)


def read_weights(part: Part, folder: Path, variant: str | None, pickled: Pickled) -> Weights:
    """The weights of a part's folder by canonical name.

    Raises
    ------
    MissingFileError, WeightsError, MissingExtraError : there are none, or such that cannot be used
    """
    found = find_weights(folder, variant, pickled)
    return Weights(found.files, lambda stored: (Place(canonical_name(part, stored)),), found.index)
