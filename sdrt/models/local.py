"""Find where the model lies that a caller named: it is embedded, a folder or a file, or in a repository of the Hub, which is fetched."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sdrt.errors import ConfigError
from sdrt.files import user_path
from sdrt.models.embedded import EMBEDDED, path
from sdrt.models.hub import Address, HubAccess, Obtained, means_repository, parse_address
from sdrt.models.misplaced import check_is_no_archive
from sdrt.printable import shown

__all__ = ["LocalModel", "find_local"]

# URLs, and of the Hub's the repository, and the file if it is one's; hf:// is what its client writes.
_URL = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:(?:(?:www\.)?(?:huggingface\.co|hf\.co)/|(?<=hf://)(?:models/)?)([\w.-]+/[\w.-]+)"
    r"(?:/(?:blob|resolve)/([^/]+)/([^?#]+))?)?",
    re.IGNORECASE,
)
_MAIN = "main"


@dataclass(frozen=True)
class LocalModel:
    """Where a model lies.

    Parameters
    ----------
    path : Path
    name : str
        What it is called.
    assumed : mapping from topic to sentence, or None
        What was assumed when it was fetched; None if it is no repository's.
    """

    path: Path
    name: str
    assumed: Mapping[str, str] | None = None

    @property
    def fetched(self) -> bool:
        """Whether it is a repository's."""
        return self.assumed is not None


def find_local(what: str, model: object, obtain: Callable[[Address], Obtained], hub: HubAccess) -> LocalModel:
    """Find a model, or fetch it if it is a repository's.

    Parameters
    ----------
    what : str
        The name of the argument, for messages.
    model : str or Path
    obtain : callable
        Fetches what is needed from a repository.
    hub : HubAccess

    Raises
    ------
    ConfigError : a URL, or no path
    ModelError : an archive, or a file of another kind
    SdrtError : as of `obtain`
    """
    if isinstance(model, str) and (url := _URL.match(model)):
        instead = f"the repository's name, {_address(url)!r}" if url[1] else "the file's path"
        raise ConfigError(f"{what} must be a path or a repository's name, got {shown(model)}; fetch it first, or pass {instead}")
    if isinstance(model, str) and model in EMBEDDED:
        return LocalModel(path(model), model)
    place = user_path(what, model)
    if means_repository(model) and (address := parse_address(str(model))):
        obtained = obtain(address.at(hub.revision))
        # the place in the cache says which commit it is
        return LocalModel(obtained.path, str(replace(address, revision=None)), obtained.remarks)
    check_is_no_archive(place)
    return LocalModel(place, place.resolve().name)


def _address(url: re.Match[str]) -> str:
    if url[3] is None:
        return url[1]
    return str(Address(url[1], None if url[2] == _MAIN else url[2], url[3]))
