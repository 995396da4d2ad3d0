"""A quick autoencoder (TAESD) in files without a configuration: one for each half, or one for both."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.files import entries, is_file, is_folder
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models.base import Pickled
from sdrt.models.component_tensors import ComponentTensors, read_tensors
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.original.taesd import QUICK_ROOTS, QuickHalf, canonical_names, quick_config
from sdrt.models.pickled import PICKLE_SUFFIXES
from sdrt.models.plain_names import plain_names
from sdrt.models.single_file import check_file
from sdrt.models.stored_model import StoredModel
from sdrt.models.stored_tensor import Place

__all__ = ["QuickAutoencoderFile", "open_quick_files"]

_HALVES: Mapping[ComponentName, QuickHalf] = {"vae_decoder": "decoder", "vae_encoder": "encoder"}
_OTHER: Mapping[str, str] = {"encoder": "decoder", "decoder": "encoder"}
_OF_A_HALF = re.compile(r"(.*)(encoder|decoder)")


@dataclass(frozen=True)
class QuickAutoencoderFile(StoredModel):
    """A quick autoencoder, or its decoder alone; made by `open_quick_files`.

    Parameters
    ----------
    path, name, embeddings, overrides, allowed, mmap
        See :class:`~sdrt.models.stored_model.StoredModel`.
    halves : mapping from "encoder" and "decoder" to file
        Those that are there.
    """

    halves: Mapping[QuickHalf, Path] = field(default_factory=dict)

    @property
    def own_components(self) -> tuple[ComponentName, ...]:
        """The halves that are there."""
        return tuple(component for component, half in _HALVES.items() if half in self.halves)

    def own_config(self, component: ComponentName) -> dict[str, Any]:
        """Derive the configuration from the shapes: the keys of this half count, the other's keep their defaults.

        Raises
        ------
        ModelError : the layers are not those of a quick autoencoder
        """
        half = _HALVES[component]
        file = self.halves[half]
        tensors = {tensor.name: tensor for tensor in read_tensors(file, memory_map=self.mmap)}
        shapes = {canonical: tensors[stored].shape for stored, canonical in _canonical(tensors).items()}
        return COMPONENTS[component].complete(quick_config(file, half, shapes), file, self.allowed)

    def own_tensors(self, component: ComponentName) -> ComponentTensors:
        """Return the weights by canonical name, as views of the file."""
        file = self.halves[_HALVES[component]]
        names = canonical_names(_plain(tensor.name for tensor in read_tensors(file, memory_map=self.mmap)).values())
        return ComponentTensors([file], lambda plain: (Place(names[plain]),), roots=QUICK_ROOTS, memory_map=self.mmap)

    def own_where(self, component: ComponentName) -> Path:
        """Return the file of this half."""
        return self.halves[_HALVES[component]]


def open_quick_files(
    place: Path, name: str, pickled: Pickled = "refuse", limits: Limits = DEFAULT_LIMITS, *, mmap: bool = True
) -> QuickAutoencoderFile | None:
    """Open a quick autoencoder in a file, with the other half where that lies beside it; or in a folder with a file for each half.

    Parameters
    ----------
    place : Path
        A file (``taesd_decoder.safetensors``), or the folder that has both.
    name : str
    pickled : "refuse" or "weights_only"
    limits : Limits
    mmap : bool

    Returns
    -------
    QuickAutoencoderFile, or None where the names are not those of one

    Raises
    ------
    MissingFileError, WeightsError, MissingExtraError : a file is missing, or cannot be used
    ModelError : a folder with several
    """
    files = _in_folder(place) if is_folder(place) else [place]
    halves: dict[QuickHalf, Path] = {}
    for file in files:
        check_file(file, pickled)
        found = {canonical.partition(".")[0] for canonical in _canonical(_names(file, mmap=mmap)).values()}
        halves |= {half: file for half in _HALVES.values() if half in found}
    if len(halves) == 1 and not is_folder(place) and (beside := _beside(place)) is not None:
        check_file(beside, pickled)
        [half] = halves
        if any(name.startswith(_OTHER[half]) for name in _canonical(_names(beside, mmap=mmap)).values()):
            halves |= {each: beside for each in _HALVES.values() if each != half}
    return QuickAutoencoderFile(place, name, halves=halves, allowed=limits, mmap=mmap) if halves else None


def _in_folder(folder: Path) -> list[Path]:
    """Return the files of the halves in a folder without a configuration; safetensors go before pickles."""
    for suffixes in ((".safetensors",), PICKLE_SUFFIXES):
        files = [file for file in entries(folder) if file.suffix.lower() in suffixes and _OF_A_HALF.fullmatch(file.stem)]
        decoders = [file.name for file in files if file.stem.endswith("decoder")]
        if len(decoders) > 1:
            raise ModelError(f"{folder}: must have one quick autoencoder, got {', '.join(decoders)}; pass the file of one of them")
        if files:
            return files
    return []


def _beside(file: Path) -> Path | None:
    """Return the file of the other half beside one, by its name; None where there is none."""
    if (match := _OF_A_HALF.fullmatch(file.stem)) is None:
        return None
    other = file.with_stem(match[1] + _OTHER[match[2]])
    return other if is_file(other) else None


def _names(file: Path, *, mmap: bool) -> list[str]:
    return [tensor.name for tensor in read_tensors(file, memory_map=mmap)]


def _plain(stored: Iterable[str]) -> dict[str, str]:
    return plain_names(stored, QUICK_ROOTS)


def _canonical(stored: Iterable[str]) -> dict[str, str]:
    """Map names as stored to diffusers' names; empty where they are not those of a quick autoencoder."""
    plain = _plain(stored)
    canonical = canonical_names(plain.values())
    return {name: canonical[each] for name, each in plain.items()} if canonical else {}
