"""Which files of a repository of Core ML packages are needed: of one folder, the packages that will be opened and what lies beside them."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from sdrt.errors import MissingFileError
from sdrt.models.coreml.layout import Layout, assign_roles, is_package
from sdrt.models.coreml.names import CONTROLNET_RESOURCES, Role
from sdrt.models.hub.byte_sizes import in_words
from sdrt.models.hub.hub_file import Listing
from sdrt.models.hub.wanted import Chosen, Needs, Wanted

__all__ = ["choose_packages", "package_folders"]

# What is taken where several are there and none is named: it runs anywhere.
_FIRST = "original/packages"
# What Swift's package and this runtime read beside packages.
_BESIDE = (".json", ".txt")


def package_folders(paths: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """Return the folders that hold packages, and the packages in each, as paths in the repository; the empty name is the repository itself.

    ControlNets of Swift's package lie in a folder of their own beside the others, and belong to them.

    >>> dict(package_folders(["original/packages/a_unet.mlpackage/Manifest.json", "README.md"]))
    {'original/packages': frozenset({'original/packages/a_unet.mlpackage'})}
    """
    folders: dict[str, set[str]] = {}
    for package in filter(None, map(_package, paths)):
        parent = PurePosixPath(package).parent
        folder = parent.parent if parent.name == CONTROLNET_RESOURCES else parent
        folders.setdefault("" if folder == PurePosixPath() else folder.as_posix(), set()).add(package)
    return {folder: frozenset(packages) for folder, packages in folders.items()}


def choose_packages(listing: Listing, wanted: Wanted) -> Chosen:
    """Choose one folder of packages: the variant, else ``original/packages``, else the first; and in it what is needed.

    Raises
    ------
    MissingFileError : there is no such variant; the message names what there is, with sizes
    ModelError : packages of several models lie in one folder
    """
    folders = package_folders(listing.by_path)
    chosen = {folder: listing.pick(_needed(listing, folder, packages, wanted.needs)) for folder, packages in folders.items()}
    sizes = ", ".join(f"{folder or '.'} ({in_words(sum(file.size for file in files))})" for folder, files in chosen.items())
    if wanted.variant is None:
        folder = _FIRST if _FIRST in folders else next(iter(folders))
        text = f"{folder}, of {sizes} in {listing.repo_id}; variant= takes others"
        return Chosen(chosen[folder], folder, {"chosen packages": text} if len(folders) > 1 else {})
    named = {folder.replace("/", "_"): folder for folder in folders} | {folder: folder for folder in folders}
    if wanted.variant.strip("/") not in named:
        raise MissingFileError(f"{listing.repo_id}: has no packages of variant {wanted.variant!r}; pass one of {sizes}")
    folder = named[wanted.variant.strip("/")]
    return Chosen(chosen[folder], folder)


def _package(path: str) -> str | None:
    """Return the package that a file belongs to; None where it belongs to none."""
    above = [parent for parent in PurePosixPath(path).parents if is_package(parent)]
    return above[-1].as_posix() if above else None


def _needed(listing: Listing, folder: str, packages: frozenset[str], needs: Needs) -> Iterator[str]:
    """Return the paths of the files of a folder's packages that will be opened, and of vocabularies and configurations beside them."""
    where = PurePosixPath(folder)
    paths = [PurePosixPath(package) for package in sorted(packages)]
    layout = assign_roles(where, (path for path in paths if path.parent == where), (path for path in paths if path.parent != where))
    opened = packages if layout is None else {path.as_posix() for path in _opened(layout, needs)}
    for path in listing.by_path:
        package, beside = _package(path), PurePosixPath(path)
        if package in opened or (package is None and beside.parent == where and beside.suffix in _BESIDE):
            yield path


def _opened(layout: Layout[PurePosixPath], needs: Needs) -> Iterator[PurePosixPath]:
    for role, paths in layout.roles.items():
        if _is_needed(role, layout, needs):
            yield from paths
    for name in layout.controlnets if needs.controlnets is None else needs.controlnets:
        yield from layout.controlnet(name) or ()


def _is_needed(role: Role, layout: Layout[PurePosixPath], needs: Needs) -> bool:
    if role == "refiner":
        return needs.refiner
    if role == "control_unet" and "unet" in layout.roles:
        return needs.controlnets != ()
    # the shapes of the others are where configurations come from
    return role != "safety_checker" or "safety_checker" not in needs.without
