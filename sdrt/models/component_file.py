"""A single file of one component: a ControlNet with the key names of the original code, or a VAE with those or diffusers' own."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from sdrt.errors import ModelError
from sdrt.models.base import Pickled
from sdrt.models.component_tensors import ComponentTensors, read_tensors
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.components.autoencoder_shapes import autoencoder_config
from sdrt.models.leftovers import foreign_tensors
from sdrt.models.original.controlnet import controlnet_config, controlnet_name, hint_layers
from sdrt.models.original.down_path import Shapes
from sdrt.models.original.recognition import CHECKPOINT_ROOTS, CONTROLNET, VAE
from sdrt.models.original.vae import vae_config, vae_levels
from sdrt.models.plain_names import plain_names
from sdrt.models.single_file import check_file, shapes_below, vae_places
from sdrt.models.stored_model import StoredModel
from sdrt.models.stored_tensor import Place

__all__ = ["ComponentFile"]

# How the names in a file begin: below a checkpoint's prefixes, or without.
_ROOTS = (*CHECKPOINT_ROOTS, "input_blocks.", "input_hint_block.", *COMPONENTS["vae_decoder"].roots, *COMPONENTS["controlnet"].roots)
# A tensor of each half of a VAE by whose names it has.
_VAE_MARKS: Mapping[Literal["original", "diffusers"], str] = {
    "original": "mid.block_1.conv1.weight",
    "diffusers": "mid_block.resnets.0.conv1.weight",
}


@dataclass(frozen=True)
class ComponentFile(StoredModel):
    """A ControlNet (``control_model.`` or no prefix) or a VAE (``first_stage_model.`` or no prefix) in one file.

    A ControlNet's file may hold the whole model that it was trained beside; its own tensors alone are used.

    Parameters
    ----------
    path : Path
        The file.
    name, embeddings, overrides, allowed, mmap
        See :class:`~sdrt.models.stored_model.StoredModel`.
    scaling_factor : float
        Of a VAE's latents, which no tensor says: 0.18215 of Stable Diffusion 1.x and 2.x, 0.13025 of XL.
    pickled : "refuse" or "weights_only"
        What to do about a ``.pth`` or ``.ckpt``.

    Raises
    ------
    MissingFileError : the file is not there
    ModelError : it cannot be read, or is neither
    MissingExtraError : it is a pickle, and torch is not installed
    """

    scaling_factor: float = 0.18215
    pickled: Pickled = "refuse"

    def __post_init__(self) -> None:
        check_file(self.path, self.pickled)
        if not self.own_components:
            diffusers = any(name.startswith(("down_blocks.", "unet.")) for name in self._all_shapes)
            repair = "it has diffusers' names, so pass the folder that has its config.json" if diffusers else "pass another file"
            raise ModelError(f"{self.path}: is no ControlNet and no VAE by the names of the original code; {repair}")

    @cached_property
    def own_components(self) -> tuple[ComponentName, ...]:
        """The components in the file."""
        if "input_hint_block.0.weight" in self._below(self._controlnet_prefix):
            return ("controlnet",)
        return ("vae_decoder", "vae_encoder") if self._vae_layout else ()

    def own_config(self, component: ComponentName) -> dict[str, Any]:
        """Derive the configuration from the shapes.

        Raises
        ------
        ModelError : another architecture
        """
        if component == "controlnet":
            return COMPONENTS[component].complete(controlnet_config(self.path, self._below(self._controlnet_prefix)))
        shapes = self._below(self._vae_prefix)
        if self._vae_layout == "diffusers":
            canonical_name = COMPONENTS[component].canonical_name
            canonical = {canonical_name(name): shape for name, shape in shapes.items()}
            return COMPONENTS[component].complete(autoencoder_config(self.path, canonical, self.scaling_factor))
        return COMPONENTS[component].complete(vae_config(self.path, shapes, self.scaling_factor))

    def own_tensors(self, component: ComponentName) -> ComponentTensors:
        """Return the weights by canonical name, as views of the file."""
        place: Callable[[str], Iterable[Place] | None]
        if component == "controlnet":
            prefix = self._controlnet_prefix
            layers, last = self.own_config(component)["layers_per_block"], hint_layers(self._below(prefix))[-1]
            place = partial(_controlnet_places, layers=layers, last_hint=last)
        else:
            prefix = self._vae_prefix
            place = _as_named if self._vae_layout == "diffusers" else partial(vae_places, levels=vae_levels(self._below(prefix)))
        return ComponentTensors([self.path], place, roots=_ROOTS, prefix=prefix, memory_map=self.mmap)

    def own_files(self, component: ComponentName) -> tuple[Path, ...]:  # noqa: ARG002 one file holds them all
        """Return the file."""
        return (self.path,)

    def own_where(self, component: ComponentName) -> Path:  # noqa: ARG002 one file holds them all
        """Return the file."""
        return self.path

    @property
    def own_remarks(self) -> Mapping[str, str]:
        """Tensors beside the component's own that are of no model that it was trained beside."""
        prefix = self._controlnet_prefix if "controlnet" in self.own_components else self._vae_prefix
        foreign = foreign_tensors(self.path, self._all_shapes, (prefix, *CHECKPOINT_ROOTS)) if prefix else None
        return {f"unused tensors of {self.path.name}": foreign} if foreign else {}

    @cached_property
    def _all_shapes(self) -> Shapes:
        tensors = {tensor.name: tensor for tensor in read_tensors(self.path, memory_map=self.mmap)}
        return {plain: tensors[stored].shape for stored, plain in plain_names(tensors, _ROOTS).items()}

    @cached_property
    def _vae_layout(self) -> Literal["original", "diffusers"] | None:
        """Whose names a VAE's tensors have; None if there is none. Either half tells, so that a file that lacks one hears which."""
        names = self._below(self._vae_prefix).keys()
        for layout, mark in _VAE_MARKS.items():
            if names & {f"encoder.{mark}", f"decoder.{mark}"}:
                return layout
        return None

    @property
    def _controlnet_prefix(self) -> str:
        return CONTROLNET if any(name.startswith(CONTROLNET) for name in self._all_shapes) else ""

    @property
    def _vae_prefix(self) -> str:
        return VAE if any(name.startswith(VAE) for name in self._all_shapes) else ""

    def _below(self, prefix: str) -> Shapes:
        return shapes_below(self._all_shapes, prefix)


def _as_named(plain: str) -> Iterable[Place]:
    return (Place(COMPONENTS["vae_decoder"].canonical_name(plain)),)


def _controlnet_places(stored: str, layers: int, last_hint: int) -> Iterable[Place] | None:
    name = controlnet_name(stored, layers, last_hint)
    return None if name is None else (Place(name),)
