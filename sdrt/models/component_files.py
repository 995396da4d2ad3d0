"""One component's folder: a configuration whose class fits, and the weights beside it."""

from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.models.base import Pickled
from sdrt.models.components import ComponentName
from sdrt.models.configs import with_defaults
from sdrt.models.json_file import read_json
from sdrt.models.names import canonical_name
from sdrt.models.stored_tensor import Place
from sdrt.models.weight_files import find_weights
from sdrt.models.weights import Weights

__all__ = ["CLASSES", "class_names", "read_config", "read_weights"]

# What a component's config.json may call its class. Another name is another architecture, whatever its tensors are called.
CLASSES: dict[ComponentName, tuple[str, ...]] = {
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


def read_config(component: ComponentName, file: Path) -> dict[str, Any]:
    """A component's ``config.json`` over the defaults of its class.

    Raises
    ------
    MissingFileError, ModelError : it is not there, is no JSON object, or is of another class of model
    """
    config = read_json(file)
    names = class_names(config)
    if names and not set(names) & set(CLASSES[component]):
        raise ModelError(f"{file}: is of class {', '.join(names)}; sdrt's {component} is a {' or '.join(CLASSES[component])}")
    return with_defaults(component, config)


def read_weights(component: ComponentName, folder: Path, variant: str | None, pickled: Pickled) -> Weights:
    """The weights of a component's folder by canonical name.

    Raises
    ------
    MissingFileError, WeightsError, MissingExtraError : there are none, or such that cannot be used
    """
    found = find_weights(folder, variant, pickled)
    return Weights(found.files, lambda stored: (Place(canonical_name(component, stored)),), found.index)
