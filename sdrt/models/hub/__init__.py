"""Models of the Hugging Face Hub: an address becomes a folder or a file in the Hub's own cache, which holds what is needed and no more.

``address`` → ``listing`` (what the repository holds) → ``choosing`` (what of it is needed) → ``fetching``.
"""

from typing import TYPE_CHECKING

from sdrt.late import late_names
from sdrt.models.hub.access import DEFAULT_ACCESS, DownloadProgress, HubAccess
from sdrt.models.hub.address import Address, check_revision, is_repo_id, means_repository, parse_address
from sdrt.models.hub.byte_sizes import in_words
from sdrt.models.hub.commits import commit_of
from sdrt.models.hub.hub_file import HubFile, Listing
from sdrt.models.hub.obtaining import (
    Obtained,
    local_embedding,
    local_ip_adapter,
    local_lora,
    obtain_component,
    obtain_model,
    obtain_upscaler,
)
from sdrt.models.hub.wanted import ALL_NEEDED, Chosen, Needs, Wanted

if TYPE_CHECKING:
    from sdrt.models.hub.cached import CachedModel, cached_models, cached_repositories
    from sdrt.models.hub.fetching import fetch
    from sdrt.models.hub.folder_copy import download
    from sdrt.models.hub.listing import list_files

__all__ = [
    "ALL_NEEDED",
    "DEFAULT_ACCESS",
    "Address",
    "CachedModel",
    "Chosen",
    "DownloadProgress",
    "HubAccess",
    "HubFile",
    "Listing",
    "Needs",
    "Obtained",
    "Wanted",
    "cached_models",
    "cached_repositories",
    "check_revision",
    "commit_of",
    "download",
    "fetch",
    "in_words",
    "is_repo_id",
    "list_files",
    "local_embedding",
    "local_ip_adapter",
    "local_lora",
    "means_repository",
    "obtain_component",
    "obtain_model",
    "obtain_upscaler",
    "parse_address",
]

# What opening a model of this disk does not need.
__getattr__ = late_names(
    __name__,
    {
        "CachedModel": "cached",
        "cached_models": "cached",
        "cached_repositories": "cached",
        "download": "folder_copy",
        "fetch": "fetching",
        "list_files": "listing",
    },
)
