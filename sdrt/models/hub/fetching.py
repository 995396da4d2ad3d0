"""Fetch files of a repository into the Hub's cache: size told and disk space checked first, each file whole and checked, or not there.

What has arrived of a file when a call is interrupted stays in ``HASH.incomplete``, under the name that clients before 1.0 gave it.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sdrt.errors import MissingFileError
from sdrt.log import log
from sdrt.models.hub.access import HubAccess
from sdrt.models.hub.address import Address
from sdrt.models.hub.byte_sizes import in_words
from sdrt.models.hub.failures import clear_failures, disk_full, hub_cache_folder
from sdrt.models.hub.hub_file import HubFile, Listing
from sdrt.models.hub.repository_cache import RepositoryCache
from sdrt.models.hub.transfer import Report, free_space, kept_bytes, number_of_files, receive, transfer

__all__ = ["fetch", "missing"]

# Of the files that one error names.
_NAMED = 3


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
    address = Address(listing.repo_id, None if listing.revision == "main" else listing.revision)
    cache = RepositoryCache(access.cache, listing.repo_id)
    files = tuple(files)
    lacking = missing(listing, files, access)
    # other commits may have brought the content
    arriving = tuple(file for file in lacking if not cache.holds_content(file))
    if arriving and listing.unreachable is not None:
        raise MissingFileError(
            f"{address}: the cache lacks {_some(arriving)}, and {listing.unreachable}; fetch it when the Hub can be reached"
        )
    with clear_failures(address, access, hub_cache_folder(access)):
        if arriving:
            _check_disk_space(address, cache, arriving, access)
            _Download(listing, arriving, access, cache).run()
        for file in lacking:
            if file not in arriving:
                cache.place(listing.commit, file)
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
    """The files that one call fetches into the cache."""

    def __init__(self, listing: Listing, files: tuple[HubFile, ...], access: HubAccess, cache: RepositoryCache) -> None:
        self._listing, self._files, self._access, self._cache = listing, files, access, cache

    def run(self) -> None:
        kept = sum(kept_bytes(self._cache.partial(file), file) for file in self._files)
        words = f", of which {in_words(kept)} are here already" if kept else ""
        log.info("%s: fetching %s into %s%s", self._listing.repo_id, number_of_files(self._files), self._cache.folder, words)
        transfer(self._listing, self._files, self._access, self._fetch)

    def _fetch(self, file: HubFile, report: Report) -> None:
        from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

        blob = self._cache.blob(file)
        lock = self._cache.cache / ".locks" / self._cache.folder.name / f"{blob.name}.lock"
        for folder in (blob.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            # another process may have fetched it meanwhile
            if not self._cache.holds_content(file):
                partial = self._cache.partial(file)
                receive(self._listing, file, partial, self._access, report)
                partial.replace(blob)
            self._cache.place(self._listing.commit, file)


def _check_disk_space(address: Address, cache: RepositoryCache, files: tuple[HubFile, ...], access: HubAccess) -> None:
    needed = sum(file.size - kept_bytes(cache.partial(file), file) for file in files)
    free = free_space(cache.folder)
    if needed > free:
        raise disk_full(address, hub_cache_folder(access), needed, free)


def _some(files: tuple[HubFile, ...]) -> str:
    names = ", ".join(file.path for file in files[:_NAMED])
    return names + (f" and {len(files) - _NAMED} more" if len(files) > _NAMED else "")
