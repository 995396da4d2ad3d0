"""A model folder in diffusers' layout: which components it has, their configurations and their weights."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sdrt.errors import MissingFileError, ModelError
from sdrt.files import entries, is_folder
from sdrt.models.base import Pickled, PipelineFlags
from sdrt.models.component_files import read_config, read_weights
from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.embedded import EMBEDDED
from sdrt.models.json_file import read_json, read_json_if_there
from sdrt.models.stored_model import StoredModel
from sdrt.models.weight_files import WeightFiles, find_weights, variants_in, weights_remark
from sdrt.printable import shown
from sdrt.values import Choice, Either, Flag, Integer, Kind, ListOf, MappingOf, Nullable, Number, Text, read_values

__all__ = ["FEATURE_EXTRACTOR", "ModelFolder", "checked_defaults"]

# What sdrt.json may hold beside its description.
_DEFAULTS: Mapping[str, Kind[Any]] = {
    "num_inference_steps": Integer(1, whole_floats=True),
    "guidance_scale": Number(),
    "height": Integer(1, whole_floats=True),
    "width": Integer(1, whole_floats=True),
    # of its latents, see `sdrt.models.families.latent_space`
    "latent_rgb": ListOf(ListOf(Number(-100.0, 100.0), 3, 3), 2, 1025),
    "quick_vae": Choice(*(name for name, each in EMBEDDED.items() if each.kind == "VAE")),
}
_FORCE_ZEROS = "force_zeros_for_empty_prompt"
# a class of the repository's own has the name of its file before it
_INDEX: Mapping[str, Kind[Any]] = {"_class_name": Either(Text(200), ListOf(Text(200), 2, 2)), _FORCE_ZEROS: Flag()}
_SIDE = Integer(1, 10_000, whole_floats=True)
_SIZE = Either(_SIDE, ListOf(_SIDE, 2, 2), MappingOf(Nullable(_SIDE)))
# Of CLIP's processor.
FEATURE_EXTRACTOR: Mapping[str, Kind[Any]] = {
    "do_resize": Nullable(Flag()),
    "size": Nullable(_SIZE),
    "resample": Nullable(Integer(0, 5, whole_floats=True)),
    "do_center_crop": Nullable(Flag()),
    "crop_size": Nullable(_SIZE),
    "do_rescale": Nullable(Flag()),
    "rescale_factor": Nullable(Number()),
    "do_normalize": Nullable(Flag()),
    "image_mean": Nullable(Either(ListOf(Number(), 3, 3), Number())),
    "image_std": Nullable(Either(ListOf(Number(0.0, above=True), 3, 3), Number(0.0, above=True))),
}


@dataclass(frozen=True)
class ModelFolder(StoredModel):
    """A folder with ``unet/``, ``vae/``, ``scheduler/``, and ``text_encoder/`` with ``tokenizer/``, or both of Stable Diffusion XL.

    Opening only lists the files; configurations are read on first use, and weights are memory-mapped.

    Parameters
    ----------
    path, name, embeddings, overrides, allowed, mmap
        See :class:`~sdrt.models.stored_model.StoredModel`.
    variant : str or None
        Weights of this variant, such as ``"fp16"``: ``model.fp16.safetensors``. A component that has none of it gives its plain ones, as in
        diffusers, if others of its components have some.
    pickled : "refuse" or "weights_only"
        What to do about a component that has only a ``.bin`` file.

    Raises
    ------
    MissingFileError : the folder or one of its components is not there, or no component has the variant
    """

    variant: str | None = None
    pickled: Pickled = "refuse"

    def __post_init__(self) -> None:
        if not is_folder(self.path):
            raise MissingFileError(f"{self.path}: no such folder; pass a folder in diffusers' layout, 'nano', or a repository's name")
        folders = {entry.name for entry in entries(self.path) if is_folder(entry)}
        # The refiner of Stable Diffusion XL has the second text encoder only.
        encoders = [each for each in ("text_encoder", "text_encoder_2") if each in folders] or ["text_encoder"]
        tokenizers = [each.replace("text_encoder", "tokenizer") for each in encoders]
        for needed in (*encoders, "unet", "vae", *tokenizers, "scheduler"):
            if needed not in folders:
                found = ", ".join(sorted(folders)) or "no folders"
                raise MissingFileError(f"{self.path}: has no {needed}/ (found: {found}); {self._expectation()}")
        if self.variant is not None:
            have = {component: variants_in(self.path / COMPONENTS[component].folder) for component in self.own_components}
            if not any(self.variant in each for each in have.values()):
                others = sorted({each for variants in have.values() for each in variants})
                raise MissingFileError(
                    f"{self.path}: no component has weights of variant {self.variant!r} "
                    f"(found: {', '.join(others) or 'none but the plain ones'}); pass one of those, or none"
                )

    def _expectation(self) -> str:
        kind = self._index.get("_class_name")
        ours = str(kind).startswith(("StableDiffusion", "LatentConsistency")) and not str(kind).startswith("StableDiffusion3")
        if kind is not None and not ours:
            return f"it is a {kind}, and sdrt runs Stable Diffusion 1.x, 2.x and XL"
        return "a model folder in diffusers' layout has one"

    @cached_property
    def own_components(self) -> tuple[ComponentName, ...]:
        """The components in the folder."""
        return tuple(component for component in COMPONENTS if is_folder(self.path / COMPONENTS[component].folder))

    def own_config(self, component: ComponentName) -> dict[str, Any]:
        """Read the component's ``config.json`` over the defaults of its class."""
        return read_config(component, self.own_where(component), self.allowed)

    def own_tensors(self, component: ComponentName) -> ComponentTensors:
        """Find the weights beside the component's ``config.json``."""
        return read_weights(component, self._weight_files(component), memory_map=self.mmap)

    def own_files(self, component: ComponentName) -> tuple[Path, ...]:
        """Find the files of the weights, and read none of them."""
        return self._weight_files(component).files

    def _weight_files(self, component: ComponentName) -> WeightFiles:
        folder = self.path / COMPONENTS[component].folder
        return find_weights(folder, self.variant if self.variant in variants_in(folder) else None, self.pickled, self.allowed)

    def own_where(self, component: ComponentName) -> Path:
        """Return the component's ``config.json``."""
        return self.path / COMPONENTS[component].folder / "config.json"

    @property
    def tokenizer_path(self) -> Path | None:
        """``tokenizer/``; None where there is no ``text_encoder/``."""
        return self.path / "tokenizer" if "text_encoder" in self.own_components else None

    @property
    def tokenizer_2_path(self) -> Path | None:
        """``tokenizer_2/``; None where there is no ``text_encoder_2/``."""
        return self.path / "tokenizer_2" if "text_encoder_2" in self.own_components else None

    @cached_property
    def own_remarks(self) -> Mapping[str, str]:
        """Which of two sets of weights is used, where a component has two, and which of two schedulers."""
        remarks = dict(self._scheduler_remark())
        for component in self.own_components:
            # what cannot be found is said when it is opened
            with suppress(ModelError):
                folder = self.path / COMPONENTS[component].folder
                remarks |= weights_remark(folder, self._weight_files(component))
        return remarks

    def _scheduler_remark(self) -> Mapping[str, str]:
        """Tell that ``model_index.json`` names another scheduler, which diffusers would build from the same configuration."""
        with suppress(ModelError):
            named, own = self._index.get("scheduler"), self.scheduler_config.get("_class_name")
            name = named[-1] if isinstance(named, list) and named else None
            if isinstance(name, str) and isinstance(own, str) and name != own:
                return {"scheduler class": f"scheduler_config.json says {shown(own)}, which is used, and model_index.json {shown(name)}"}
        return {}

    @cached_property
    def scheduler_config(self) -> Mapping[str, Any]:
        """``scheduler/scheduler_config.json`` as it stands."""
        return read_json(self.path / "scheduler" / "scheduler_config.json", self.allowed)

    @cached_property
    def feature_extractor_config(self) -> Mapping[str, Any]:
        """``feature_extractor/preprocessor_config.json`` as it stands; empty if it is not there."""
        return self._read_checked("feature_extractor/preprocessor_config.json", FEATURE_EXTRACTOR)

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """The model's own preferences, ``sdrt.json``; empty if it is not there.

        Known are ``num_inference_steps``, ``guidance_scale``, ``height`` and ``width``.

        Raises
        ------
        ModelError : a value is of the wrong kind
        """
        file = self.path / "sdrt.json"
        return checked_defaults(file, read_json_if_there(file, self.allowed))

    @cached_property
    def flags(self) -> PipelineFlags:
        """What ``model_index.json`` says; where it is silent, the defaults of diffusers' pipelines.

        Raises
        ------
        ModelError : a value is no bool
        """
        return PipelineFlags(force_zeros_for_empty_prompt=self._index.get(_FORCE_ZEROS, "text_encoder_2" in self.own_components))

    @cached_property
    def _index(self) -> Mapping[str, Any]:
        return self._read_checked("model_index.json", _INDEX)

    def _read_checked(self, name: str, kinds: Mapping[str, Kind[Any]]) -> Mapping[str, Any]:
        """Read a file of the folder that may be missing, and check the keys that are read from it."""
        content = read_json_if_there(self.path / name, self.allowed)
        return content | read_values(f"{self.path / name}: ", content, kinds, "correct the file", ModelError)


def checked_defaults(file: Path, defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check the preferences of an ``sdrt.json``.

    Raises
    ------
    ModelError : a value is of the wrong kind
    """
    return {**defaults, **read_values(f"{file}: ", defaults, _DEFAULTS, "correct the file", ModelError)}
