"""How a caller names a repository of the Hub, or one file in it: ``owner/name[@revision][::path/in/it]``."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from sdrt.errors import ConfigError
from sdrt.files import exists
from sdrt.models.coreml.layout import PACKAGE_SUFFIXES
from sdrt.models.weight_format import WEIGHT_SUFFIXES
from sdrt.printable import printable, shown

__all__ = ["Address", "check_revision", "is_repo_id", "means_repository", "parse_address"]

_NAME = r"[A-Za-z0-9][\w.-]*"
_REPO_ID = re.compile(f"{_NAME}/{_NAME}")
# a branch, a tag, a commit, or a pull request's refs/pr/1; without . and .., which would lead to another address, and out of the cache
_PART = r"(?!\.{1,2}(?:/|::|$))[\w.-]+"
_ADDRESS = re.compile(rf"(?P<repo_id>{_NAME}/{_NAME})(?:@(?P<revision>{_PART}(?:/{_PART})*))?(?:::(?P<file>[^\\]+))?")
_REVISION_LENGTH = 200  # characters

# How names of files end, and of packages: no repository is called so.
_NO_REPOSITORIES = (*WEIGHT_SUFFIXES, *PACKAGE_SUFFIXES, ".mlmodel", ".zip", ".json", ".onnx", ".png")


@dataclass(frozen=True)
class Address:
    """A repository, or one file in it.

    Parameters
    ----------
    repo_id : str
        ``owner/name``.
    revision : str or None
        A branch, a tag or a commit; None is the repository's main branch.
    file : str or None
        A path in the repository, with slashes; None is the repository itself.

    Raises
    ------
    ConfigError : no branch, tag or commit may have this name
    """

    repo_id: str
    revision: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        if self.revision is not None and not _is_revision(self.revision):
            raise ConfigError(f"revision must be a branch, a tag or a commit, got {shown(self.revision)}; copy one from the model's page")

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{self.revision}"
        return self.repo_id + revision + ("" if self.file is None else f"::{self.file}")

    def at(self, revision: str | None) -> Self:
        """Return the address at a revision, where it names none itself.

        Raises
        ------
        ConfigError : it names another one, or as of `Address`
        """
        if revision is None or self.revision == revision:
            return self
        if self.revision is not None:
            raise ConfigError(f"{self}: must have one revision, got @{self.revision} and revision={revision!r}; leave one of them out")
        return replace(self, revision=revision)


def is_repo_id(model: str) -> bool:
    """Whether a text has the form of a repository's name, ``owner/name``.

    >>> is_repo_id("someone/tiny-diffusion"), is_repo_id("models/sd/1.5"), is_repo_id("../sd")
    (True, False, False)
    """
    return _REPO_ID.fullmatch(model) is not None


def parse_address(text: str) -> Address | None:
    """Read an address; None where the text has another form. Nothing is looked up.

    >>> parse_address("someone/tiny@v1.0::unet/model.safetensors")
    Address(repo_id='someone/tiny', revision='v1.0', file='unet/model.safetensors')
    >>> parse_address("models/sd/1.5") is None
    True
    """
    match = _ADDRESS.fullmatch(text)
    return None if match is None else Address(match["repo_id"], match["revision"], match["file"])


def means_repository(model: object) -> bool:
    """Return whether what a caller passed is the address of a repository or of a file in one, and of nothing here.

    A name that ends as weights do is a file that is not there, and so is one in a folder that is there, unless it names a file by ``::``.

    Raises
    ------
    ModelError : the disk does not say
    """
    address = parse_address(model) if isinstance(model, str) else None
    if address is None:
        return False
    place, repository = Path(str(model)), Path(address.repo_id)
    if exists(place) or repository.suffix.lower() in _NO_REPOSITORIES:
        return False
    return address.file is not None or not exists(repository.parent)


def check_revision(revision: str | None, model: object) -> None:
    """Check that a revision comes with a repository alone.

    Raises
    ------
    ConfigError : the model is embedded, or on this disk
    """
    if revision is not None and not means_repository(model):
        raise ConfigError(f"revision must come with a repository of the Hub, got revision={revision!r} with {model}; leave it out")


def _is_revision(revision: object) -> bool:
    """Return whether a branch or a tag may have this name: it is a part of addresses and paths, and must not lead elsewhere in them."""
    if not isinstance(revision, str) or len(revision) > _REVISION_LENGTH or "\\" in revision or printable(revision) != revision:
        return False
    return not {"", ".", ".."} & set(revision.split("/"))
