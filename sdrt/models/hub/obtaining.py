"""From an address to what is to be opened: the list, the choice, and the fetching of what was chosen.

The modules that do it are imported when an address is met: most models are on this disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.files import user_path
from sdrt.models.base import Pickled
from sdrt.models.components import ComponentName
from sdrt.models.hub.access import HubAccess
from sdrt.models.hub.address import Address, means_repository, parse_address
from sdrt.models.hub.wanted import Chosen, Wanted

if TYPE_CHECKING:
    from sdrt.models.hub.hub_file import Listing

__all__ = ["Obtained", "local_embedding", "local_ip_adapter", "local_lora", "obtain_component", "obtain_model", "obtain_upscaler"]

# Names that trainers give to every LoRA and embedding.
_LORA_FILES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
_EMBEDDING_FILES = ("learned_embeds.safetensors",)


@dataclass(frozen=True)
class Obtained:
    """What was fetched.

    Parameters
    ----------
    path : Path
        What to open: a folder, or a file.
    remarks : mapping from topic to sentence
        What was assumed.
    """

    path: Path
    remarks: Mapping[str, str]


def obtain_model(address: Address, wanted: Wanted, access: HubAccess) -> Obtained:
    """Fetch what a model needs, and return what to open: a folder, or a checkpoint.

    Raises
    ------
    SdrtError : see `list_files`, `choose_model` and `fetch`
    """
    from sdrt.models.hub.choosing import choose_file, choose_model
    from sdrt.models.hub.listing import list_files

    listing = list_files(address, access)
    return _obtain(listing, choose_model(listing, wanted) if address.file is None else choose_file(listing, address.file), access)


def obtain_component(address: Address, component: ComponentName, wanted: Wanted, access: HubAccess) -> Obtained:
    """Fetch what one component needs, and return what to open: a folder, or a file.

    Raises
    ------
    SdrtError : see `list_files`, `choose_component` and `fetch`
    """
    from sdrt.models.hub.choosing import choose_component, choose_file, choose_folder
    from sdrt.models.hub.listing import list_files

    listing = list_files(address, access)
    if address.file is not None and f"{address.file}/config.json" in listing.by_path:
        # one of several folders
        chosen = choose_folder(listing, address.file, wanted)
        return _obtain(listing, replace(chosen, place=address.file), access)
    chosen = choose_component(listing, component, wanted) if address.file is None else choose_file(listing, address.file)
    return _obtain(listing, chosen, access)


def obtain_upscaler(address: Address, wanted: Wanted, access: HubAccess) -> Obtained:
    """Fetch the file of an upscaler: the one that the address names, or the repository's only file of weights.

    Raises
    ------
    SdrtError : see `list_files`, `choose_single_file` and `fetch`
    """
    from sdrt.models.hub.choosing import choose_file, choose_single_file
    from sdrt.models.hub.listing import list_files

    listing = list_files(address, access)
    chosen = choose_single_file(listing, wanted, "an upscaler") if address.file is None else choose_file(listing, address.file)
    return _obtain(listing, chosen, access)


def local_lora(source: str | Path, access: HubAccess) -> tuple[Path, str | None]:
    """Return the file of a LoRA, fetched if a repository has it, and the name that it goes by; None where that is the file's own.

    Of a repository it is ``pytorch_lora_weights.safetensors``, or the only file of weights. One that every repository names so goes by the
    repository's name.

    Raises
    ------
    SdrtError : see `list_files`, `choose_single_file` and `fetch`
    """
    if (address := _address(source)) is None:
        return Path(source), None
    file = _single_file(address, access, "a LoRA", _LORA_FILES)
    return file, address.repo_id.partition("/")[2] if file.name in _LORA_FILES else None


def local_embedding(source: str | Path, access: HubAccess) -> Path:
    """Return the file of a textual inversion, fetched if a repository has it: ``learned_embeds.safetensors``, or the only file of weights.

    Raises
    ------
    SdrtError : see `list_files`, `choose_single_file` and `fetch`
    """
    address = _address(source)
    return Path(source) if address is None else _single_file(address, access, "an embedding", _EMBEDDING_FILES)


def local_ip_adapter(source: str | Path, access: HubAccess, pickled: Pickled) -> Path:
    """Return the file of an IP-Adapter, fetched if a repository has it: one that is named, or the only file of weights.

    Raises
    ------
    SdrtError : see `list_files`, `choose_single_file` and `fetch`
    """
    address = _address(source)
    return user_path("ip_adapter", source) if address is None else _single_file(address, access, "an IP-Adapter", (), pickled)


def _address(source: str | Path) -> Address | None:
    return parse_address(source) if isinstance(source, str) and means_repository(source) else None


def _single_file(address: Address, access: HubAccess, what: str, first: tuple[str, ...], pickled: Pickled = "refuse") -> Path:
    from sdrt.models.hub.choosing import choose_file, choose_single_file
    from sdrt.models.hub.listing import list_files

    listing = list_files(address, access)
    wanted = Wanted(pickled=pickled)
    chosen = choose_single_file(listing, wanted, what, first) if address.file is None else choose_file(listing, address.file)
    return _obtain(listing, chosen, access).path


def _obtain(listing: "Listing", chosen: Chosen, access: HubAccess) -> Obtained:
    from sdrt.models.hub.fetching import fetch

    return Obtained(fetch(listing, chosen.files, access) / chosen.place, chosen.remarks)
