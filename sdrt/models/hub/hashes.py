"""Check that what arrived is what the Hub lists: by sha256 for the files that Git-LFS keeps, by git's id for all others."""

import hashlib
from pathlib import Path
from typing import Self

from sdrt.errors import WeightsError
from sdrt.models.hub.byte_sizes import in_words
from sdrt.models.hub.hub_file import HubFile

__all__ = ["ContentHash", "check_beginning", "check_content"]

_BLOCK = 1 << 22
_LFS_POINTER = b"version https://git-lfs"


class ContentHash:
    """The hash of a file's content, made while it arrives; of the kind that the Hub lists for the file."""

    def __init__(self, file: HubFile) -> None:
        self._wanted = file.blob
        if file.sha256 is not None:
            self._digest = hashlib.sha256()
        else:
            self._digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)

    def update(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._digest.update(piece)

    def read(self, place: Path) -> Self:
        """Take all bytes of a file on the disk.

        Raises
        ------
        OSError : the disk refuses
        """
        with place.open("rb") as stream:
            while block := stream.read(_BLOCK):
                self.update(block)
        return self

    @property
    def matches(self) -> bool:
        """Whether the content is what the Hub lists."""
        return self._digest.hexdigest() == self._wanted


def check_content(place: Path, file: HubFile, repo_id: str, content: ContentHash | None = None) -> None:
    """Check the content of a file that arrived, and remove it if it is not what the Hub lists.

    Parameters
    ----------
    content : ContentHash or None
        Of all its bytes, if that was made while they arrived; None reads the file.

    Raises
    ------
    WeightsError : it has another size or hash, or is a Git-LFS pointer
    OSError : the disk refuses
    """
    check_beginning(place, file, repo_id)
    if (size := place.stat().st_size) != file.size:
        raise _removed(place, file, repo_id, f"has {in_words(size)}, and the Hub lists {in_words(file.size)}")
    if not (content or ContentHash(file).read(place)).matches:
        raise _removed(place, file, repo_id, "is not what the Hub lists, by its hash")


def check_beginning(place: Path, file: HubFile, repo_id: str) -> None:
    """Check that what arrived so far can be the beginning of the file, and remove it if not.

    Raises
    ------
    WeightsError : it is too long, or a Git-LFS pointer
    OSError : the disk refuses
    """
    with place.open("rb") as stream:
        is_pointer = stream.read(len(_LFS_POINTER)) == _LFS_POINTER
    if is_pointer and file.sha256 is None:
        place.unlink()
        raise WeightsError(
            f"{repo_id}: {file.path}: the repository holds a Git-LFS pointer, and not the file itself; tell its owner, or choose another "
            "revision"
        )
    if is_pointer:
        raise _removed(place, file, repo_id, "is the Git-LFS pointer, and not the file itself")
    if (size := place.stat().st_size) > file.size:
        raise _removed(place, file, repo_id, f"has {in_words(size)}, and the Hub lists {in_words(file.size)}")


def _removed(place: Path, file: HubFile, repo_id: str, problem: str) -> WeightsError:
    place.unlink()
    return WeightsError(f"{repo_id}: {file.path}: what arrived {problem}; it was removed, try again")
