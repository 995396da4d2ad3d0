"""A folder of Core ML packages as a model: components, configurations and sidecars; the weights stay inside the programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from sdrt.errors import ConfigError, MissingFileError, ModelError
from sdrt.files import exists, is_folder
from sdrt.models.base import ModelLimits, PipelineFlags
from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.coreml.config_overrides import ConfigOverrides
from sdrt.models.coreml.derived import assumed_prediction_type, assumed_release, derived_config
from sdrt.models.coreml.layout import Layout, holds_transformer
from sdrt.models.coreml.names import Role
from sdrt.models.coreml.ports import Ports, read_ports
from sdrt.models.coreml.sidecar import Sidecar
from sdrt.models.coreml.traced_values import TracedValue
from sdrt.models.coreml.vocabulary import vocabulary_size
from sdrt.models.embeddings import Embedding
from sdrt.models.families import SD2, SDXL, LatentFormat, Release
from sdrt.models.families.release import EXCLAMATION_MARK
from sdrt.models.folder import FEATURE_EXTRACTOR, checked_defaults
from sdrt.models.json_file import read_json
from sdrt.models.stored_model import StoredModel
from sdrt.values import Flag, Text, read_values

__all__ = ["CoreMLFolder", "holds_programs"]


def holds_programs(path: Path) -> ModelError:
    """Make the error for reading the weights of a package."""
    return ModelError(f"{path}: Core ML packages hold programs, not weights; use backend='coreml', or the model in diffusers' layout")


@dataclass(frozen=True)
class CoreMLFolder(StoredModel):
    """Packages in one folder, with ``vocab.json``, ``merges.txt``, ``scheduler_config.json`` and ``sdrt.json`` where there are.

    Parameters
    ----------
    path, name, embeddings, overrides, allowed, mmap
        See :class:`~sdrt.models.stored_model.StoredModel`.
    layout : Layout
        Which package is for what.
    config_overrides : ConfigOverrides
        Configurations that go before the folder's own.
    tokenizer : Path or None
        A tokenizer's folder, or a model's with ``tokenizer/`` in it, in the place of the folder's own.
    assumed : mapping from topic to sentence
        What was assumed when these packages were chosen.
    refining : bool
        Whether this is the refiner of the folder: its U-Net, and the second text encoder alone.

    Raises
    ------
    MissingFileError : there is no U-Net, or no text encoder
    ModelError : it is Stable Diffusion 3
    """

    holds_packages: ClassVar[bool] = True

    layout: Layout[Path] = field(default_factory=lambda: Layout(path=Path(), roles={}))
    config_overrides: ConfigOverrides = field(default_factory=ConfigOverrides)
    tokenizer: Path | None = None
    assumed: Mapping[str, str] = field(default_factory=dict)
    refining: bool = False

    def __post_init__(self) -> None:
        components = self.own_components
        if "unet" not in components or not {"text_encoder", "text_encoder_2"} & set(components):
            if "unet" not in components and holds_transformer(self.layout.path):
                raise ModelError(
                    f"{self.layout.path}: must be a model with a U-Net, got Stable Diffusion 3; sdrt has no network for it yet"
                )
            lacking = "U-Net" if "unet" not in components else "text encoder"
            raise MissingFileError(
                f"{self.layout.path}: has no package of a {lacking} (found: {', '.join(self.layout.roles)}); convert it into this folder"
            )

    # ---- packages

    def roles(self, component: ComponentName) -> Mapping[Role, tuple[Path, ...]]:
        """Return the packages that may run a component, each in one piece or in two halves; empty where there are none."""
        if self.refining:
            if component == "text_encoder":
                return {}
            if component == "unet" and (refiner := self.layout.roles.get("refiner")):
                return {"refiner": refiner}
        roles = (package.role for package in COMPONENTS[component].packages if package.role != "refiner")
        return {role: self.layout.roles[role] for role in roles if role in self.layout.roles}

    def traced_values(self, role: Role) -> Mapping[str, TracedValue]:
        """Return where the package of a role computes what diffusers' modules give; empty where no converter of ours made it."""
        return self.sidecar.traced_values(role)

    def as_refiner(self) -> Self:
        """Return the same folder as its refiner; its only U-Net may be one.

        Raises
        ------
        ConfigError : it has none
        """
        if "refiner" not in self.layout.roles and "text_encoder" in self.layout.roles:
            raise ConfigError(f"{self.layout.path}: has no package of a refiner; convert one with --refiner-version")
        return replace(self, refining=True)

    @cached_property
    def ports(self) -> Mapping[ComponentName, Ports]:
        """Inputs and outputs of each component, of a U-Net in its first role."""
        return {component: read_ports(next(iter(self.roles(component).values()))) for component in self.own_components}

    # ---- a model's own components

    @property
    def own_components(self) -> tuple[ComponentName, ...]:
        """The components that have packages."""
        return tuple(component for component in COMPONENTS if self.roles(component))

    def own_config(self, component: ComponentName) -> dict[str, Any]:
        """Return what was given, else what ``sdrt.json`` says, else what the packages' shapes say."""
        key = "refiner" if self.refining and component == "unet" and "refiner" in self.layout.roles else component
        if key == component and component in self.config_overrides.components:
            return dict(self.config_overrides.components[component])
        if key in self.sidecar.configs:
            return COMPONENTS[component].complete(self.sidecar.configs[key], self.sidecar.file, self.allowed)
        config = derived_config(component, self.ports)
        return config | {"vocab_size": self._vocabulary_sizes[component]} if component in self._vocabulary_sizes else config

    def own_tensors(self, component: ComponentName) -> ComponentTensors:
        """Refused: they are inside the programs."""
        raise holds_programs(next(iter(self.roles(component).values()))[0])

    def own_files(self, component: ComponentName) -> tuple[Path, ...]:
        """Its packages."""
        return tuple(path for paths in self.roles(component).values() for path in paths)

    def own_where(self, component: ComponentName) -> Path:
        """``sdrt.json`` where it describes the component, else its package."""
        return self.sidecar.file if component in self.sidecar.configs else next(iter(self.roles(component).values()))[0]

    def with_embeddings(self, embeddings: Sequence[Embedding]) -> Self:
        """Refused unless there are none: the text encoder's table is inside its program."""
        if embeddings:
            raise ConfigError(f"{embeddings[0].file}: a Core ML text encoder takes no embeddings; leave them out, or use the source model")
        return self

    # ---- what lies beside the packages

    @cached_property
    def tokenizer_path(self) -> Path | None:
        """The folder that was given or holds ``vocab.json``; None where CLIP's own vocabulary stands in."""
        if self.tokenizer is not None:
            inner = self.tokenizer / "tokenizer"
            return inner if is_folder(inner) else self.tokenizer
        return self.layout.path if exists(self.layout.path / "vocab.json") else None

    @cached_property
    def tokenizer_2_path(self) -> Path | None:
        """The same for the second text encoder."""
        if self.tokenizer is not None and is_folder(inner := self.tokenizer / "tokenizer_2"):
            return inner
        return self.tokenizer_path

    @cached_property
    def pad_tokens(self) -> Mapping[ComponentName, str]:
        """What pads each text encoder's rows, in the folder's vocabulary too."""
        stored = self.sidecar.section("pad_tokens", Text(200, empty=False))
        # a refiner's folder is asked for the base model's encoders too
        known: dict[ComponentName, str] = {encoder.component: encoder.pad_token for encoder in (*SDXL.encoders, *self._release.encoders)}
        return known | {component: stored[component] for component in COMPONENTS if component in stored}

    @cached_property
    def scheduler_config(self) -> Mapping[str, Any]:
        """What was given, else ``scheduler_config.json``, else that of the release that the packages' shapes tell, as published."""
        if self.config_overrides.scheduler is not None:
            return self.config_overrides.scheduler
        if exists(self._scheduler_file):
            return read_json(self._scheduler_file, self.allowed)
        return {**self._release.scheduler, "prediction_type": self._prediction_type}

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """The preferences in ``sdrt.json``; the first size that the packages take where it has none."""
        stored = dict(checked_defaults(self.sidecar.file, self.sidecar.preferences))
        sizes = self.limits.sizes
        if sizes and (stored.get("height"), stored.get("width")) not in sizes:
            stored |= {"height": sizes[0][0], "width": sizes[0][1]}
        return stored

    @cached_property
    def flags(self) -> PipelineFlags:
        """What ``sdrt.json`` says, else what diffusers' pipelines do."""
        stored = self.sidecar.section("flags", Flag())
        if stored and not self.refining:
            return PipelineFlags(**{key: stored.get(key, False) for key in PipelineFlags.__dataclass_fields__})
        return self._release.flags

    @cached_property
    def feature_extractor_config(self) -> Mapping[str, Any]:
        """What ``sdrt.json`` says."""
        stored = self.sidecar.section("feature_extractor")
        where = f"{self.sidecar.file}: coreml.feature_extractor."
        return stored | read_values(where, stored, FEATURE_EXTRACTOR, "convert the model again", ModelError)

    @cached_property
    def limits(self) -> ModelLimits:
        """What the packages take."""
        unet, pixels = self.ports["unet"], LatentFormat.read(self.config("vae_decoder")).pixels
        sample, states = unet.inputs.get("sample"), unet.inputs.get("encoder_hidden_states")
        timestep = unet.inputs.get("timestep")
        shapes = () if sample is None or sample.ranges else sample.choices or (sample.shape,)
        return ModelLimits(
            sizes=tuple((shape[2] * pixels, shape[3] * pixels) for shape in shapes),
            num_tokens=None if states is None or states.ranges or states.choices else unet.shape("encoder_hidden_states")[-1],
            timestep_dtype=timestep.dtype if timestep is not None and timestep.dtype else "float32",
        )

    # ---- what the folder does not say

    @cached_property
    def _vocabulary_sizes(self) -> Mapping[ComponentName, int]:
        sizes: dict[ComponentName, int] = {}
        for component in (each for each in self.own_components if each in ("text_encoder", "text_encoder_2")):
            width = derived_config(component, self.ports)["hidden_size"]
            if size := vocabulary_size(self.own_files(component), width, self.allowed):
                sizes[component] = size
        return sizes

    @property
    def own_remarks(self) -> Mapping[str, str]:
        """What the folder does not say and was assumed."""
        release, assumed = self._release, dict(self.assumed)
        if self.tokenizer_path is None:
            assumed["assumed tokenizer"] = "CLIP's own vocabulary, for want of a vocab.json; pass another with tokenizer="
        if "pad_tokens" not in self.sidecar.stated and release is SD2:
            assumed["assumed pad token"] = f"{EXCLAMATION_MARK!r}, that of {release.name}, by the width of its texts"
        if self.config_overrides.scheduler is None and not exists(self._scheduler_file):
            assumed["assumed scheduler"] = f"that of {release.name}, for want of a scheduler_config.json; pass another with config="
            if release is SD2:
                size = self.own_config("unet")["sample_size"]
                assumed["assumed prediction_type"] = f"{self._prediction_type}, by latents of {size}; if that is wrong, pass config="
        if "vae_decoder" not in self.sidecar.configs and "vae_decoder" not in self.config_overrides.components:
            assumed["assumed scaling_factor"] = f"that of {release.name}, for want of an sdrt.json"
        return assumed

    @property
    def _prediction_type(self) -> str:
        return assumed_prediction_type(self.own_config("unet"), self._release)

    @property
    def _release(self) -> Release:
        return assumed_release(self.own_config("unet"), refining=self.refining)

    @property
    def _scheduler_file(self) -> Path:
        return self.layout.path / "scheduler_config.json"

    @cached_property
    def sidecar(self) -> Sidecar:
        """What ``sdrt.json`` says; empty where it is not there."""
        return Sidecar(self.layout.path, self.allowed)
