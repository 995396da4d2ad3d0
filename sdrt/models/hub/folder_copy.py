"""Download a repository, or a part of it, into a folder of plain files: all of them or none.

Until everything is there the files lie in a hidden folder beside the new one, ``.NAME.KEY.part``, where KEY stands for the commit and the
choice of files. A call that was interrupted, or killed, is continued by the next one of the same kind. The folder is locked while a process
works in it.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdrt.errors import ConfigError, MissingFileError, WeightsError
from sdrt.files import exists, user_path
from sdrt.host import lock_file
from sdrt.log import log
from sdrt.models.base import Pickled
from sdrt.models.embedded import EMBEDDED
from sdrt.models.hub.access import DownloadProgress, HubAccess, require_client
from sdrt.models.hub.address import Address, parse_address
from sdrt.models.hub.failures import DownloadFolder, UnreachableError, clear_failures, disk_full
from sdrt.models.hub.folder_plan import FolderPlan, Selection, folder_name, plan_folder
from sdrt.models.hub.hashes import check_content
from sdrt.models.hub.hub_file import HubFile, Listing
from sdrt.models.hub.listing import list_files
from sdrt.models.hub.repository_cache import RepositoryCache
from sdrt.models.hub.transfer import Report, free_space, kept_bytes, number_of_files, receive, transfer
from sdrt.printable import shown

__all__ = ["download"]

_CHOOSE = "another output folder"

# The address of a model's page, or of a page below it.
_PAGE = re.compile(r"https?://[^/]+/([\w.-]+/[\w.-]+)", re.IGNORECASE)


def download(
    repository: str,
    output: str | Path = ".",
    *,
    variant: str | None = None,
    everything: bool = False,
    revision: str | None = None,
    pickled: Pickled = "refuse",
    cache_dir: str | Path | None = None,
    token: str | None = None,
    on_download: Callable[[DownloadProgress], Any] | None = None,
) -> Path:
    """Download a repository of the Hugging Face Hub into a new folder, and return its path.

    ``sdrt.load`` needs no download: it fetches what it needs into the Hub's cache. This makes a folder of plain files, for other programs
    and other machines. A call that was interrupted goes on where it ended.

    Parameters
    ----------
    repository : str
        ``owner/name``, ``owner/name@revision``, or ``owner/name::path/of/one/file``.
    output : path
        The folder in which the new one is made.
    variant : str or None
        A folder of the repository, such as ``"original/packages"``: its files alone, in a folder called ``name_original_packages``, as the
        helper in the README of Apple's ml-stable-diffusion makes it. Or a variant of weights, such as ``"fp16"``. None: what a model needs,
        with one set of weights.
    everything : bool
        Every file of the repository.
    revision : str or None
        A branch, a tag or a commit, if ``repository`` names none.
    pickled : "refuse" or "weights_only"
        Whether pickled weights will do where there are no others.
    cache_dir : path or None
        The Hub's cache, whose files are copied instead of fetched; None is the Hub client's own cache.
    token : str or None
        A Hub access token; None is ``HF_TOKEN``, or the login of the Hub's client.
    on_download : callable or None
        Called with a `DownloadProgress` before the first byte and after each piece; what it raises cancels the download.

    Returns
    -------
    Path
        Of the folder, or of the file if ``repository`` names one.

    Raises
    ------
    ConfigError : no repository has such a name, or something is there already
    MissingFileError : the Hub cannot be reached, refuses, or has no such repository, revision, variant or file
    WeightsError : what arrived is not what the Hub lists
    ModelError : the disk is too small, or refuses
    MissingExtraError : huggingface_hub is not installed
    """
    address = _address(repository).at(revision)
    require_client(f"{address}: a download needs the Hub's client")
    selection = Selection(variant=variant, everything=everything, pickled=pickled)
    selection.check_alone(address)
    folder = user_path("output", output)
    place = folder / folder_name(address, variant)
    _check_is_new(place)
    cache = None if cache_dir is None else user_path("cache_dir", cache_dir)
    access = HubAccess(cache_dir=cache, token=token, on_download=on_download)
    listing = _list(address, access)
    plan = plan_folder(listing, address, selection)
    if plan.remark is not None:
        log.warning("%s: %s", address, plan.remark)
    into = DownloadFolder(folder, _CHOOSE)
    with clear_failures(address, access, into), _new_folders(folder), _work_folder(place, listing, plan) as work:
        _Copy(address, listing, plan, access, into, work).run()
        _check_is_new(place)
        (work / next(iter(plan.files)) if address.file is not None else work).rename(place)
    return place


def _address(repository: object) -> Address:
    if isinstance(repository, str) and repository in EMBEDDED:
        raise ConfigError(f"{repository} is embedded in sdrt, and needs no download; pass its name wherever a model is asked for")
    address = parse_address(repository) if isinstance(repository, str) else None
    if address is None:
        page = _PAGE.match(repository) if isinstance(repository, str) else None
        repair = f"pass {page[1]}" if page else "copy the name from the model's page"
        raise ConfigError(f"repository must be owner/name, owner/name@revision or owner/name::file, got {shown(repository)}; {repair}")
    return address


def _list(address: Address, access: HubAccess) -> Listing:
    try:
        return list_files(address, access)
    except UnreachableError as error:
        # no folder was meant, so none is missing
        raise UnreachableError(str(address), error.reason, error.repair) from error


def _check_is_new(place: Path) -> None:
    if exists(place):
        raise ConfigError(f"{place}: is there already; remove it or give it another name, or choose {_CHOOSE}")


@contextmanager
def _new_folders(folder: Path) -> Iterator[None]:
    """Make a folder, and remove it after an error if nothing is in it."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for each in made:
            with suppress(OSError):
                each.rmdir()
        raise


@contextmanager
def _work_folder(place: Path, listing: Listing, plan: FolderPlan) -> Iterator[Path]:
    """Make or find the folder of unfinished files, and hold its lock; after an error it stays if anything has arrived in it.

    Raises
    ------
    ConfigError : another process works in it
    OSError : the disk refuses
    """
    chosen = "\n".join([listing.commit, *sorted(plan.files)])
    part = place.with_name(f".{place.name}.{hashlib.sha256(chosen.encode()).hexdigest()[:8]}.part")
    for folder in (part, part / "files", part / "arriving"):
        folder.mkdir(exist_ok=True)
    with (part / "lock").open("ab") as lock:
        try:
            lock_file(lock.fileno())
        except BlockingIOError:
            raise ConfigError(f"{place}: another process is downloading it; wait for that, or choose {_CHOOSE}") from None
        except OSError:
            log.debug("%s: its disk has no locks", part)
        try:
            yield part / "files"
        except BaseException:
            if any(path.is_file() and path.stat().st_size for name in ("files", "arriving") for path in (part / name).rglob("*")):
                raise
            shutil.rmtree(part, ignore_errors=True)
            raise
    shutil.rmtree(part, ignore_errors=True)


@dataclass(frozen=True)
class _Copy:
    """One download: what is fetched, and the folder that it fills."""

    address: Address
    listing: Listing
    plan: FolderPlan
    access: HubAccess
    into: DownloadFolder
    folder: Path

    def run(self) -> None:
        """Copy from the cache what it has, and fetch the rest; what is there already stays.

        Raises
        ------
        ModelError : the disk is too small
        MissingFileError : files are missing, and the Hub cannot be asked
        """
        lacking = {path: file for path, file in self.plan.files.items() if not self._is_there(path, file)}
        self._check_reachable(lacking)
        self._check_disk_space(lacking)
        # one file of the repository has one place
        paths = {file.path: path for path, file in lacking.items() if not self._copy_from_cache(path, file)}
        if not paths:
            return
        files = self.listing.pick(paths)
        log.info("%s: fetching %s into %s", self.address, number_of_files(files), self.folder)
        transfer(self.listing, files, self.access, lambda file, report: self._fetch(paths[file.path], file, report))

    def _is_there(self, path: str, file: HubFile) -> bool:
        place = self.folder / path
        return place.is_file() and place.stat().st_size == file.size

    def _arriving(self, path: str) -> Path:
        return self.folder.parent / "arriving" / hashlib.sha256(path.encode()).hexdigest()[:16]

    def _fetch(self, path: str, file: HubFile, report: Report) -> None:
        receive(self.listing, file, self._arriving(path), self.access, report)
        self._put(path)

    def _copy_from_cache(self, path: str, file: HubFile) -> bool:
        """Copy a file that the Hub's cache has, and return whether it has it whole."""
        cached = self._cached(file)
        if cached is None:
            return False
        shutil.copyfile(cached, self._arriving(path))
        try:
            check_content(self._arriving(path), file, self.listing.repo_id)
        except WeightsError:
            # damaged there, and fetched here
            return False
        self._put(path)
        return True

    def _put(self, path: str) -> None:
        """Give a file that is there and checked its place."""
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        self._arriving(path).replace(place)

    def _cached(self, file: HubFile) -> Path | None:
        """Return where the Hub's cache holds a file: its blob, which other commits may have brought, or the file where links cannot be."""
        cache = RepositoryCache(self.access.cache, self.listing.repo_id)
        places = (cache.blob(file), cache.snapshot(self.listing.commit) / file.path)
        return next((place for place in places if place.is_file() and place.stat().st_size == file.size), None)

    def _check_reachable(self, lacking: dict[str, HubFile]) -> None:
        if self.listing.unreachable is None:
            return
        if gone := [file.path for file in lacking.values() if self._cached(file) is None]:
            raise MissingFileError(
                f"{self.address}: the cache lacks {gone[0]}, and {self.listing.unreachable}; download it when the Hub can be reached"
            )

    def _check_disk_space(self, lacking: dict[str, HubFile]) -> None:
        needed = sum(file.size - kept_bytes(self._arriving(path), file) for path, file in lacking.items())
        free = free_space(self.folder)
        if needed > free:
            raise disk_full(self.address, self.into, needed, free)
