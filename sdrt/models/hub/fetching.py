"""Fetch files of a repository into the Hub's cache: size told and disk space checked first, each file whole and checked, or not there.

The client's own download (2.4.0) begins a file anew after an interruption. Here what has arrived stays in ``HASH.incomplete``, as clients
before 2.0 called it, and the next call goes on behind it.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from sdrt.errors import MissingFileError
from sdrt.log import log
from sdrt.models.hub.access import DownloadProgress, HubAccess, endpoint
from sdrt.models.hub.address import Address
from sdrt.models.hub.byte_sizes import in_words
from sdrt.models.hub.failures import clear_failures, disk_full
from sdrt.models.hub.hashes import check_beginning, check_content
from sdrt.models.hub.hub_file import HubFile, Listing
from sdrt.models.hub.repository_cache import RepositoryCache

__all__ = ["fetch", "missing"]

# Of the files that one error names.
_NAMED = 3
_CLIENTS_BAR = "huggingface_hub.http_get"


def fetch(listing: Listing, files: Iterable[HubFile], access: HubAccess) -> Path:
    """Fetch what is not in the cache yet, and return the folder of the commit's files.

    Parameters
    ----------
    listing : Listing
    files : iterable of HubFile
        Of the listing.
    access : HubAccess

    Raises
    ------
    MissingFileError : the Hub cannot be reached, or refuses
    WeightsError : what arrived is not what the Hub lists
    ModelError : the disk is too small, or refuses
    """
    address = Address(listing.repo_id, listing.revision)
    cache = RepositoryCache(access.cache, listing.repo_id)
    files = tuple(files)
    lacking = missing(listing, files, access)
    if lacking and listing.unreachable is not None:
        raise MissingFileError(
            f"{address}: the cache lacks {_some(lacking)}, and {listing.unreachable}; fetch it when the Hub can be reached"
        )
    if lacking:
        with clear_failures(address, access):
            _check_disk_space(address, cache, lacking, access)
            _Download(listing, lacking, access, cache).run()
    if listing.unreachable is None:
        # a cache that cannot be written is one all the same
        with suppress(OSError):
            cache.remember(listing.revision, listing.commit, listing.files)
    return cache.snapshot(listing.commit)


def missing(listing: Listing, files: Iterable[HubFile], access: HubAccess) -> tuple[HubFile, ...]:
    """Return those of the files that the cache does not hold."""
    cache = RepositoryCache(access.cache, listing.repo_id)
    return tuple(file for file in files if not cache.holds(listing.commit, file))


class _Download:
    """The files that one call fetches, and how much of them has arrived."""

    def __init__(self, listing: Listing, files: tuple[HubFile, ...], access: HubAccess, cache: RepositoryCache) -> None:
        self._listing, self._files, self._access, self._cache = listing, files, access, cache
        self._total = sum(file.size for file in files)
        self._before = 0
        self._reported = -1

    def run(self) -> None:
        kept = sum(_kept(self._cache, file) for file in self._files)
        words = f", of which {in_words(kept)} are here already" if kept else ""
        number = f"{len(self._files)} file{'' if len(self._files) == 1 else 's'}"
        log.info("%s: fetching %s in %s into %s%s", self._listing.repo_id, in_words(self._total), number, self._cache.folder, words)
        self._report(self._files[0], 0)
        for file in self._files:
            self._fetch(file)
            self._before += file.size

    def _report(self, file: HubFile, done: int) -> None:
        done = min(self._before + done, self._total)
        if self._access.on_download is not None and done != self._reported:
            self._access.on_download(DownloadProgress(self._listing.repo_id, file.path, done, self._total))
        self._reported = done

    def _fetch(self, file: HubFile) -> None:
        from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

        blob = self._cache.blob(file)
        lock = self._cache.cache / ".locks" / self._cache.folder.name / f"{blob.name}.lock"
        for folder in (blob.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            if not (blob.is_file() and blob.stat().st_size == file.size):
                partial = self._cache.partial(file)
                self._receive(file, partial)
                check_content(partial, file, self._listing.repo_id)
                partial.replace(blob)
            self._cache.place(self._listing.commit, file)
        self._report(file, file.size)

    def _receive(self, file: HubFile, partial: Path) -> None:
        """Append to the partial file what it lacks."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        start = _kept(self._cache, file)
        url = hf_hub_url(self._listing.repo_id, file.path, revision=self._listing.commit, endpoint=endpoint())
        # compressed, a part of a file could not be asked for
        headers = {**build_hf_headers(token=self._access.token), "Accept-Encoding": "identity"}
        try:
            with partial.open("ab" if start else "wb") as stream, _silent_client():
                counted = cast("BinaryIO", _Counted(stream, lambda done: self._report(file, done)))
                http_get(url, counted, resume_size=start, headers=headers, expected_size=file.size)
        except OSError:
            check_beginning(partial, file, self._listing.repo_id)
            raise


class _Counted:
    """A file to write into that reports its size after each piece."""

    def __init__(self, stream: BinaryIO, report: Callable[[int], None]) -> None:
        self._stream, self._report = stream, report

    def write(self, piece: bytes) -> int:
        written = self._stream.write(piece)
        self._report(self._stream.tell())
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _silent_client() -> Iterator[None]:
    """Keep the client from drawing bars of its own, unless its user asked for them (``HF_HUB_DISABLE_PROGRESS_BARS=0``)."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if constants.HF_HUB_DISABLE_PROGRESS_BARS is False or are_progress_bars_disabled(_CLIENTS_BAR):
        yield
        return
    disable_progress_bars(_CLIENTS_BAR)
    try:
        yield
    finally:
        enable_progress_bars(_CLIENTS_BAR)


def _kept(cache: RepositoryCache, file: HubFile) -> int:
    """Return how many bytes of a file an interrupted call left; more than it has are those of something else."""
    partial = cache.partial(file)
    size = partial.stat().st_size if partial.is_file() else 0
    return size if size <= file.size else 0


def _check_disk_space(address: Address, cache: RepositoryCache, files: tuple[HubFile, ...], access: HubAccess) -> None:
    needed = sum(file.size - _kept(cache, file) for file in files)
    place = next(folder for folder in (cache.folder, *cache.folder.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise disk_full(address, access, f"it needs {in_words(needed)}, and {in_words(free)} are free")


def _some(files: tuple[HubFile, ...]) -> str:
    names = ", ".join(file.path for file in files[:_NAMED])
    return names + (f" and {len(files) - _NAMED} more" if len(files) > _NAMED else "")
