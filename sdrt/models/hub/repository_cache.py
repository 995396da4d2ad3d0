"""Read and write one repository in the Hub's cache, in the layout that the client documents, so that other programs find what is fetched.

::

    models--owner--name/
      refs/main                     the commit that a branch or tag meant when it was last fetched
      blobs/HASH                    a file's bytes, under its sha256 or its git id; HASH.incomplete while it arrives
      snapshots/COMMIT/PATH         a link to the blob, or the file itself where the disk has no links
      trees/COMMIT.json             what the repository holds at a commit, as newer clients keep it
      sdrt/COMMIT.json              the same, of what sdrt fetched

sdrt does not write the client's own lists: where one is, the client refuses offline a commit that lacks files which it would fetch.

Source: huggingface_hub 2.4.0, ``file_download.py`` and ``_tree_cache.py``; https://huggingface.co/docs/huggingface_hub/guides/manage-cache.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.files import is_file, is_folder, read_text
from sdrt.host import link_file
from sdrt.models.hub.commits import SNAPSHOTS, is_commit
from sdrt.models.hub.hub_file import HubFile
from sdrt.models.json_file import read_json
from sdrt.values import Anything, Integer, Kind, MappingOf, Nullable, Text, read_values

__all__ = ["RepositoryCache"]

_FORMAT = 1
_OWN, _CLIENTS = "sdrt", "trees"
_TREE: Mapping[str, Kind[Any]] = {"format_version": Integer(_FORMAT, _FORMAT), "files": MappingOf(MappingOf(Anything()))}
_HASH = Nullable(Text(100))
_ENTRY: Mapping[str, Kind[Any]] = {"size": Integer(0), "blob_id": _HASH, "lfs_sha256": _HASH}


@dataclass(frozen=True)
class RepositoryCache:
    """A repository in a cache; it may have nothing there yet.

    Parameters
    ----------
    cache : Path
        The folder of the whole cache.
    repo_id : str
    """

    cache: Path
    repo_id: str

    @property
    def folder(self) -> Path:
        """Where everything of the repository lies."""
        return self.cache / f"models--{self.repo_id.replace('/', '--')}"

    def snapshot(self, commit: str) -> Path:
        """Return the folder of a commit's files."""
        return self.folder / SNAPSHOTS / commit

    def blob(self, file: HubFile) -> Path:
        """Return where the content of a file lies, or will.

        Raises
        ------
        ModelError : the Hub told no hash of it
        """
        if file.blob is None:
            raise ModelError(
                f"{self.repo_id}: the Hub lists no hash of {file.path}, so that what arrives could not be checked; fetch the file yourself"
            )
        return self.folder / "blobs" / file.blob

    def partial(self, file: HubFile) -> Path:
        """Return where the content of a file is put together."""
        return self.blob(file).with_name(f"{file.blob}.incomplete")

    def holds(self, commit: str, file: HubFile) -> bool:
        """Return whether a file is there, in its full size."""
        place = self.snapshot(commit) / file.path
        return is_file(place) and place.stat().st_size == file.size

    def holds_content(self, file: HubFile) -> bool:
        """Return whether the content of a file is there, whichever commit brought it."""
        return file.blob is not None and is_file(blob := self.blob(file)) and blob.stat().st_size == file.size

    def place(self, commit: str, file: HubFile) -> None:
        """Give a commit's folder the file whose blob is there: a relative link, as the client makes, or the bytes where links cannot be.

        Raises
        ------
        OSError : the disk refuses
        """
        pointer, blob = self.snapshot(commit) / file.path, self.blob(file)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        # made under another name and moved: others may read the file meanwhile, or put it there too
        link = pointer.with_name(f".{pointer.name}.{uuid.uuid4().hex[:8]}.link")
        if not link_file(link, blob):
            # as the client does
            blob.replace(pointer)
            return
        try:
            link.replace(pointer)
        finally:
            link.unlink(missing_ok=True)

    # ---- which commit a revision is, and what it holds

    def commit(self, revision: str) -> str | None:
        """Return the commit that a revision meant when it was last fetched; None where it never was."""
        if is_commit(revision):
            return revision if is_folder(self.snapshot(revision)) else None
        ref = self.folder / "refs" / revision
        with suppress(ModelError):
            commit = read_text(ref).strip() if is_file(ref) else ""
            return commit if is_commit(commit) else None
        # what cannot be read says as little as what is not there
        return None

    def remember(self, revision: str, commit: str, files: Iterable[HubFile]) -> None:
        """Keep which commit a revision is, and what it holds, for when the Hub cannot be asked.

        Raises
        ------
        OSError : the disk refuses
        """
        if not is_commit(revision) and self.commit(revision) != commit:
            _write(self.folder / "refs" / revision, commit)
        if self.listed_files(commit) is None:
            held = {file.path: _entry(file) for file in files}
            _write(self.folder / _OWN / f"{commit}.json", json.dumps({"format_version": _FORMAT, "files": held}, indent=1))

    def files(self, commit: str) -> tuple[HubFile, ...]:
        """Return what a commit holds, by the list that is kept; without one, what is there of it."""
        if (listed := self.listed_files(commit)) is not None:
            return listed
        snapshot = self.snapshot(commit)
        found = sorted(path for path in snapshot.rglob("*") if is_file(path))
        return tuple(HubFile(path.relative_to(snapshot).as_posix(), path.stat().st_size) for path in found)

    def listed_files(self, commit: str) -> tuple[HubFile, ...] | None:
        """Return what a commit holds by the list that is kept; None where none is, or one of another format."""
        for folder in (_OWN, _CLIENTS):
            tree = self.folder / folder / f"{commit}.json"
            if is_file(tree):
                with suppress(ModelError):
                    return tuple(_read_tree(tree))
        return None


def _entry(file: HubFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"size": file.size, "blob_id": file.blob_id}
    return entry | ({} if file.sha256 is None else {"lfs_sha256": file.sha256, "lfs_size": file.size})


def _read_tree(tree: Path) -> Iterator[HubFile]:
    content = read_values(f"{tree}: ", read_json(tree), _TREE, "delete it", ModelError)
    if len(content) != len(_TREE):
        raise ModelError(f"{tree}: must have {' and '.join(_TREE)}, got {', '.join(content)}; delete it")
    for path, described in content["files"].items():
        entry = read_values(f"{tree}: {path}: ", described, _ENTRY, "delete it", ModelError)
        if "size" not in entry:
            raise ModelError(f"{tree}: tells no size of {path}; delete it")
        yield HubFile(path, entry["size"], entry.get("lfs_sha256"), entry.get("blob_id"))


def _write(file: Path, text: str) -> None:
    """Write a file so that others read the old one or the new one, never a part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
