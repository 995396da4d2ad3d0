"""What a repository holds: the Hub is asked, and the cache where the Hub cannot be reached."""

import logging
from typing import TYPE_CHECKING, Any

from sdrt.errors import ModelError
from sdrt.log import log
from sdrt.models.hub.access import HubAccess, endpoint, is_offline, require_client
from sdrt.models.hub.address import Address
from sdrt.models.hub.commits import is_commit
from sdrt.models.hub.failures import OFFLINE, UnreachableError, clear_failures
from sdrt.models.hub.hub_file import HubFile, Listing
from sdrt.models.hub.repository_cache import RepositoryCache
from sdrt.models.hub.silence import forget_silence, note_silence, recent_silence

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["list_files"]

_MAIN = "main"


def list_files(address: Address, access: HubAccess) -> Listing:
    """List the files of a repository at the revision that the address or the access names, or at its main branch.

    A commit whose list is in the cache is not asked for again. Where the Hub does not answer, or refuses, the cache answers if it can.

    Raises
    ------
    MissingExtraError : huggingface_hub is not installed
    MissingFileError : neither the Hub nor the cache knows it
    ModelError : no repository can have this name
    ConfigError : the address and the access name different revisions
    """
    require_client(f"{address}: no such folder, and a model of this name on the Hub needs the Hub's client")
    address = address.at(access.revision)
    revision = address.revision or _MAIN
    cache = RepositoryCache(access.cache, address.repo_id)
    if is_commit(revision) and (listed := cache.listed_files(revision)) is not None:
        return Listing(address.repo_id, revision, listed, revision, OFFLINE if is_offline() else None)
    commit = cache.commit(revision)
    if commit is not None and (reason := recent_silence(endpoint())) is not None:
        return _cached(address, revision, cache, commit, reason)
    try:
        with clear_failures(address, access):
            listing = _ask(address, revision, access)
    except UnreachableError as error:
        if error.silent:
            note_silence(endpoint(), error.reason)
        if commit is None:
            raise
        return _cached(address, revision, cache, commit, error.reason)
    forget_silence(endpoint())
    return listing


def _cached(address: Address, revision: str, cache: RepositoryCache, commit: str, reason: str) -> Listing:
    # who set the switch knows it
    log.log(logging.INFO if reason == OFFLINE else logging.WARNING, "%s: working from the cache, since %s", address, reason)
    return Listing(address.repo_id, commit, cache.files(commit), revision, reason)


def _ask(address: Address, revision: str, access: HubAccess) -> Listing:
    from huggingface_hub import HfApi, constants, hf_hub_url
    from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError

    # refuses names that no repository can have, offline too
    hf_hub_url(address.repo_id, "config.json")
    if is_offline():
        raise OfflineModeIsEnabled
    client = HfApi(endpoint=endpoint(), token=access.token)
    try:
        info = client.model_info(address.repo_id, revision=revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except RepositoryNotFoundError:
        _check_is_no_dataset(client, address)
        raise
    return Listing(address.repo_id, info.sha or "", tuple(map(_file, info.siblings or ())), revision)


def _check_is_no_dataset(client: "HfApi", address: Address) -> None:
    """Say what a name is that no model has.

    Raises
    ------
    ModelError : it is that of a dataset
    """
    if client.repo_exists(address.repo_id, repo_type="dataset"):
        raise ModelError(f"{address}: must be a repository of a model, got one of a dataset; check the name")


def _file(sibling: Any) -> HubFile:
    lfs = sibling.lfs
    size = sibling.size if lfs is None else lfs.size
    return HubFile(sibling.rfilename, size, None if lfs is None else lfs.sha256, sibling.blob_id)
