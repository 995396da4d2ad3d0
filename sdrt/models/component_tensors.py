"""Weights as they lie on disk: one or more files behind one read-only mapping of canonical names to arrays.

The arrays are views of a memory map, so that opening a model reads nothing and a tensor that nobody asks for is never touched.
"""

import copy
import mmap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

import numpy as np

from sdrt.arrays import Array
from sdrt.errors import WeightsError
from sdrt.models import pickled, safetensors_file
from sdrt.models.plain_names import plain_names
from sdrt.models.stored_tensor import FLOATS, Place, StoredTensor
from sdrt.models.tensor_scales import with_scales
from sdrt.models.weight_format import weight_format
from sdrt.printable import shown

__all__ = ["Change", "ComponentTensors", "Leftover", "read_tensors"]

# Takes a tensor as stored, and returns it as it is to be read, of the same shape.
Change: TypeAlias = Callable[[Array], Array]


def read_tensors(file: Path, *, memory_map: bool = True) -> list[StoredTensor]:
    """Read the tensors of a weights file: safetensors, or a pickle that torch reads tensors from and nothing else.

    Whether a pickle is welcome at all is for the caller to decide, before this is called.

    Raises
    ------
    MissingFileError, WeightsError : it is not there, or cannot be used
    MissingExtraError : it is a pickle, and torch is not installed
    """
    read = pickled.read_tensors if weight_format(file) == "pickle" else safetensors_file.read_tensors
    return with_scales(read(file, memory_map=memory_map))


def _as_named(name: str) -> Iterable[Place]:
    return (Place(name),)


class Leftover(NamedTuple):
    """A tensor of a component that nothing has used.

    Parameters
    ----------
    name : str
        The canonical name, or the plain one below the component's prefix where it has none.
    stored : str
        As the file has it.
    """

    name: str
    stored: str


class ComponentTensors(Mapping[str, Array]):
    """The tensors of one part, by canonical name.

    Parameters
    ----------
    files : sequence of Path
        A name may stand in one of them only.
    places : callable
        Maps a plain name to where that tensor is found here: in one place, or cut into some; nowhere (empty) where it is known to have no
        use; None where the component has no such tensor.
    index : mapping from stored name to file
        Which of the files is to hold which tensor; empty where nothing says.
    roots : collection of str
        How plain names begin, see `sdrt.models.plain_names`.
    prefix : str
        What stands before the component's own names, and is cut off; tensors without it are of other components.
    memory_map : bool
        Whether arrays are views of the disk; False reads them into memory each time that they are asked for.

    Reading gives a view of the memory map (float16 and float32 as stored); bfloat16 and numbers of eight bits come as float32 arrays. What
    was read counts as used, see :meth:`leftovers`.

    Raises
    ------
    MissingFileError : a file is not there
    WeightsError : a file cannot be used, two tensors have one name, one is not where the index says, or cannot take the form of its place
    """

    def __init__(
        self,
        files: Sequence[Path],
        places: Callable[[str], Iterable[Place] | None] = _as_named,
        index: Mapping[str, Path] | None = None,
        roots: Collection[str] = (),
        prefix: str = "",
        *,
        memory_map: bool = True,
    ) -> None:
        self.files = tuple(files)
        self._memory_map = memory_map
        self._tensors: dict[str, tuple[Place, StoredTensor]] = {}
        self._rows: dict[str, Array] = {}
        self._changes: Mapping[str, Change] = {}
        self._used: set[str] = set()
        self._unplaced: list[Leftover] = []
        tensors: list[StoredTensor] = []
        for file in self.files:
            tensors += (of_file := read_tensors(file, memory_map=memory_map))
            _check_index(file, of_file, index or {})
        plain = plain_names((tensor.name for tensor in tensors), roots)
        for tensor in tensors:
            if not (name := plain[tensor.name]).startswith(prefix):
                continue
            name = name.removeprefix(prefix)
            found = places(name)
            if found is None:
                self._unplaced.append(Leftover(name, tensor.name))
            for place in found or ():
                self._add(place, tensor)

    def _add(self, place: Place, tensor: StoredTensor) -> None:
        if place.name in self._tensors:
            _, first = self._tensors[place.name]
            other = f"as {first.name!r}" if first.file == tensor.file else f"in {first.file}"
            raise WeightsError(f"{tensor.file}: tensor {tensor.name!r} is there twice ({other} too); keep one of them")
        if place.shape(tensor.shape) is None:
            raise WeightsError(
                f"{tensor.file}: tensor {tensor.name!r} has shape {list(tensor.shape)}, which does not hold {place.name!r} "
                f"({place.form}); the file is of another model, or damaged"
            )
        self._tensors[place.name] = (place, tensor)

    def with_rows(self, name: str, rows: Array) -> Self:
        """Append rows to one tensor: a table of embeddings with tokens that were learnt later.

        Parameters
        ----------
        name : str
        rows : float[n, ...]
            As wide as the tensor's own. What is read is in the wider dtype of both.

        Raises
        ------
        WeightsError : the tensor is missing, or of another width
        """
        if name not in self._tensors:
            raise WeightsError(f"{', '.join(map(str, self.files))}: tensor {name!r} is missing; there is nothing to append rows to")
        if rows.shape[1:] != self.shape(name)[1:]:
            raise WeightsError(
                f"{self.where(name)} has shape {list(self.shape(name))}; rows of shape {list(rows.shape)} do not fit below it"
            )
        longer = copy.copy(self)
        longer._rows = {**self._rows, name: np.concatenate([self._rows[name], rows]) if name in self._rows else rows}
        return longer

    def with_changes(self, changes: Mapping[str, Change]) -> Self:
        """Change tensors whenever they are read: nothing is kept, and the files stay as they are.

        Parameters
        ----------
        changes : mapping from canonical name to Change
            In place of those that were there before.

        Raises
        ------
        WeightsError : a tensor is missing
        """
        if missing := next((name for name in changes if name not in self._tensors), None):
            raise WeightsError(f"{', '.join(map(str, self.files))}: tensor {missing!r} is missing; there is nothing to change")
        changed = copy.copy(self)
        changed._changes = changes
        return changed

    def joined(self, others: "ComponentTensors") -> Self:
        """Put tensors of other files beside these, which keep their rows and changes.

        Raises
        ------
        WeightsError : two tensors have one name
        """
        together = copy.copy(self)
        together.files = (*self.files, *others.files)
        together._tensors, together._used = dict(self._tensors), set(self._used)
        together._unplaced = [*self._unplaced, *others._unplaced]
        for place, tensor in others._tensors.values():
            together._add(place, tensor)
        return together

    def leftovers(self) -> tuple[Leftover, ...]:
        """Return the tensors that were not read, of which none was needed so far; what is known to have no use among them."""
        unused = [Leftover(name, tensor.name) for name, (_, tensor) in self._tensors.items() if name not in self._used]
        return (*unused, *self._unplaced)

    def count_as_used(self, names: Iterable[str]) -> None:
        """Count tensors as used by a reader that has what it made of them from an earlier run."""
        self._used |= self._tensors.keys() & set(names)

    @property
    def is_used(self) -> bool:
        """Whether anything was read."""
        return bool(self._used)

    def __getitem__(self, name: str) -> Array:
        place, tensor = self._tensors[name]
        self._used.add(name)
        stored = place.of(tensor.array())
        if name in self._changes:
            stored = self._changes[name](stored)
        return np.concatenate([stored, self._rows[name]]) if name in self._rows else stored

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, without reading it."""
        place, tensor = self._tensors[name]
        shape = place.shape(tensor.shape) or ()
        return (shape[0] + len(self._rows[name]), *shape[1:]) if name in self._rows else shape

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def release(self) -> None:
        """Release the memory of the pages read from the map; arrays stay valid, and are read again when used again."""
        if not self._memory_map:
            return
        for map_ in {id(mapped): mapped for _, tensor in self._tensors.values() if (mapped := _map_of(tensor))}.values():
            if hasattr(mmap, "MADV_DONTNEED"):
                map_.madvise(mmap.MADV_DONTNEED)

    def where(self, name: str) -> str:
        """File and stored name of a tensor, for messages."""
        _, tensor = self._tensors[name]
        return f"{tensor.file}: tensor {tensor.name!r}"

    def take(self, name: str, shape: tuple[int, ...]) -> Array:
        """Return the tensor ``name``, which must have this shape, up to axes of length 1 at its end.

        Raises
        ------
        WeightsError : it is not there, has another shape, is no floating tensor, or holds a NaN or an infinity
        """
        if name not in self._tensors:
            files = ", ".join(map(str, self.files))
            raise WeightsError(f"{files}: tensor {name!r} of shape {list(shape)} is missing; {self._why_missing(name)}")
        _, tensor = self._tensors[name]
        if _squeezed(self.shape(name)) != _squeezed(shape):
            got, want = list(self.shape(name)), list(shape)
            raise WeightsError(f"{self.where(name)} must have shape {want} by config.json, got {got}; one of the two is of another model")
        if tensor.dtype not in FLOATS:
            raise WeightsError(f"{self.where(name)} must be stored as {', '.join(FLOATS)}, got {tensor.dtype}; convert the file first")
        x = self[name]
        if bad := x.size - np.count_nonzero(np.isfinite(x)):
            raise WeightsError(f"{self.where(name)} holds {bad} NaN or infinite values; the file is damaged, fetch it again")
        # a convolution over one pixel and a matrix, or a bias that is kept as a picture of one pixel, are the same numbers
        return x.reshape(shape)

    def _why_missing(self, name: str) -> str:
        longer = next((each.stored for each in self.leftovers() if each.name.endswith(f".{name}")), None)
        if longer is None:
            return "the file does not fit its config.json"
        return f"the file calls one {shown(longer)}, with more before its name: save the weights of the component by itself"


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _check_index(file: Path, tensors: Iterable[StoredTensor], index: Mapping[str, Path]) -> None:
    names = {tensor.name for tensor in tensors}
    if absent := next((name for name, shard in index.items() if shard == file and name not in names), None):
        raise WeightsError(f"{file}: tensor {absent!r} is missing, which the index says is in this file; fetch both again")


def _map_of(tensor: StoredTensor) -> mmap.mmap | None:
    """Return the memory map that a tensor's bytes lie in; None where they do not lie in a file."""
    owner: object = tensor.raw()
    while owner is not None and not isinstance(owner, mmap.mmap):
        owner = getattr(owner, "base", None)
    return owner
