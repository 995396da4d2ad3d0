"""What a repository holds at a commit."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from sdrt.errors import ModelError
from sdrt.printable import shown

__all__ = ["HubFile", "Listing"]


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
    ModelError : the path leads out of the repository
    """

    path: str
    size: int
    sha256: str | None = None
    blob_id: str | None = None

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        # a colon or a backslash would name another disk or folder on Windows
        if not parts or self.path.startswith("/") or ".." in parts or set(self.path) & {"\\", ":", "\0"}:
            raise ModelError(f"the Hub lists {shown(self.path)}, which is no path in a repository; do not use this repository")

    @property
    def blob(self) -> str | None:
        """The name that the content has in the cache; None where the Hub told no hash."""
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
    """

    repo_id: str
    commit: str
    files: tuple[HubFile, ...]
    revision: str = "main"
    unreachable: str | None = None

    @cached_property
    def by_path(self) -> dict[str, HubFile]:
        """The files by path."""
        return {file.path: file for file in self.files}

    def pick(self, paths: Iterable[str]) -> tuple[HubFile, ...]:
        """Return the files of these paths."""
        return tuple(self.by_path[path] for path in paths)
