"""Which files of a repository of Core ML packages are needed: one folder of packages, and in it none that another stands before."""

from collections.abc import Iterable, Mapping

from sdrt.errors import MissingFileError
from sdrt.models.coreml.layout import PACKAGE_SUFFIXES
from sdrt.models.coreml.names import CONTROLNET_RESOURCES
from sdrt.models.hub.byte_sizes import in_words
from sdrt.models.hub.hub_file import HubFile, Listing
from sdrt.models.hub.wanted import Chosen, Wanted

__all__ = ["choose_packages", "package_folders"]

# What is taken where several are there and none is named: it runs anywhere.
_FIRST = "original/packages"


def package_folders(files: Iterable[HubFile]) -> Mapping[str, tuple[HubFile, ...]]:
    """Return the folders that hold packages, and all files in each but archives; the empty name is the repository itself.

    ControlNets of Swift's package lie in a folder of their own beside the others, and belong to them.
    """
    files = tuple(files)
    folders = dict.fromkeys(folder for file in files if (folder := _folder(file.path)) is not None)
    return {folder: tuple(file for file in files if _is_below(file.path, folder) and not file.path.endswith(".zip")) for folder in folders}


def choose_packages(listing: Listing, wanted: Wanted) -> Chosen:
    """Choose one folder of packages: the variant, else ``original/packages``, else the first.

    Raises
    ------
    MissingFileError : there is no such variant; the message names what there is, with sizes
    """
    folders = package_folders(listing.files)
    sizes = ", ".join(f"{folder or '(the top)'} ({in_words(sum(file.size for file in files))})" for folder, files in folders.items())
    if wanted.variant is None:
        folder = _FIRST if _FIRST in folders else next(iter(folders))
        remark = f"{folder}, of {sizes}; variant= chooses another" if len(folders) > 1 else None
    elif wanted.variant.strip("/") in folders:
        folder, remark = wanted.variant.strip("/"), None
    else:
        raise MissingFileError(f"{listing.repo_id}: has no packages of variant {wanted.variant!r}; pass one of {sizes}")
    return Chosen(folders[folder], folder, remark)


def _folder(path: str) -> str | None:
    """Return the folder of the package that a file belongs to; None where it belongs to none."""
    parts = path.split("/")
    depth = next((depth for depth, part in enumerate(parts) if part.endswith(PACKAGE_SUFFIXES)), None)
    if depth is None:
        return None
    if depth and parts[depth - 1] == CONTROLNET_RESOURCES:
        depth -= 1
    return "/".join(parts[:depth])


def _is_below(path: str, folder: str) -> bool:
    """Whether a file belongs to a folder of packages: to one of them, or it lies beside them."""
    parent = path.rpartition("/")[0]
    return _folder(path) == folder or parent == folder
