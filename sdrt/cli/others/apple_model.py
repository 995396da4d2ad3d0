"""The model of Apple's command lines: a folder of Core ML packages, or one in diffusers' layout, and what is chosen by what it holds."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrt.cli.opening import ModelChoice
from sdrt.errors import ConfigError, SdrtError
from sdrt.files import is_folder
from sdrt.log import log

if TYPE_CHECKING:
    from sdrt.models import StoredModel

__all__ = ["choose_model", "open_folder", "pair_pictures", "picture_size"]


def open_folder(folder: Path, flag: str) -> "StoredModel":
    """Open the model that lies in a folder; nothing is asked of the Hub.

    Parameters
    ----------
    folder : Path
    flag : str
        That names it, for the error.

    Raises
    ------
    ConfigError : there is no such folder, or no model in it
    """
    from sdrt.models import open_model

    if not is_folder(folder):
        raise ConfigError(f"{flag} must be the folder of a model's Core ML packages, got {folder}, which is not a folder; correct the path")
    try:
        return open_model(_place(folder))
    except SdrtError as error:
        raise ConfigError(f"{flag}: {error}") from error


def choose_model(
    folder: Path,
    model: "StoredModel",
    *,
    compute_unit: str,
    controlnets: tuple[str, ...],
    safety_checker: bool,
    refiner: bool,
    **options: Any,
) -> ModelChoice:
    """Return what ``sdrt.load`` is called with.

    Parameters
    ----------
    folder : Path
    model : StoredModel
        That of the folder.
    compute_unit : str
        For packages; weights in diffusers' layout are run by numpy, which a line says.
    controlnets : tuple of str
    safety_checker : bool
        Whether it looks at the pictures, if the folder has one.
    refiner : bool
        Whether an SDXL refiner among the packages takes over near the end, if there is one.
    options
        What else goes to ``sdrt.load``.
    """
    from sdrt.models import is_folder_of_packages

    chosen = dict(options)
    if is_folder_of_packages(model):
        chosen["compute_unit"] = compute_unit
        if refiner and "refiner" in model.layout.roles:
            chosen["refiner"] = _place(folder)
    elif compute_unit != "ALL":
        log.warning("%s holds weights, which run without Core ML: the compute unit %s has no effect", folder, compute_unit)
    if safety_checker and "safety_checker" in model.components:
        chosen["safety_checker"] = True
    return ModelChoice(
        model=_place(folder),
        backend="coreml" if is_folder_of_packages(model) else "numpy",
        controlnets=controlnets,
        options=chosen,
    )


def pair_pictures(controlnets: tuple[str, ...], inputs: tuple[Path, ...]) -> dict[str, tuple[Path, ...]]:
    """Return the pictures of ControlNets, as `sdrt.cli.generate.GenerateCommand` takes them.

    Raises
    ------
    ConfigError : not one for each
    """
    if len(controlnets) != len(inputs):
        raise ConfigError(
            f"--controlnet-inputs must be a picture for each ControlNet ({len(controlnets)}), got {len(inputs)}; pass them in their order"
        )
    return {"control_image": inputs} if inputs else {}


def picture_size(model: "StoredModel") -> tuple[int, int]:
    """Return the height and width of a model's own pictures."""
    from sdrt.models.families import LatentFormat, family_of

    family = family_of(model)
    height, width = family.native_size(model.config(family.denoiser), LatentFormat.read(model.config("vae_decoder")))
    return model.defaults.get("height", height), model.defaults.get("width", width)


def _place(folder: Path) -> str:
    """Return a path that means this folder, and no model of the same name that ships with sdrt."""
    return str(folder) if folder.is_absolute() or len(folder.parts) > 1 else os.path.join(os.curdir, folder)  # noqa: PTH118 -- Path drops "./"
