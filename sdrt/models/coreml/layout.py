"""Which packages a folder holds, and what each is for: as converters name them, or in the Resources folder of Swift's package."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Generic, TypeVar

from sdrt.errors import ConfigError, MissingFileError, ModelError
from sdrt.files import entries, exists, is_folder
from sdrt.models.coreml.names import (
    CONTROLNET_PREFIX,
    CONTROLNET_RESOURCES,
    PREFIX,
    RESOURCES,
    SUFFIXES,
    TRANSFORMERS,
    Role,
    controlnet_resource,
)

__all__ = ["PACKAGE_SUFFIXES", "Layout", "assign_roles", "find_layout", "holds_transformer", "is_package"]

# Paths on this disk, or the paths of a list.
_Pure = TypeVar("_Pure", bound=PurePath)

# A package in its own form goes before a compiled one of the same name: only the compiler's version is in the other.
PACKAGE_SUFFIXES = (".mlpackage", ".mlmodelc")

_CHUNKS = ("1", "2")

# What archives of macOS hold beside everything: files that begin with "._", and this folder of them.
_RESOURCE_FORKS = "__MACOSX"


@dataclass(frozen=True, kw_only=True)
class Layout(Generic[_Pure]):
    """The packages of a folder, on this disk or in a list.

    Parameters
    ----------
    path : Path
        The folder in which they lie, which may be below the one that was named.
    roles : mapping from role to paths
        One path, or two halves in their order.
    controlnets : mapping from name to paths
        By the stem of the file, without ``ControlNet_``.
    """

    path: _Pure
    roles: Mapping[Role, tuple[_Pure, ...]]
    controlnets: Mapping[str, tuple[_Pure, ...]] = field(default_factory=dict)

    def controlnet(self, name: str) -> tuple[_Pure, ...] | None:
        """Find the packages of a ControlNet by its name, in any of the spellings in which converters write it."""
        for spelling in (name, name.removeprefix(CONTROLNET_PREFIX), name.replace("/", "_"), controlnet_resource(name)):
            if spelling in self.controlnets:
                return self.controlnets[spelling]
        return None


def is_package(path: PurePath) -> bool:
    """Whether a path is that of one package."""
    return path.suffix in PACKAGE_SUFFIXES


def holds_transformer(path: Path) -> bool:
    """Whether a folder has the package of a transformer in the place of a U-Net, as Stable Diffusion 3 does."""
    return any(stem.endswith(TRANSFORMERS) for stem in _stems(entries(path)))


def find_layout(path: Path, variant: str | None = None) -> Layout[Path] | None:
    """Find the packages in a folder, or at most two folders below it (``original/packages``); None where there are none.

    Parameters
    ----------
    path : Path
    variant : str or None
        The folder below, as a path from there, where several hold packages.

    Raises
    ------
    ConfigError : several folders below hold packages, and none is named; or none of them has this name
    MissingFileError : only one half of a network is there
    ModelError : packages of several models lie side by side
    """
    if not is_folder(path) or is_package(path) or exists(path / "model_index.json"):
        return None
    if layout := _read(path):
        return layout
    below = [layout for folder in _nested(path) if (layout := _read(folder))]
    names = [layout.path.relative_to(path).as_posix() for layout in below]
    if variant is not None and below:
        if variant.strip("/") not in names:
            raise ConfigError(f"{path}: has no packages of variant {variant!r}; pass one of {', '.join(names)}")
        return below[names.index(variant.strip("/"))]
    if len(below) > 1:
        paths = ", ".join(str(layout.path) for layout in below)
        raise ConfigError(f"{path}: several folders hold Core ML packages; pass one of {paths}, or its name ({names[0]}) as variant")
    return below[0] if below else None


def _nested(path: Path) -> Iterator[Path]:
    for folder in entries(path):
        if is_folder(folder) and not is_package(folder) and folder.name != _RESOURCE_FORKS:
            yield folder
            yield from (each for each in entries(folder) if is_folder(each) and not is_package(each))


def _read(folder: Path) -> Layout[Path] | None:
    return assign_roles(folder, entries(folder), entries(inner) if is_folder(inner := folder / CONTROLNET_RESOURCES) else ())


def assign_roles(folder: _Pure, inside: Iterable[_Pure], controlnets: Iterable[_Pure]) -> Layout[_Pure] | None:
    """Find out what each package of a folder is for, by the names alone; None where none is for anything.

    Parameters
    ----------
    folder : path
    inside : iterable of paths
        What lies in the folder.
    controlnets : iterable of paths
        What lies in its folder of ControlNets.

    Raises
    ------
    MissingFileError : only one half of a network is there
    ModelError : packages of several models lie side by side
    """
    stems = _stems(inside)
    named = _converted(folder, stems)
    roles = named or {role: paths for role in RESOURCES if (paths := _resource(folder, stems, role))}
    found = {
        base.removeprefix(CONTROLNET_PREFIX): paths
        for base in sorted({_base(stem) for stem in stems if stem.startswith(CONTROLNET_PREFIX)})
        if (paths := _whole(folder, stems, base, "_chunk"))
    }
    found |= {stem: (path,) for stem, path in _stems(controlnets).items()}
    return Layout(path=folder, roles=roles, controlnets=found) if roles else None


def _stems(inside: Iterable[_Pure]) -> dict[str, _Pure]:
    """Return packages by stem."""
    packages = [path for path in inside if is_package(path) and not path.name.startswith(".")]
    return {path.stem: path for suffix in reversed(PACKAGE_SUFFIXES) for path in packages if path.suffix == suffix}


def _base(stem: str) -> str:
    """Return a stem without the mark of its half."""
    for end in (*(f"_chunk{number}" for number in _CHUNKS), "_chunked_pipeline"):
        stem = stem.removesuffix(end)
    return stem


def _converted(folder: _Pure, stems: Mapping[str, _Pure]) -> dict[Role, tuple[_Pure, ...]]:
    """Find the packages whose names begin with PREFIX."""
    roles: dict[Role, tuple[_Pure, ...]] = {}
    models: set[str] = set()
    for base in sorted({_base(stem) for stem in stems if stem.startswith(PREFIX)}):
        for role, suffix in SUFFIXES.items():
            if base.endswith(f"_{suffix}") and (paths := _whole(folder, stems, base, "_chunk")):
                models.add(base.removeprefix(PREFIX).removesuffix(f"_{suffix}"))
                roles[role] = paths
    if len(models) > 1:
        raise ModelError(f"{folder}: holds packages of several models ({', '.join(sorted(models))}); give each a folder of its own")
    return roles


def _resource(folder: _Pure, stems: Mapping[str, _Pure], role: Role) -> tuple[_Pure, ...]:
    for base in RESOURCES[role]:
        if paths := _whole(folder, stems, base, "Chunk"):
            return paths
    return ()


def _whole(folder: _Pure, stems: Mapping[str, _Pure], base: str, mark: str) -> tuple[_Pure, ...]:
    """Return both halves, else the merged halves, else the network in one piece."""
    halves = [f"{base}{mark}{number}" for number in _CHUNKS]
    present = [half for half in halves if half in stems]
    if len(present) == len(halves):
        return tuple(stems[half] for half in halves)
    for stem in (f"{base}_chunked_pipeline", base):
        if stem in stems:
            return (stems[stem],)
    if present:
        missing = next(half for half in halves if half not in stems)
        raise MissingFileError(f"{folder}: has {stems[present[0]].name} and no {missing}; a network in halves needs both, convert it again")
    return ()
