"""Models of the Hugging Face Hub: a repository's name becomes a folder in the Hub's own cache."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from sdrt.errors import MissingExtraError, MissingFileError, ModelError
from sdrt.files import exists, is_file
from sdrt.models.base import Pickled
from sdrt.models.components import COMPONENTS
from sdrt.models.coreml.layout import PACKAGE_SUFFIXES
from sdrt.models.weight_files import find_weights
from sdrt.models.weight_format import WEIGHT_SUFFIXES

__all__ = ["download", "is_repo_id", "means_repository"]

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

# How names of files end, and of packages: no repository is called so.
_NO_REPOSITORIES = (*WEIGHT_SUFFIXES, *PACKAGE_SUFFIXES, ".mlmodel", ".zip", ".json", ".onnx", ".png")

_FOLDERS = tuple(dict.fromkeys(component.folder for component in COMPONENTS.values()))
# Configurations, vocabularies and the indices of shards: small, and they say what else is needed.
_SMALL = ("*.json", "*/*.json", "tokenizer/*.txt", "tokenizer_2/*.txt")


def is_repo_id(model: str) -> bool:
    """Whether a text has the form of a repository's name, ``owner/name``.

    >>> is_repo_id("someone/tiny-diffusion"), is_repo_id("models/sd/1.5"), is_repo_id("../sd")
    (True, False, False)
    """
    return _REPO_ID.fullmatch(model) is not None


def means_repository(model: object) -> bool:
    """Return whether what a caller passed is the name of a repository, and of nothing here.

    A name that ends as weights do is a file that is not there, and so is one in a folder that is there.

    Raises
    ------
    ModelError : the disk does not say
    """
    if not isinstance(model, str) or not is_repo_id(model):
        return False
    place = Path(model)
    return not (place.suffix.lower() in _NO_REPOSITORIES or exists(place) or exists(place.parent))


def download(repo_id: str, variant: str | None = None, pickled: Pickled = "refuse", cache_dir: Path | None = None) -> Path:
    """Fetch what is not in the Hub's cache yet of a model or a component, and return the folder.

    Of each component one set of weights is fetched: safetensors of the variant; where there are none, the plain ones; where there are none
    of those either and pickles are welcome, these.

    Parameters
    ----------
    repo_id : str
    variant : str or None
    pickled : "refuse" or "weights_only"
    cache_dir : Path or None
        Where repositories are kept; None is the client's own place.

    Raises
    ------
    MissingExtraError : huggingface_hub is not installed
    MissingFileError : the Hub cannot be reached, or has no such model
    ModelError : it can have none of this name
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingExtraError(
            f"{repo_id}: no such folder; to fetch a model of this name from the Hub, install the extra: pip install 'sdrt[hub]'"
        ) from error

    def fetch(patterns: list[str]) -> Path:
        return Path(snapshot_download(repo_id, allow_patterns=patterns, cache_dir=cache_dir))

    try:
        return _fetch_parts(fetch, variant, pickled)
    except HFValidationError as error:
        raise ModelError(f"{repo_id}: no such file or folder, and no repository can have this name; check it") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise MissingFileError(f"{repo_id}: no such folder, and the Hub does not give it either ({reason}); check the name") from error


def _fetch_parts(fetch: Callable[[list[str]], Path], variant: str | None, pickled: Pickled) -> Path:
    """Ask for the small files, then for weights, kind after kind, of the components that have none yet."""
    folder = fetch(list(_SMALL))
    for infix, suffix in _kinds(variant, pickled):
        lacking = [component for component in _parts_in(folder) if not _has_weights(folder / component, variant, pickled)]
        if lacking:
            folder = fetch([f"{component}/{name}" if component else name for component in lacking for name in _names(infix, suffix)])
    return folder


def _kinds(variant: str | None, pickled: Pickled) -> Iterator[tuple[str, str]]:
    for suffix in ("safetensors", "bin") if pickled == "weights_only" else ("safetensors",):
        if variant:
            yield f".{variant}", suffix
        yield "", suffix


def _parts_in(folder: Path) -> list[str]:
    """Return the components' folders, by their configurations; the empty name where the repository is one component itself."""
    if not is_file(folder / "model_index.json") and is_file(folder / "config.json"):
        return [""]
    return [name for name in _FOLDERS if is_file(folder / name / "config.json")]


def _names(infix: str, suffix: str) -> list[str]:
    """Return what one set of a component's weights may be called: one file, or shards with the variant at either place."""
    stem = "*model"
    shards = [f"{stem}{infix}-?????-of-?????.{suffix}", f"{stem}-?????-of-?????{infix}.{suffix}"]
    return [f"{stem}{infix}.{suffix}", *dict.fromkeys(shards)]


def _has_weights(folder: Path, variant: str | None, pickled: Pickled) -> bool:
    for each in dict.fromkeys((variant, None)):
        try:
            find_weights(folder, each, pickled)
        except MissingFileError:
            continue
        return True
    return False
