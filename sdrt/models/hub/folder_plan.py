"""Which files of a repository a download into a folder gets, and under which names: pure functions of the repository's list."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from sdrt.errors import ConfigError, ModelError
from sdrt.models.base import Pickled
from sdrt.models.hub.address import Address
from sdrt.models.hub.choosing import choose_file, choose_folder, choose_model
from sdrt.models.hub.choosing_packages import package_folders
from sdrt.models.hub.hub_file import HubFile, Listing
from sdrt.models.hub.wanted import Chosen, Wanted
from sdrt.values import Choice, Flag, Nullable, Text

__all__ = ["FolderPlan", "Selection", "folder_name", "plan_folder"]

_VARIANT = Nullable(Text(200, empty=False))
_EVERYTHING = Flag()
_PICKLED = Choice("refuse", "weights_only")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What of a repository is wanted.

    Parameters
    ----------
    variant : str or None
        A folder of the repository, whose files stand at the top of the new one (``"original/packages"``); or a variant of weights.
    everything : bool
        Every file, where it stands in the repository.
    pickled : "refuse" or "weights_only"
        Whether pickled weights will do where there are no others.

    Raises
    ------
    ConfigError : a value of another kind, or a variant of everything
    """

    variant: str | None = None
    everything: bool = False
    pickled: Pickled = "refuse"

    def __post_init__(self) -> None:
        _VARIANT.check("variant", self.variant)
        _EVERYTHING.check("everything", self.everything)
        _PICKLED.check("pickled", self.pickled, "choose one of those")
        if self.everything and self.variant is not None:
            raise ConfigError(f"variant {self.variant!r} chooses some files, and everything (--all) all of them; leave one of them out")

    def check_alone(self, address: Address) -> None:
        """Check that nothing is selected beside one file.

        Raises
        ------
        ConfigError : something is
        """
        if address.file is not None and (self.everything or self.variant is not None):
            raise ConfigError(f"{address}: names one file; leave out variant and everything (--all)")


@dataclass(frozen=True)
class FolderPlan:
    """What is fetched.

    Parameters
    ----------
    files : mapping from path to HubFile
        Where each goes, in the new folder.
    remark : str or None
        What was assumed.
    """

    files: Mapping[str, HubFile]
    remark: str | None = None


def folder_name(address: Address, variant: str | None) -> str:
    """Return what the new folder is called, or the file where the address names one.

    The form is that of the helper in the README of Apple's ml-stable-diffusion: name and variant, with underscores.

    >>> folder_name(Address("apple/coreml-stable-diffusion-v1-4"), "original/packages")
    'coreml-stable-diffusion-v1-4_original_packages'
    >>> folder_name(Address("someone/loras", file="styles/ink.safetensors"), None)
    'ink.safetensors'
    """
    if address.file is not None:
        return PurePosixPath(address.file).name
    name = address.repo_id.rpartition("/")[2]
    return f"{name}_{variant.strip('/').replace('/', '_')}" if variant else name


def plan_folder(listing: Listing, address: Address, selection: Selection) -> FolderPlan:
    """Choose the files: a folder of the repository, or what a model in it needs, or everything.

    Raises
    ------
    MissingFileError : there is no such variant or file; the message names those that are, with sizes
    ModelError : it has nothing that may be a model, or several
    """
    if address.file is not None:
        file = choose_file(listing, address.file).files[0]
        return FolderPlan({folder_name(address, None): file})
    if selection.everything:
        if not listing.files:
            raise ModelError(f"{address}: the repository is empty; check its name and revision")
        return FolderPlan({file.path: file for file in listing.files})
    if selection.variant is not None and (below := _below(listing, selection.variant)):
        return FolderPlan(below)
    chosen = _choose(listing, selection)
    # packages stand at the top of the new folder, wherever they lie in the repository
    folder = f"{chosen.place}/" if chosen.place and chosen.place not in listing.by_path else ""
    return FolderPlan({file.path.removeprefix(folder): file for file in chosen.files}, next(iter(chosen.remarks.values()), None))


def _below(listing: Listing, variant: str) -> dict[str, HubFile]:
    prefix = f"{variant.strip('/')}/"
    return {file.path.removeprefix(prefix): file for file in listing.files if file.path.startswith(prefix)}


def _choose(listing: Listing, selection: Selection) -> Chosen:
    wanted = Wanted(variant=selection.variant, pickled=selection.pickled)
    whole = any(file.path.startswith("unet/") for file in listing.files) or package_folders(listing.by_path)
    if "config.json" in listing.by_path and not whole:
        return choose_folder(listing, "", wanted)
    return choose_model(listing, wanted)
