"""Models on disk: the folder's layout, its configurations, its weights, and the models that ship with sdrt.

Checkpoints in one file and folders of Core ML packages are imported when one is opened.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from sdrt.errors import ConfigError, MissingFileError, ModelError
from sdrt.files import exists, is_folder, user_path
from sdrt.late import late_names
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models.base import Model, ModelLimits, Pickled, PipelineFlags, PredictionType
from sdrt.models.component_folder import ComponentFolder
from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.components import COMPONENTS, Component, ComponentName
from sdrt.models.coreml.layout import find_layout, is_package
from sdrt.models.embedded import EMBEDDED, EmbeddedKind, EmbeddedModel, embedded, path
from sdrt.models.embeddings import Embedding, read_embedding
from sdrt.models.folder import ModelFolder
from sdrt.models.hub import (
    ALL_NEEDED,
    DEFAULT_ACCESS,
    DownloadProgress,
    HubAccess,
    Needs,
    Wanted,
    obtain_component,
    obtain_model,
    obtain_upscaler,
)
from sdrt.models.local import find_local
from sdrt.models.misplaced import check_is_model_folder
from sdrt.models.stored_model import StoredModel
from sdrt.models.weight_files import variants_in
from sdrt.models.weight_format import WEIGHT_SUFFIXES
from sdrt.printable import shown
from sdrt.values import Choice, Nullable, Text

if TYPE_CHECKING:
    from sdrt.models.component_file import ComponentFile
    from sdrt.models.coreml import CoreMLControlNet, CoreMLFolder
    from sdrt.models.single_file import SingleFileModel
    from sdrt.models.upscalers.compact import Activation
    from sdrt.models.upscalers.file import UpscalerFile

__all__ = [
    "COMPONENTS",
    "EMBEDDED",
    "Component",
    "ComponentFile",
    "ComponentFolder",
    "ComponentName",
    "ComponentTensors",
    "CoreMLControlNet",
    "CoreMLFolder",
    "DownloadProgress",
    "EmbeddedKind",
    "EmbeddedModel",
    "Embedding",
    "HubAccess",
    "Model",
    "ModelFolder",
    "ModelLimits",
    "Needs",
    "Pickled",
    "PipelineFlags",
    "PredictionType",
    "SingleFileModel",
    "StoredModel",
    "embedded",
    "is_folder_of_packages",
    "open_component",
    "open_model",
    "open_upscaler",
    "path",
    "read_embedding",
]

_LATE = {
    "ComponentFile": "component_file",
    "CoreMLControlNet": "coreml.component",
    "CoreMLFolder": "coreml.model",
    "SingleFileModel": "single_file",
}

_VARIANT = Nullable(Text(100, empty=False))
_COMPONENT = Choice(*COMPONENTS)

__getattr__ = late_names(__name__, _LATE)


def is_folder_of_packages(model: StoredModel) -> "TypeGuard[CoreMLFolder]":
    """Return whether a model is a folder of Core ML packages, without importing what reads one."""
    return model.holds_packages


def open_model(
    model: str | Path,
    *,
    variant: str | None = None,
    prediction_type: PredictionType | None = None,
    pickled: Pickled = "refuse",
    hub: HubAccess = DEFAULT_ACCESS,
    needs: Needs = ALL_NEEDED,
    tokenizer: str | Path | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    mmap: bool = True,
) -> StoredModel:
    """Open the model that ``model`` means: the name of an embedded model, a folder, a checkpoint, or a repository of the Hugging Face Hub.

    What is there comes before a repository of the same name.

    Parameters
    ----------
    model : str or Path
    variant : str or None
        Weights of a folder in this variant, such as ``"fp16"``; where Core ML packages lie in several folders, one of these, such as
        ``"split_einsum/compiled"``.
    prediction_type : "epsilon", "v_prediction" or None
        What the U-Net of a checkpoint predicts, where the file does not say (see `SingleFileModel`); a folder says it in its scheduler.
    pickled : "refuse" or "weights_only"
        What to do about weights that would have to be unpickled.
    hub : HubAccess
        How a repository of the Hub is fetched.
    needs : Needs
        What of a repository will be opened; the rest is not fetched.
    tokenizer, config : path, or None
        For a folder of Core ML packages: a tokenizer's folder, and configurations (see `sdrt.models.coreml.read_config_overrides`).
    limits : Limits
        The most that reading it may take of each amount.
    mmap : bool
        Whether weights are views of the disk, see `sdrt.load`.

    Raises
    ------
    ConfigError : an option that does not fit: ``variant`` is for folders, ``prediction_type`` for checkpoints, ``tokenizer`` and
        ``config`` for Core ML packages
    ModelError : a checkpoint that cannot be used, or is of another family
    MissingFileError : there is no such folder or file, or a component of it is missing
    MissingExtraError : it has the form of a repository's name, and huggingface_hub is not installed
    """
    _check_pickled(pickled)
    _VARIANT.check("variant", variant)
    wanted = Wanted(variant=variant, pickled=pickled, needs=needs)
    local = find_local("model", model, lambda address: obtain_model(address, wanted, hub), hub)
    place, name = local.path, local.name
    if isinstance(model, str) and (known := EMBEDDED.get(model)):
        known.check_is_model()
        if known.base is not None:
            # its own U-Net, over the other components of its base
            base = ModelFolder(EMBEDDED[known.base].path, name, variant=variant, pickled=pickled, allowed=limits, mmap=mmap)
            return base.with_override(ComponentFolder(place / "unet", name, pickled=pickled, allowed=limits, mmap=mmap))
    if is_package(place):
        raise ModelError(f"{place}: is one Core ML package, and a model has several; pass the folder that holds them")
    # of a repository, the variant's folder is what was fetched
    if (layout := find_layout(place, None if local.fetched else variant)) is not None:
        from sdrt.models.coreml import CoreMLFolder, read_config_overrides

        meaningless = variant if layout.path == place and not local.fetched else None
        for option, value in (("variant", meaningless), ("prediction_type", prediction_type)):
            if value is not None:
                raise ConfigError(f"{place}: holds Core ML packages, for which {option}={value!r} means nothing; leave it out")
        own = None if tokenizer is None else user_path("tokenizer", tokenizer)
        if own is not None and not is_folder(own):
            raise MissingFileError(f"{own}: no such folder; pass a tokenizer's, or that of a model that has one")
        return CoreMLFolder(
            place,
            name,
            layout=layout,
            tokenizer=own,
            config_overrides=read_config_overrides(config, limits),
            assumed=local.assumed or {},
            allowed=limits,
            mmap=mmap,
        )
    if tokenizer is not None or config is not None:
        option = "config" if tokenizer is None else "tokenizer"
        raise ConfigError(
            f"{place}: brings its own tokenizer and configurations; {option} is for folders of Core ML packages, leave it out"
        )
    if _is_file(place):
        from sdrt.models.single_file import SingleFileModel

        if variant is not None:
            raise ConfigError(f"{place}: is one file, and variant={variant!r} chooses among a folder's; leave variant out")
        return SingleFileModel(place, name, prediction_type=prediction_type, pickled=pickled, allowed=limits, mmap=mmap)
    if prediction_type is not None:
        raise ConfigError(
            f"{place}: a folder says what it predicts in its scheduler_config.json; leave out prediction_type={prediction_type!r}"
        )
    check_is_model_folder(place)
    if local.fetched and variant is not None and not _has_variant(place, variant):
        # other components of the repository have it, and were not fetched
        variant = None
    return ModelFolder(place, name, variant=variant, pickled=pickled, allowed=limits, mmap=mmap)


def open_component(
    source: str | Path,
    component: ComponentName,
    *,
    variant: str | None = None,
    scaling_factor: float | None = None,
    pickled: Pickled = "refuse",
    hub: HubAccess = DEFAULT_ACCESS,
    limits: Limits = DEFAULT_LIMITS,
    mmap: bool = True,
) -> StoredModel:
    """Open a ControlNet, a T2I-Adapter, a VAE, or another single component.

    It is a folder with a ``config.json``, a repository of the Hub that is one, or the file of a ControlNet, VAE or T2I-Adapter with the key
    names of the original code; of a quick autoencoder (TAESD) also the file of one half, or the folder that has both.

    Parameters
    ----------
    source : str or Path
    component : ComponentName
        What it has to be; ``"vae_decoder"`` for a VAE.
    scaling_factor : float or None
        Of the latents of a VAE in one file, which does not say it; None is that of Stable Diffusion 1.x and 2.x.
    variant, pickled, hub, limits, mmap
        See `open_model`.

    Raises
    ------
    ModelError : it is another component
    ConfigError, MissingFileError, MissingExtraError : as of `open_model`
    """
    _check_pickled(pickled)
    _VARIANT.check("variant", variant)
    _COMPONENT.check("component", component, "choose one of those")
    wanted = Wanted(variant=variant, pickled=pickled)
    local = find_local(COMPONENTS[component].folder, source, lambda address: obtain_component(address, component, wanted, hub), hub)
    place, name = local.path, local.name
    if not exists(place / "config.json"):
        # a whole model's folder, which has the component, or a repository of adapters, where it may lie one deeper
        inside = (place / COMPONENTS[component].folder, place / "models" / COMPONENTS[component].folder)
        place = next((folder for folder in inside if exists(folder / "config.json")), place)
    opened: StoredModel
    quick = _quick_files(place, name, component, pickled, limits, mmap=mmap)
    if quick is not None:
        opened = quick
    elif _is_file(place) and component == "t2i_adapter":
        from sdrt.models.t2i_adapter_file import T2IAdapterFile

        opened = T2IAdapterFile(place, name, pickled=pickled, allowed=limits, mmap=mmap)
    elif _is_file(place) and component == "image_encoder":
        raise ModelError(f"{place}: an image encoder must be a folder with its config.json, got a file; pass the folder")
    elif _is_file(place):
        from sdrt.models.component_file import ComponentFile

        factor = 0.18215 if scaling_factor is None else scaling_factor
        opened = ComponentFile(place, name, scaling_factor=factor, pickled=pickled, allowed=limits, mmap=mmap)
    else:
        opened = ComponentFolder(place, name, variant=variant, pickled=pickled, allowed=limits, mmap=mmap)
    if component not in opened.components:
        raise ModelError(
            f"{opened.where(opened.components[0])}: must be {_one(component)}, got {' and '.join(map(_one, opened.components))}; "
            "pass another folder"
        )
    return opened


def open_upscaler(
    source: str | Path,
    *,
    activation: "Activation | None" = None,
    pickled: Pickled = "refuse",
    hub: HubAccess = DEFAULT_ACCESS,
    limits: Limits = DEFAULT_LIMITS,
    mmap: bool = True,
) -> "UpscalerFile":
    """Open a network that enlarges pictures: a file, or a repository of the Hub that has one.

    Parameters
    ----------
    source : str or Path
    activation : "relu", "leakyrelu" or None
        Of a compact model whose activations have no weights, so that its tensors do not tell.
    pickled, hub, limits, mmap
        See `open_model`.

    Raises
    ------
    ModelError : it cannot be read, or is something else, which the message names
    ConfigError, MissingFileError, MissingExtraError : as of `open_model`
    """
    from sdrt.models.upscalers.file import UpscalerFile

    _check_pickled(pickled)
    local = find_local("upscaler", source, lambda address: obtain_upscaler(address, Wanted(pickled=pickled), hub), hub)
    return UpscalerFile(local.path, local.name, pickled=pickled, activation=activation, allowed=limits, mmap=mmap)


def _quick_files(place: Path, name: str, component: ComponentName, pickled: Pickled, limits: Limits, *, mmap: bool) -> StoredModel | None:
    """Return the quick autoencoder in files without a configuration; None where it is none."""
    if COMPONENTS[component].folder != "vae" or exists(place / "config.json") or not exists(place):
        return None
    from sdrt.models.quick_autoencoder_file import open_quick_files

    return open_quick_files(place, name, pickled, limits, mmap=mmap)


def _one(component: str) -> str:
    return f"{'an' if component.startswith('image') else 'a'} {component}"


def _is_file(place: Path) -> bool:
    """Whether a path is a checkpoint's, there or not: a name that ends as weights do."""
    return not is_folder(place) and (exists(place) or place.suffix.lower() in WEIGHT_SUFFIXES)


def _has_variant(folder: Path, variant: str) -> bool:
    return any(variant in variants_in(folder / component.folder) for component in COMPONENTS.values())


def _check_pickled(pickled: str) -> None:
    if not isinstance(pickled, str) or pickled not in ("refuse", "weights_only"):
        raise ConfigError(f"pickled must be 'refuse' or 'weights_only', got {shown(pickled)}; choose one of those")
