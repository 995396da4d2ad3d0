"""One IP-Adapter in a file: an image projection, and keys and values for each cross-attention of a U-Net."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.files import is_folder
from sdrt.models.base import Pickled
from sdrt.models.component_tensors import ComponentTensors, read_tensors
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.ip_adapter.projection import places, projection_config
from sdrt.models.leftovers import few_of, foreign_tensors
from sdrt.models.original.down_path import Shapes
from sdrt.models.single_file import check_file, shapes_below
from sdrt.models.stored_model import StoredModel
from sdrt.models.stored_tensor import Place

__all__ = ["IPAdapterFile"]

_PROJECTION, _ATTENTIONS = "image_proj.", "ip_adapter."
_ATTENTION = re.compile(r"(\d{1,4})\.(to_[kv]_ip)\.weight")
_LORA = re.compile(r"\d+\.to_\w+_lora\..+")


@dataclass(frozen=True)
class IPAdapterFile(StoredModel):
    """A file with ``image_proj.*`` and ``ip_adapter.1.to_k_ip.weight``, ``ip_adapter.1.to_v_ip.weight``, ``ip_adapter.3...``.

    Its one component is the image projection; what is for a U-Net is laid beside that by `with_ip_adapters`.

    Parameters
    ----------
    path, name, embeddings, overrides, extensions, allowed, mmap
        See :class:`~sdrt.models.stored_model.StoredModel`.
    pickled : "refuse" or "weights_only"
        What to do about a ``.bin``.

    Raises
    ------
    MissingFileError : the file is not there, or a pickle that nobody asked to read
    ModelError : it cannot be read, is no IP-Adapter, or one of a kind that needs another network
    MissingExtraError : it is a pickle, and torch is not installed
    """

    pickled: Pickled = "refuse"

    def __post_init__(self) -> None:
        if is_folder(self.path):
            raise ModelError(f"{self.path}: an IP-Adapter must be a file, got a folder; pass the file in it")
        check_file(self.path, self.pickled)
        of_attentions = shapes_below(self._shapes, _ATTENTIONS)
        _ = self._config
        if any(_LORA.fullmatch(name) for name in of_attentions):
            raise ModelError(f"{self.path}: is an IP-Adapter FaceID with a LoRA inside, which sdrt does not read; pass another adapter")
        if strange := [name for name in of_attentions if not _ATTENTION.fullmatch(name)]:
            raise ModelError(f"{self.path}: below ip_adapter. must be keys and values alone, got {few_of(strange)}; pass another file")
        if not of_attentions:
            raise ModelError(
                f"{self.path}: must have tensors below ip_adapter., the keys and values of an IP-Adapter, got none; pass another"
            )

    @property
    def own_components(self) -> tuple[ComponentName, ...]:
        """The image projection."""
        return ("image_projection",)

    def own_config(self, component: ComponentName) -> dict[str, Any]:  # noqa: ARG002 it has one
        """Derive the projection's configuration from the shapes."""
        return dict(self._config)

    def own_tensors(self, component: ComponentName) -> ComponentTensors:  # noqa: ARG002
        """Return the projection's weights by canonical name."""
        return ComponentTensors([self.path], partial(places, self._config["_class_name"]), prefix=_PROJECTION, memory_map=self.mmap)

    def own_files(self, component: ComponentName) -> tuple[Path, ...]:  # noqa: ARG002
        """Return the file."""
        return (self.path,)

    def own_where(self, component: ComponentName) -> Path:  # noqa: ARG002
        """Return the file."""
        return self.path

    @property
    def own_remarks(self) -> Mapping[str, str]:
        """Tensors that are of neither part."""
        foreign = foreign_tensors(self.path, self._shapes, (_PROJECTION, _ATTENTIONS))
        return {f"unused tensors of {self.path.name}": foreign} if foreign else {}

    @cached_property
    def attentions(self) -> Mapping[int, Mapping[str, tuple[int, ...]]]:
        """The shapes of ``to_k_ip`` and ``to_v_ip``, by the number that the file gives to an attention."""
        numbered: dict[int, dict[str, tuple[int, ...]]] = {}
        for name, shape in shapes_below(self._shapes, _ATTENTIONS).items():
            if match := _ATTENTION.fullmatch(name):
                numbered.setdefault(int(match[1]), {})[match[2]] = shape
        return dict(sorted(numbered.items()))

    def attention_tensors(self, index: int, paths: Sequence[str]) -> ComponentTensors:
        """Return the keys and values under diffusers' names.

        Parameters
        ----------
        index : int
            Which of the adapters of a U-Net it is.
        paths : sequence of str
            The U-Net's cross-attentions, see `cross_attentions`.
        """

        def found(plain: str) -> Iterable[Place] | None:
            match = _ATTENTION.fullmatch(plain)
            return None if match is None else (Place(f"{paths[int(match[1]) // 2]}.processor.{match[2]}.{index}.weight"),)

        return ComponentTensors([self.path], found, prefix=_ATTENTIONS, memory_map=self.mmap)

    @cached_property
    def _config(self) -> Mapping[str, Any]:
        config = projection_config(self.path, shapes_below(self._shapes, _PROJECTION))
        return COMPONENTS["image_projection"].complete(config, self.path, self.allowed)

    @cached_property
    def _shapes(self) -> Shapes:
        return {tensor.name: tensor.shape for tensor in read_tensors(self.path, memory_map=self.mmap)}
