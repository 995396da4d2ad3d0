"""A folder of one component: a ControlNet, or a VAE that takes the place of a model's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sdrt.errors import MissingFileError, ModelError
from sdrt.files import is_folder
from sdrt.models.base import Pickled
from sdrt.models.component_files import class_names, read_config, read_weights
from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.folder import FEATURE_EXTRACTOR, checked_defaults
from sdrt.models.json_file import read_json, read_json_if_there
from sdrt.models.stored_model import StoredModel
from sdrt.models.weight_files import WeightFiles, find_weights, variants_in
from sdrt.values import read_values

__all__ = ["ComponentFolder"]


@dataclass(frozen=True)
class ComponentFolder(StoredModel):
    """A folder with ``config.json`` and the weights of one class beside it; the class says which components those are.

    Parameters
    ----------
    path, name, embeddings, overrides, allowed, mmap
        See :class:`~sdrt.models.stored_model.StoredModel`.
    variant : str or None
        Weights of this variant where there are some, else the plain ones.
    pickled : "refuse" or "weights_only"
        What to do if there is only a ``.bin`` file.

    Raises
    ------
    MissingFileError : the folder or its config.json is not there
    ModelError : the configuration does not say a class, or one that is no component of Stable Diffusion
    """

    variant: str | None = None
    pickled: Pickled = "refuse"

    def __post_init__(self) -> None:
        if not is_folder(self.path):
            raise MissingFileError(f"{self.path}: no such folder; pass the folder of a component, with its config.json")
        if not self.own_components:
            known = dict.fromkeys(name for component in COMPONENTS.values() for name in component.classes)
            got = ", ".join(self._class_names) or "nothing"
            raise ModelError(f"{self.path / 'config.json'}: the class must be one of {', '.join(known)}, got {got}; pass another folder")

    @property
    def own_components(self) -> tuple[ComponentName, ...]:
        """The components of the folder's class: two of a VAE, one of any other."""
        names = self._class_names
        # text_encoder_2 shares its classes with text_encoder: a folder by itself is the first
        return tuple(name for name, each in COMPONENTS.items() if name != "text_encoder_2" and set(names) & set(each.classes))

    @cached_property
    def _class_names(self) -> tuple[str, ...]:
        file = self.path / "config.json"
        return class_names(read_json(file, self.allowed), file)

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What the component prefers, ``sdrt.json`` beside its configuration; empty if it is not there.

        Of a ControlNet ``guidance_scale`` counts.

        Raises
        ------
        ModelError : a value is of the wrong kind
        """
        file = self.path / "sdrt.json"
        return checked_defaults(file, read_json_if_there(file, self.allowed))

    @property
    def feature_extractor_config(self) -> Mapping[str, Any]:
        """``preprocessor_config.json`` beside an image encoder; empty if it is not there.

        Raises
        ------
        ModelError : a value is of the wrong kind
        """
        file = self.path / "preprocessor_config.json"
        content = read_json_if_there(file, self.allowed)
        return content | read_values(f"{file}: ", content, FEATURE_EXTRACTOR, "correct the file", ModelError)

    def own_config(self, component: ComponentName) -> dict[str, Any]:
        """``config.json`` over the defaults of its class."""
        return read_config(component, self.own_where(component), self.allowed)

    def own_tensors(self, component: ComponentName) -> ComponentTensors:
        """Find the weights beside ``config.json``."""
        return read_weights(component, self._weight_files, memory_map=self.mmap)

    def own_files(self, component: ComponentName) -> tuple[Path, ...]:  # noqa: ARG002 both halves of a VAE lie in the same files
        """Find the files of the weights, and read none of them."""
        return self._weight_files.files

    @property
    def _weight_files(self) -> WeightFiles:
        return find_weights(self.path, self.variant if self.variant in variants_in(self.path) else None, self.pickled, self.allowed)

    def own_where(self, component: ComponentName) -> Path:  # noqa: ARG002 both halves of a VAE have the same configuration
        """``config.json``."""
        return self.path / "config.json"
