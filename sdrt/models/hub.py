"""Models of the Hugging Face Hub: a repository's name becomes a folder in the Hub's own cache."""

import re
from pathlib import Path

from sdrt.errors import MissingExtraError, MissingFileError
from sdrt.models.parts import SUBFOLDERS

__all__ = ["download", "is_repo_id"]

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

# What a model folder is made of: configurations and vocabularies, and one safetensors file a part. No variants, no pickles.
_PATTERNS = ["*.json", "*/*.json", "tokenizer/*.txt", *(f"{folder}/*model.safetensors" for folder in dict.fromkeys(SUBFOLDERS.values()))]


def is_repo_id(model: str) -> bool:
    """Whether a text has the form of a repository's name, ``owner/name``.

    >>> is_repo_id("someone/tiny-diffusion"), is_repo_id("models/sd/1.5"), is_repo_id("../sd")
    (True, False, False)
    """
    return _REPO_ID.fullmatch(model) is not None


def download(repo_id: str) -> Path:
    """Fetch what is not in the Hub's cache yet, and return the folder.

    Raises
    ------
    MissingExtraError : huggingface_hub is not installed
    MissingFileError : the Hub cannot be reached, or has no such model
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingExtraError(
            f"{repo_id}: no such folder; to fetch a model of this name from the Hub, install the extra: pip install 'sdrt[hub]'"
        ) from error
    try:
        return Path(snapshot_download(repo_id, allow_patterns=_PATTERNS))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise MissingFileError(f"{repo_id}: no such folder, and the Hub does not give it either ({reason}); check the name") from error
