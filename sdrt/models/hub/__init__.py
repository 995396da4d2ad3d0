"""Models of the Hugging Face Hub: an address becomes a folder or a file in the Hub's own cache, which holds what is needed and no more.

``address`` → ``listing`` (what the repository holds) → ``choosing`` (what of it is needed) → ``fetching``.
"""

from pathlib import Path

from sdrt.log import log
from sdrt.models.components import ComponentName
from sdrt.models.hub.access import DEFAULT_ACCESS, DownloadProgress, HubAccess
from sdrt.models.hub.address import Address, is_repo_id, means_repository, parse_address
from sdrt.models.hub.byte_sizes import in_words
from sdrt.models.hub.cached import CachedModel, cached_models
from sdrt.models.hub.choosing import choose_component, choose_file, choose_model, choose_single_file
from sdrt.models.hub.fetching import fetch
from sdrt.models.hub.folder_copy import download
from sdrt.models.hub.hub_file import HubFile, Listing
from sdrt.models.hub.listing import list_files
from sdrt.models.hub.wanted import Chosen, Wanted

__all__ = [
    "DEFAULT_ACCESS",
    "Address",
    "CachedModel",
    "Chosen",
    "DownloadProgress",
    "HubAccess",
    "HubFile",
    "Listing",
    "Wanted",
    "cached_models",
    "download",
    "fetch",
    "in_words",
    "is_repo_id",
    "list_files",
    "means_repository",
    "obtain_component",
    "obtain_model",
    "obtain_single_file",
    "parse_address",
]


def obtain_model(address: Address, wanted: Wanted, access: HubAccess) -> Path:
    """Fetch what a model needs, and return what to open: a folder, or a checkpoint.

    Raises
    ------
    SdrtError : see `list_files`, `choose_model` and `fetch`
    """
    listing = list_files(address, access)
    return _obtain(listing, choose_model(listing, wanted) if address.file is None else choose_file(listing, address.file), access)


def obtain_component(address: Address, component: ComponentName, wanted: Wanted, access: HubAccess) -> Path:
    """Fetch what one component needs, and return what to open: a folder, or a file.

    Raises
    ------
    SdrtError : see `list_files`, `choose_component` and `fetch`
    """
    listing = list_files(address, access)
    chosen = choose_component(listing, component, wanted) if address.file is None else choose_file(listing, address.file)
    return _obtain(listing, chosen, access)


def obtain_single_file(address: Address, wanted: Wanted, access: HubAccess, what: str, first: tuple[str, ...] = ()) -> Path:
    """Fetch one file, such as a LoRA's, and return it; see `choose_single_file`.

    Raises
    ------
    SdrtError : see `list_files`, `choose_single_file` and `fetch`
    """
    listing = list_files(address, access)
    chosen = choose_single_file(listing, wanted, what, first) if address.file is None else choose_file(listing, address.file)
    return _obtain(listing, chosen, access)


def _obtain(listing: Listing, chosen: Chosen, access: HubAccess) -> Path:
    if chosen.remark is not None:
        log.warning("%s: %s", listing.repo_id, chosen.remark)
    return fetch(listing, chosen.files, access) / chosen.place
