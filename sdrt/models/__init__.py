"""Models on disk: the folder's layout, its configurations, its weights, and the models that ship with sdrt."""

from pathlib import Path

from sdrt.errors import ConfigError, ModelError
from sdrt.models import hub
from sdrt.models.base import Model, Pickled, PipelineFlags
from sdrt.models.component_folder import ComponentFolder
from sdrt.models.embeddings import Embedding, read_embedding
from sdrt.models.folder import ModelFolder
from sdrt.models.parts import PARTS, Part
from sdrt.models.stored_model import StoredModel
from sdrt.models.weights import Weights

__all__ = [
    "PARTS",
    "ComponentFolder",
    "Embedding",
    "Model",
    "ModelFolder",
    "Part",
    "Pickled",
    "PipelineFlags",
    "StoredModel",
    "Weights",
    "embedded",
    "open_component",
    "open_model",
    "path",
    "read_embedding",
]


def embedded() -> tuple[str, ...]:
    """Names of the models that ship with sdrt."""
    return ("nano",)


def path(name: str) -> Path:
    """The folder of an embedded model, in diffusers' layout.

    Raises
    ------
    ConfigError : no embedded model has this name

    >>> path("nano").name
    'nano'
    """
    if name not in embedded():
        raise ConfigError(f"embedded models are {', '.join(embedded())}; got {name!r}")
    return Path(__file__).parent / name


def open_model(model: str | Path, *, variant: str | None = None, pickled: Pickled = "refuse") -> StoredModel:
    """The model that ``model`` means: the name of an embedded model, a path, or a repository of the Hugging Face Hub.

    A folder that is there comes before a repository of the same name.

    Parameters
    ----------
    model : str or Path
    variant : str or None
        Weights of this variant, such as ``"fp16"``.
    pickled : "refuse" or "weights_only"
        What to do about weights that would have to be unpickled.

    Raises
    ------
    ConfigError : ``pickled`` is neither
    MissingFileError : there is no such folder, or a part of it is missing
    MissingExtraError : it has the form of a repository's name, and huggingface_hub is not installed
    """
    _check_pickled(pickled)
    if isinstance(model, str) and model in embedded():
        return ModelFolder(path(model), model)
    place = _local(model, variant, pickled)
    return ModelFolder(place, _name(model, place), variant=variant, pickled=pickled)


def open_component(component: str | Path, part: Part, *, variant: str | None = None, pickled: Pickled = "refuse") -> StoredModel:
    """A ControlNet, a VAE, or another single component: a folder with its ``config.json``, or a repository that is one.

    Parameters
    ----------
    component : str or Path
    part : Part
        What it has to be; ``"vae_decoder"`` for a VAE.
    variant, pickled
        See `open_model`.

    Raises
    ------
    ModelError : it is another part
    ConfigError, MissingFileError, MissingExtraError : as of `open_model`
    """
    _check_pickled(pickled)
    place = _local(component, variant, pickled)
    opened = ComponentFolder(place, _name(component, place), variant=variant, pickled=pickled)
    if part not in opened.parts:
        raise ModelError(
            f"{opened.where(opened.parts[0])}: is a {' and '.join(opened.parts)}, but a {part} is asked for; pass another folder"
        )
    return opened


def _local(model: str | Path, variant: str | None, pickled: Pickled) -> Path:
    place = Path(model).expanduser()
    return hub.download(model, variant, pickled) if isinstance(model, str) and hub.is_repo_id(model) and not place.exists() else place


def _name(model: str | Path, place: Path) -> str:
    return model if isinstance(model, str) and hub.is_repo_id(model) and not Path(model).expanduser().exists() else place.resolve().name


def _check_pickled(pickled: str) -> None:
    if pickled not in ("refuse", "weights_only"):
        raise ConfigError(f"pickled is 'refuse' or 'weights_only'; got {pickled!r}")
