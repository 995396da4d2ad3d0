"""A T2I-Adapter in a single file, with the names of the original code or of diffusers, and without a configuration."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.models.base import Pickled
from sdrt.models.component_tensors import ComponentTensors, read_tensors
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.original.t2i_adapter import adapter_config, adapter_name, blocks_per_feature, is_adapter
from sdrt.models.plain_names import plain_names
from sdrt.models.single_file import check_file
from sdrt.models.stored_model import StoredModel
from sdrt.models.stored_tensor import Place

__all__ = ["T2IAdapterFile"]

_ROOTS = (*COMPONENTS["t2i_adapter"].roots, "conv_in.", "body.")


@dataclass(frozen=True)
class T2IAdapterFile(StoredModel):
    """A T2I-Adapter in one file.

    Parameters
    ----------
    path : Path
        The file.
    name, embeddings, overrides, allowed, mmap
        See :class:`~sdrt.models.stored_model.StoredModel`.
    pickled : "refuse" or "weights_only"
        What to do about a ``.pth``.

    Raises
    ------
    MissingFileError : the file is not there
    ModelError : it cannot be read, or is something else
    MissingExtraError : it is a pickle, and torch is not installed
    """

    pickled: Pickled = "refuse"

    def __post_init__(self) -> None:
        check_file(self.path, self.pickled)
        if not is_adapter(self._shapes):
            raise ModelError(f"{self.path}: is no T2I-Adapter by its names; pass another file, or the folder that has its config.json")

    @property
    def own_components(self) -> tuple[ComponentName, ...]:
        """The one component."""
        return ("t2i_adapter",)

    def own_config(self, component: ComponentName) -> dict[str, Any]:
        """Derive the configuration from the shapes.

        Raises
        ------
        ModelError : another architecture
        """
        named = {adapter_name(name, self._blocks): shape for name, shape in self._shapes.items()}
        config = adapter_config(self.path, {name: shape for name, shape in named.items() if name is not None})
        return COMPONENTS[component].complete(config, self.path, self.allowed)

    def own_tensors(self, component: ComponentName) -> ComponentTensors:  # noqa: ARG002 there is one
        """Return the weights by canonical name, as views of the file."""
        return ComponentTensors([self.path], partial(_places, blocks=self._blocks), roots=_ROOTS, memory_map=self.mmap)

    def own_files(self, component: ComponentName) -> tuple[Path, ...]:  # noqa: ARG002 there is one
        """Return the file."""
        return (self.path,)

    def own_where(self, component: ComponentName) -> Path:  # noqa: ARG002 there is one
        """Return the file."""
        return self.path

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        tensors = {tensor.name: tensor for tensor in read_tensors(self.path, memory_map=self.mmap)}
        return {plain: tensors[stored].shape for stored, plain in plain_names(tensors, _ROOTS).items()}

    @cached_property
    def _blocks(self) -> int:
        return blocks_per_feature(self._shapes)


def _places(stored: str, blocks: int) -> Iterable[Place] | None:
    name = adapter_name(stored, blocks)
    return None if name is None else (Place(name),)
