"""Encoded scenes on disk: folders of arrays, `CHUNK` scenes each, that appear only when they are complete."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.format import open_memmap

CHUNK = 2048  # scenes in one folder
BATCH = 32  # scenes that are encoded at once
# Arrays that hold several of each scene: wordings of its caption, or variants (of its edges; of its mask, with what that keeps).
_SEVERAL = {"states": "wording", "edges": "variant", "masks": "variant", "kept": "variant"}
Arrays = dict[str, npt.NDArray[Any]]
Form = dict[str, tuple[type[Any], tuple[int, ...]]]  # of each array: its type, and the shape of one scene


def write(folder: Path, form: Form, encode: Callable[[], Arrays]) -> None:
    """Write one chunk.

    Parameters
    ----------
    encode : () -> name -> array[BATCH, ...]
        Encodes the next `BATCH` scenes.
    """
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    arrays = {name: open_memmap(unfinished / f"{name}.npy", "w+", dtype, (CHUNK, *shape)) for name, (dtype, shape) in form.items()}
    for start in range(0, CHUNK, BATCH):
        for name, values in encode().items():
            arrays[name][start : start + BATCH] = values
    for array in arrays.values():
        array.flush()
    unfinished.rename(folder)


@dataclass(frozen=True)
class Shelf:
    """All encoded chunks of one kind, mapped from disk."""

    chunks: tuple[Arrays, ...]

    @classmethod
    def open(cls, data: Path, kind: str, parts: tuple[str, ...]) -> Shelf:
        """Map these arrays of every finished chunk of this kind."""
        folders = sorted(path for path in data.glob(f"{kind}-*") if not path.name.endswith(".unfinished"))
        if not folders:
            raise FileNotFoundError(f"{data}: must hold encoded scenes of kind {kind!r}, got none; encode them first")
        return cls(tuple({part: np.load(folder / f"{part}.npy", mmap_mode="r") for part in parts} for folder in folders))

    def draw(self, rng: np.random.Generator) -> Arrays:
        """Draw one scene, with one of its wordings and one of its variants."""
        chunk = self.chunks[int(rng.integers(len(self.chunks)))]
        row, chosen = int(rng.integers(CHUNK)), {several: int(rng.integers(64)) for several in ("wording", "variant")}
        drawn = {}
        for name, array in chunk.items():
            values = array[row]
            drawn[name] = values[chosen[_SEVERAL[name]] % len(values)] if name in _SEVERAL else values
        return drawn


def batch(shelves: Sequence[Shelf], rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Draw one scene from each of these shelves, as f32[n, ...] by name."""
    drawn = [shelf.draw(rng) for shelf in shelves]
    return {name: torch.from_numpy(np.stack([scene[name] for scene in drawn])).float() for name in drawn[0]}
