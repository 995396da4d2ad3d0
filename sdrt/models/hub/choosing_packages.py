"""Choose the files of a repository of Core ML packages: of one folder, the packages that will be opened and what lies beside them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import PurePosixPath

from sdrt.errors import ConfigError, MissingFileError, ModelError
from sdrt.models.coreml.layout import Layout, assign_roles, is_package
from sdrt.models.coreml.names import CONTROLNET_RESOURCES, Role
from sdrt.models.hub.byte_sizes import in_words
from sdrt.models.hub.hub_file import Listing
from sdrt.models.hub.wanted import Chosen, Needs, Wanted

__all__ = ["choose_packages", "package_folders"]

# The folder that is taken where there are several and none is named: its packages run anywhere.
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
    ConfigError : no such ControlNet
    """
    folders = {folder: _Folder(listing, folder, packages) for folder, packages in package_folders(listing.by_path).items()}
    chosen = {name: listing.pick(folder.needed(wanted.needs)) for name, folder in folders.items()}
    sizes = ", ".join(f"{name or '.'} ({in_words(sum(file.size for file in files))})" for name, files in chosen.items())
    remarks = {}
    if wanted.variant is None:
        name = _FIRST if _FIRST in folders else next(iter(folders))
        if len(folders) > 1:
            remarks = {"chosen packages": f"{name}, of {sizes} in {listing.repo_id}; variant= takes others"}
    else:
        names = {name.replace("/", "_"): name for name in folders} | {name: name for name in folders}
        if wanted.variant.strip("/") not in names:
            raise MissingFileError(f"{listing.repo_id}: has no packages of variant {wanted.variant!r}; pass one of {sizes}")
        name = names[wanted.variant.strip("/")]
    folders[name].check_controlnets(wanted.needs)
    return Chosen(chosen[name], name, remarks)


def _package(path: str) -> str | None:
    """Return the package that a file belongs to; None where it belongs to none."""
    above = [parent for parent in PurePosixPath(path).parents if is_package(parent)]
    return above[-1].as_posix() if above else None


class _Folder:
    """A folder of packages in a repository's list."""

    def __init__(self, listing: Listing, name: str, packages: frozenset[str]) -> None:
        self._listing, self._packages = listing, packages
        self._place = PurePosixPath(name)
        paths = [PurePosixPath(package) for package in sorted(packages)]
        self._layout: Layout[PurePosixPath] | None = None
        # what is wrong with packages is said where they are opened
        with suppress(ModelError):
            inside = (path for path in paths if path.parent == self._place)
            self._layout = assign_roles(self._place, inside, (path for path in paths if path.parent != self._place))

    def needed(self, needs: Needs) -> Iterator[str]:
        """Return the paths of the files of packages that will be opened, and of vocabularies and configurations beside them."""
        opened = self._packages if self._layout is None else {path.as_posix() for path in _opened(self._layout, needs)}
        for path in self._listing.by_path:
            package, beside = _package(path), PurePosixPath(path)
            if package in opened or (package is None and beside.parent == self._place and beside.suffix in _BESIDE):
                yield path

    def check_controlnets(self, needs: Needs) -> None:
        """Check that the ControlNets that are named are there, except packages elsewhere.

        Raises
        ------
        ConfigError : one is not
        """
        if (layout := self._layout) is None:
            return
        for name in needs.controlnets or ():
            if layout.controlnet(name) is None and not is_package(PurePosixPath(name)):
                own = ", ".join(layout.controlnets) or "none"
                raise ConfigError(
                    f"{self._listing.repo_id}: controlnet must be one of its own ({own}) or the path of a package, got {name!r}; "
                    "pass one of those"
                )


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
