"""List the Hub's cache: each commit of which it has files, what that is, and what it takes on the disk.

The layout is the client's, see `repository_cache`. Files that others are writing, or have damaged, are no errors here.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sdrt.models.hub.kinds import find_kind

__all__ = ["CachedModel", "cached_models", "cached_repositories"]

_FOLDERS = "models--"
_UNFINISHED = ".incomplete"


@dataclass(frozen=True, kw_only=True)
class CachedModel:
    """One commit of a repository in the cache, or what interrupted downloads left.

    Parameters
    ----------
    repo_id : str
    commit : str
        Its hash; empty for unfinished downloads.
    revisions : tuple of str
        Branches and tags that meant this commit when they were last fetched.
    kind : str
        What it is, such as "Stable Diffusion XL" or "ControlNet"; see `find_kind`.
    variants : tuple of str
        Folders of Core ML packages, or variants of weights.
    size_bytes : int
        On the disk. What two commits share is counted in both.
    last_used : float or None
        When its largest file was last read, or written if the disk does not keep that; in seconds since 1970. None: it has no files.
    path : Path
        The folder of its files, which ``sdrt.load`` takes too.
    """

    repo_id: str
    commit: str
    revisions: tuple[str, ...]
    kind: str
    variants: tuple[str, ...]
    size_bytes: int
    last_used: float | None
    path: Path


def cached_models(cache: Path) -> tuple[CachedModel, ...]:
    """List a cache, by name and then by time of use, the latest first.

    Parameters
    ----------
    cache : Path
        A folder that is not there has nothing in it.
    """
    found = [model for folder in _folders(cache) if folder.name.startswith(_FOLDERS) for model in _repository(folder)]
    return tuple(sorted(found, key=lambda each: (each.repo_id.lower(), -(each.last_used or 0))))


def cached_repositories(cache: Path) -> tuple[str, ...]:
    """List the names of a cache's repositories, and look into none of them."""
    return tuple(_repo_id(folder) for folder in _folders(cache) if folder.name.startswith(_FOLDERS))


def _repo_id(folder: Path) -> str:
    return folder.name.removeprefix(_FOLDERS).replace("--", "/")


def _repository(folder: Path) -> Iterator[CachedModel]:
    repo_id = _repo_id(folder)
    revisions = _revisions(folder / "refs")
    for snapshot in _folders(folder / "snapshots"):
        files = _files(snapshot)
        kind = find_kind(snapshot)
        yield CachedModel(
            repo_id=repo_id,
            commit=snapshot.name,
            revisions=tuple(sorted(name for name, commit in revisions.items() if commit == snapshot.name)),
            kind=kind.words,
            variants=kind.variants,
            size_bytes=_size(files),
            last_used=_last_used(files),
            path=snapshot,
        )
    if unfinished := [(path, stat) for path, stat in _files(folder / "blobs") if path.endswith(_UNFINISHED)]:
        yield CachedModel(
            repo_id=repo_id,
            commit="",
            revisions=(),
            kind="unfinished download",
            variants=(),
            size_bytes=_size(unfinished),
            last_used=_last_used(unfinished),
            path=folder / "blobs",
        )


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except OSError:
        return []


def _files(folder: Path) -> list[tuple[str, os.stat_result]]:
    """Return the files below a folder, through links, with what the system knows of each."""
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118 -- tens of thousands of them
            try:
                found.append((path, os.stat(path)))  # noqa: PTH116
            except OSError:
                # a link to nothing
                continue
    return found


def _size(files: list[tuple[str, os.stat_result]]) -> int:
    # several names may be links to one blob
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for _, stat in files}.values())


def _last_used(files: list[tuple[str, os.stat_result]]) -> float | None:
    if not files:
        return None
    # the configurations are read by listings too; the weights by nothing but use
    largest = max((stat for _, stat in files), key=lambda stat: stat.st_size)
    return max(largest.st_atime, largest.st_mtime)


def _revisions(refs: Path) -> dict[str, str]:
    """Return the commits that branches and tags mean, by name; those of pull requests have slashes."""
    found = {}
    for path, _ in _files(refs):
        try:
            found[Path(path).relative_to(refs).as_posix()] = Path(path).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
    return found
