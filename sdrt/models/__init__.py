"""Models on disk: the folder's layout, its configurations, its weights, and the models that ship with sdrt."""

from pathlib import Path

from sdrt.errors import ConfigError
from sdrt.models import hub
from sdrt.models.embeddings import Embedding, read_embedding
from sdrt.models.folder import ModelFolder
from sdrt.models.parts import PARTS, Part
from sdrt.models.weights import Weights

__all__ = ["PARTS", "Embedding", "ModelFolder", "Part", "Weights", "embedded", "open_folder", "path", "read_embedding"]


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


def open_folder(model: str | Path) -> ModelFolder:
    """The model folder that ``model`` means: the name of an embedded model, a path, or a repository of the Hugging Face Hub.

    A folder that is there comes before a repository of the same name.

    Raises
    ------
    MissingFileError : there is no such folder, or a part of it is missing
    MissingExtraError : it has the form of a repository's name, and huggingface_hub is not installed
    """
    folder = Path(model).expanduser()
    if isinstance(model, str) and model in embedded():
        return ModelFolder(path(model), model)
    if isinstance(model, str) and hub.is_repo_id(model) and not folder.exists():
        return ModelFolder(hub.download(model), model)
    return ModelFolder(folder, folder.resolve().name)
