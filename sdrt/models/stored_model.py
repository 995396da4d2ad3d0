"""What every model on disk has in common: its own components, and what is laid over them once for all backends."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from sdrt.errors import ConfigError, MissingFileError
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models.base import Model, ModelLimits, PipelineFlags
from sdrt.models.component_tensors import Change, ComponentTensors
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.embeddings import Embedding, paired

__all__ = ["Extension", "StoredModel"]

_TEXT_ENCODERS: tuple[ComponentName, ...] = ("text_encoder", "text_encoder_2")
_LEGACY_EOS_TOKEN_ID = 2
_EMBEDDING_TABLE = "embeddings.token_embedding.weight"


@dataclass(frozen=True, eq=False)
class Extension:
    """What stands beside a component's own: further keys of its configuration, and further tensors.

    Parameters
    ----------
    config : mapping
        By these keys the contract knows of inputs that the component then needs, and a backend that it cannot run it.
    tensors : callable or None
        Gives the tensors by canonical name, at each opening.
    """

    config: Mapping[str, Any]
    tensors: Callable[[], ComponentTensors] | None = None


@dataclass(frozen=True)
class StoredModel(ABC):
    """A model whose files lie somewhere; subclasses read its own components.

    Parameters
    ----------
    path : Path
        Its folder or its file.
    name : str
        What the model is called in settings and messages.
    embeddings : tuple of Embedding
        Tokens of textual inversion over the model's own vocabulary, see :meth:`with_embeddings`.
    overrides : tuple of Model
        Models whose components stand before the model's own, see :meth:`with_override`.
    changes : mapping from component to mapping from tensor to Change
        What is done to tensors whenever they are read, see :meth:`with_changes`.
    extensions : mapping from component to Extension
        What stands beside a component's own, see :meth:`with_extension`.
    allowed : Limits
        The most that reading it may take of each amount.
    mmap : bool
        Whether weights are views of the disk; False reads them into memory, see `sdrt.load`.
    """

    # a folder of Core ML packages: programs in the place of weights
    holds_packages: ClassVar[bool] = False

    path: Path
    name: str
    embeddings: tuple[Embedding, ...] = ()
    overrides: tuple[Model, ...] = ()
    changes: Mapping[ComponentName, Mapping[str, Change]] = field(default_factory=dict)
    extensions: Mapping[ComponentName, Extension] = field(default_factory=dict)
    allowed: Limits = DEFAULT_LIMITS
    mmap: bool = True

    @property
    @abstractmethod
    def own_components(self) -> tuple[ComponentName, ...]:
        """The components in the model's own files."""

    @abstractmethod
    def own_config(self, component: ComponentName) -> dict[str, Any]:
        """Return the configuration of an own component, defaults filled in."""

    @abstractmethod
    def own_tensors(self, component: ComponentName) -> ComponentTensors:
        """Return the weights of an own component by canonical name."""

    def own_files(self, component: ComponentName) -> tuple[Path, ...]:
        """Return the files, or folders of files, that hold the weights of an own component."""
        return self.own_tensors(component).files

    @abstractmethod
    def own_where(self, component: ComponentName) -> Path:
        """Return the file that the configuration of an own component comes from."""

    @property
    def components(self) -> tuple[ComponentName, ...]:
        """The components that can be opened."""
        components = {*self._visible_components, *(component for override in self.overrides for component in override.components)}
        return tuple(component for component in COMPONENTS if component in components)

    def config(self, component: ComponentName) -> Mapping[str, Any]:
        """Return the component's configuration over the defaults of its class.

        Raises
        ------
        ConfigError : no component has this name
        MissingFileError, ModelError : it is not there, or cannot be used
        """
        extension = self.extensions.get(component)
        beside: Mapping[str, Any] = {} if extension is None else extension.config
        if override := self._override(component):
            return {**override.config(component), **beside}
        config: dict[str, Any] = {**self.own_config(component), **beside}
        if component in _TEXT_ENCODERS and self.embeddings:
            if component == "text_encoder_2" and config["eos_token_id"] == _LEGACY_EOS_TOKEN_ID:
                # by the old rule the pooled state is that of the highest id, which would be an embedding's. transformers 5.23 has it so.
                config["eos_token_id"] = config["vocab_size"] - 1
            config["vocab_size"] += sum(len(each.vectors) for each in self.embeddings)
        return config

    def tensors(self, component: ComponentName) -> ComponentTensors:
        """Return the component's weights by canonical name, changed as asked, embeddings below the text encoders' own.

        Raises
        ------
        ConfigError : no component has this name
        MissingFileError, WeightsError : no weights, or such that cannot be used
        """
        override = self._override(component)
        weights = override.tensors(component) if override else self.own_tensors(component)
        if changes := self.changes.get(component):
            weights = weights.with_changes(changes)
        extension = self.extensions.get(component)
        if extension is not None and extension.tensors is not None:
            weights = weights.joined(extension.tensors())
        if override:
            return weights
        if component in _TEXT_ENCODERS and self.embeddings:
            rows = [each.vectors if component == "text_encoder" else each.vectors_2 for each in self.embeddings]
            return weights.with_rows(_EMBEDDING_TABLE, np.concatenate([each for each in rows if each is not None]))
        return weights

    def where(self, component: ComponentName) -> Path:
        """Return the file that the component's configuration comes from."""
        override = self._override(component)
        return override.where(component) if override else self.own_where(component)

    def files(self, component: ComponentName) -> tuple[Path, ...]:
        """Return the files, or folders of files, that hold the component's weights; embeddings have their own."""
        override = self._override(component)
        return override.files(component) if override else self.own_files(component)

    def with_override(self, override: Model) -> Self:
        """Return the same model with some components from elsewhere: another VAE, or a ControlNet.

        >>> from sdrt.models import open_model
        >>> nano = open_model("nano")
        >>> nano.with_override(nano).where("unet") == nano.where("unet")
        True
        """
        return replace(self, overrides=(override, *self.overrides))

    def with_embeddings(self, embeddings: Sequence[Embedding]) -> Self:
        """Return the same model with more tokens: their vectors stand below those of the text encoders' own tables.

        Of a model with two text encoders each token has vectors for both, from one file or from two.

        Raises
        ------
        ConfigError : vectors of another width than a text encoder's, or for more or fewer text encoders; two embeddings with one token
        """
        if not embeddings:
            return self
        encoders = [component for component in _TEXT_ENCODERS if component in self.components]
        widths = [self.config(component)["hidden_size"] for component in encoders]
        together = [*self.embeddings, *(paired(embeddings, widths[0]) if len(encoders) > 1 else embeddings)]
        files: dict[str, Path] = {}
        for each in together:
            if (first := files.setdefault(each.token, each.file)) is not each.file:
                raise ConfigError(f"{first} and {each.file} both have the token {each.token!r}; give one of them another")
            vectors = [each.vectors] if each.vectors_2 is None else [each.vectors, each.vectors_2]
            if len(vectors) != len(encoders):
                raise ConfigError(
                    f"{each.file}: {each.token!r} must have vectors for each text encoder of {self.name}, which has {len(encoders)}, got "
                    f"them for {len(vectors)} (Stable Diffusion XL's has clip_l and clip_g, or a second file); take another one"
                )
            for component, own, width in zip(encoders, vectors, widths, strict=True):
                if own.shape[1] != width:
                    raise ConfigError(
                        f"{each.file}: the vectors of {each.token!r} must have {width} numbers for the {component.replace('_', ' ')} of "
                        f"{self.name} (Stable Diffusion 1.x 768, 2.x 1024, XL 768 and 1280), got {own.shape[1]}; "
                        "take an embedding that was trained for this model"
                    )
        return replace(self, embeddings=tuple(together))

    def with_changes(self, changes: Mapping[ComponentName, Mapping[str, Change]]) -> Self:
        """Return the same model with tensors that are changed whenever they are read, in place of earlier changes.

        Raises
        ------
        ConfigError : a model of programs, whose weights are fixed
        """
        if self.holds_packages and any(changes.values()):
            raise ConfigError(
                f"{self.path}: holds Core ML packages, whose weights are fixed; convert its source model with --lora FILE:STRENGTH"
            )
        return replace(self, changes=changes)

    def with_extension(self, component: ComponentName, extension: Extension) -> Self:
        """Return the same model with something beside a component's own, in place of what was there before."""
        return replace(self, extensions={**self.extensions, component: extension})

    def embedding_ids(self, component: ComponentName) -> Mapping[str, range]:
        """Return the ids of each embedding's vectors in a text encoder, by its token."""
        ids: dict[str, range] = {}
        if not self.embeddings:
            return ids
        at = self.config(component)["vocab_size"] - sum(len(each.vectors) for each in self.embeddings)
        for each in self.embeddings:
            ids[each.token] = range(at, at + len(each.vectors))
            at += len(each.vectors)
        return ids

    @property
    def tokenizer_path(self) -> Path | None:
        """The tokenizer's folder of ``text_encoder``; None where the model brings none."""
        return None

    @property
    def tokenizer_2_path(self) -> Path | None:
        """The tokenizer's folder of ``text_encoder_2``; None where the model brings none."""
        return None

    @property
    def pad_tokens(self) -> Mapping[ComponentName, str]:
        """For each text encoder without a tokenizer's folder: what pads CLIP's own vocabulary."""
        return {}

    @property
    def scheduler_config(self) -> Mapping[str, Any]:
        """The configuration of the model's own scheduler; empty where it has none."""
        return {}

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The model's own preferences; empty where it has none."""
        return {}

    @property
    def flags(self) -> PipelineFlags:
        """What the model says about its pipeline."""
        return PipelineFlags()

    @property
    def feature_extractor_config(self) -> Mapping[str, Any]:
        """How the safety checker's pictures are prepared; empty where the model does not say."""
        return {}

    @property
    def limits(self) -> ModelLimits:
        """Sizes and lengths that its networks are fixed to: none."""
        return ModelLimits()

    @property
    def remarks(self) -> Mapping[str, str]:
        """What was assumed, ignored or not understood, of the model and of its overrides."""
        remarks: dict[str, str] = {}
        for override in self.overrides:
            remarks |= override.remarks
        return {**remarks, **self.own_remarks}

    @property
    def own_remarks(self) -> Mapping[str, str]:
        """What was assumed, ignored or not understood of the model without its overrides: nothing."""
        return {}

    @property
    def _visible_components(self) -> tuple[ComponentName, ...]:
        """The own components but for an encoder whose decoder is replaced: the two agree on the scale of latents."""
        replaced = any("vae_decoder" in override.components for override in self.overrides)
        return tuple(component for component in self.own_components if not (replaced and component == "vae_encoder"))

    def _override(self, component: ComponentName) -> Model | None:
        if component not in COMPONENTS:
            raise ConfigError(f"component must be one of {', '.join(COMPONENTS)}, got {component!r}; choose one of those")
        for override in self.overrides:
            if component in override.components:
                return override
        if component not in self._visible_components:
            raise MissingFileError(f"{self.path}: has no {component}; its components are {', '.join(self.components)}")
        return None
