"""A file of an upscaler as a model of one component, whose configuration its tensors tell."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.files import is_folder
from sdrt.models.base import Pickled
from sdrt.models.component_tensors import ComponentTensors, read_tensors
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.plain_names import plain_names
from sdrt.models.single_file import check_file
from sdrt.models.stored_model import StoredModel
from sdrt.models.stored_tensor import Place
from sdrt.models.upscalers.compact import Activation, compact_config, is_compact_file
from sdrt.models.upscalers.others import words_for
from sdrt.models.upscalers.rrdb import Shapes, rrdb_config, rrdb_names

__all__ = ["UpscalerFile"]

# How the names in a file begin; wrappers before them (params_ema., module.) are cut off.
_ROOTS = ("model.0.", "model.1.sub.", "RRDB_trunk.", "conv_first.", "body.")

# In names of networks that are built otherwise on the same blocks.
_OTHER_FORMS = (".conv1x1.",)


@dataclass(frozen=True)
class UpscalerFile(StoredModel):
    """An upscaler: RRDBNet (ESRGAN, Real-ESRGAN, and what was trained after them) or SRVGGNetCompact, in one file.

    Parameters
    ----------
    path : Path
        The file.
    name, allowed, mmap
        See :class:`~sdrt.models.stored_model.StoredModel`.
    pickled : "refuse" or "weights_only"
        What to do about a ``.pth``.
    activation : "relu", "leakyrelu" or None
        Of a compact model whose activations have no weights.

    Raises
    ------
    MissingFileError : the file is not there, or is a pickle that nobody asked to read
    ModelError : it cannot be read, or is no upscaler of these forms: the message says what it is
    ConfigError : an activation that the tensors do not tell, or tell otherwise
    MissingExtraError : it is a pickle, and torch is not installed
    """

    pickled: Pickled = "refuse"
    activation: Activation | None = None

    def __post_init__(self) -> None:
        if is_folder(self.path):
            raise ModelError(f"{self.path}: an upscaler must be a file, got a folder; pass the file in it")
        check_file(self.path, self.pickled)
        # a file of something else is refused here
        _ = self._config

    @property
    def own_components(self) -> tuple[ComponentName, ...]:
        """The upscaler alone."""
        return ("upscaler",)

    def own_config(self, component: ComponentName) -> dict[str, Any]:  # noqa: ARG002 there is one component
        """Return what the tensors tell."""
        return dict(self._config)

    def own_tensors(self, component: ComponentName) -> ComponentTensors:  # noqa: ARG002
        """Return the weights by canonical name, as views of the file."""
        return ComponentTensors([self.path], self._places, roots=_ROOTS, memory_map=self.mmap)

    def own_files(self, component: ComponentName) -> tuple[Path, ...]:  # noqa: ARG002
        """Return the file."""
        return (self.path,)

    def own_where(self, component: ComponentName) -> Path:  # noqa: ARG002
        """Return the file."""
        return self.path

    @cached_property
    def _config(self) -> Mapping[str, Any]:
        shapes, names = self._shapes, self._rrdb_names
        if names is not None and not any(mark in name for name in shapes for mark in _OTHER_FORMS):
            config = rrdb_config(self.path, {canonical: shapes[name] for name, canonical in names.items()})
        elif is_compact_file(shapes):
            config = compact_config(self.path, shapes, self.activation)
        else:
            raise ModelError(
                f"{self.path}: an upscaler must be an RRDBNet (ESRGAN, Real-ESRGAN) or of the compact form (SRVGGNetCompact), got "
                f"{words_for(shapes)}; pass another file"
            )
        return COMPONENTS["upscaler"].complete(config, self.path, self.allowed)

    @cached_property
    def _shapes(self) -> Shapes:
        tensors = {tensor.name: tensor for tensor in read_tensors(self.path, memory_map=self.mmap)}
        return {plain: tensors[stored].shape for stored, plain in plain_names(tensors, _ROOTS).items()}

    @cached_property
    def _rrdb_names(self) -> Mapping[str, str] | None:
        return rrdb_names(self._shapes)

    def _places(self, plain: str) -> Iterable[Place] | None:
        if self._rrdb_names is None:
            return (Place(plain),)
        name = self._rrdb_names.get(plain)
        return None if name is None else (Place(name),)
