"""What a repository holds at a commit."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from sdrt.errors import ModelError
from sdrt.models.hub.commits import is_commit
from sdrt.printable import shown

__all__ = ["HubFile", "Listing"]

_HASH = re.compile("[0-9a-f]{1,64}")
_LARGEST = 2**63  # bytes: what file systems count in
_LEAVE_IT = "do not use this repository"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository.

    Parameters
    ----------
    path : str
        In the repository, with slashes.
    size : int
        In bytes.
    sha256 : str or None
        Of the content, as hexadecimal digits; only of a file that Git-LFS keeps.
    blob_id : str or None
        Git's id of the content: of the file, or of the pointer where Git-LFS keeps the file.

    Raises
    ------
    ModelError : the path leads out of the repository, or the size or a hash is impossible
    """

    path: str
    size: int
    sha256: str | None = None
    blob_id: str | None = None

    def __post_init__(self) -> None:
        # by type first: what a Hub answers may be anything
        parts = PurePosixPath(self.path).parts if isinstance(self.path, str) else ()
        # a colon or a backslash would name another disk or folder on Windows
        if not parts or self.path.startswith("/") or ".." in parts or set(self.path) & {"\\", ":", "\0"}:
            raise ModelError(f"the Hub lists {shown(self.path)}, which is not a path in a repository; {_LEAVE_IT}")
        if type(self.size) is not int or not 0 <= self.size < _LARGEST:
            raise ModelError(f"the Hub lists {self.path} with the size {shown(self.size)}, which is not a size; {_LEAVE_IT}")
        for digits in (self.sha256, self.blob_id):
            # they name files of the cache
            if digits is not None and not (isinstance(digits, str) and _HASH.fullmatch(digits)):
                raise ModelError(f"the Hub lists {self.path} with the hash {shown(digits)}, which is not a hash; {_LEAVE_IT}")

    @property
    def blob(self) -> str | None:
        """The name that the content has in the cache; None where the Hub lists no hash."""
        return self.sha256 or self.blob_id


@dataclass(frozen=True)
class Listing:
    """The files of a repository at a commit.

    Parameters
    ----------
    repo_id : str
    commit : str
        Its hash, 40 hexadecimal digits.
    files : tuple of HubFile
    revision : str
        What was asked for: a branch, a tag, or the commit.
    unreachable : str or None
        Why the Hub was not asked or did not answer, so that what is not in the cache cannot be fetched; None where it can be.

    Raises
    ------
    ModelError : the commit is not a commit hash
    """

    repo_id: str
    commit: str
    files: tuple[HubFile, ...]
    revision: str = "main"
    unreachable: str | None = None

    def __post_init__(self) -> None:
        if not is_commit(self.commit):
            raise ModelError(f"{self.repo_id}: the Hub lists {shown(self.commit)} as the commit, which is not a commit; {_LEAVE_IT}")

    @cached_property
    def by_path(self) -> dict[str, HubFile]:
        """The files by path."""
        return {file.path: file for file in self.files}

    def pick(self, paths: Iterable[str]) -> tuple[HubFile, ...]:
        """Return the files of these paths."""
        return tuple(self.by_path[path] for path in paths)
