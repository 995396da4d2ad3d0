"""What every model on disk has in common: its own parts, and what is laid over them once for all backends."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from sdrt.errors import ConfigError, MissingFileError
from sdrt.models.base import Model, ModelLimits, PipelineFlags
from sdrt.models.embeddings import Embedding
from sdrt.models.parts import PARTS, Part
from sdrt.models.weights import Weights

__all__ = ["StoredModel"]

_EMBEDDING_TABLE = "embeddings.token_embedding.weight"


@dataclass(frozen=True)
class StoredModel(ABC):
    """A model whose files lie somewhere; subclasses read its own parts.

    Parameters
    ----------
    path : Path
        Its folder or its file.
    name : str
        What the model is called in settings and messages.
    embeddings : tuple of Embedding
        Tokens of textual inversion over the model's own vocabulary, see :meth:`with_embeddings`.
    components : tuple of Model
        Parts from elsewhere that stand before the model's own, see :meth:`with_component`.
    """

    path: Path
    name: str
    embeddings: tuple[Embedding, ...] = ()
    components: tuple[Model, ...] = ()

    @property
    @abstractmethod
    def own_parts(self) -> tuple[Part, ...]:
        """The parts in the model's own files."""

    @abstractmethod
    def own_config(self, part: Part) -> dict[str, Any]:
        """The configuration of an own part, defaults filled in."""

    @abstractmethod
    def own_tensors(self, part: Part) -> Weights:
        """The weights of an own part by canonical name."""

    @abstractmethod
    def own_where(self, part: Part) -> Path:
        """The file that the configuration of an own part comes from."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that can be opened."""
        there = {*self.own_parts, *(part for component in self.components for part in component.parts)}
        return tuple(part for part in PARTS if part in there)

    def config(self, part: Part) -> Mapping[str, Any]:
        """The part's configuration over the defaults of its class.

        Raises
        ------
        ConfigError : no part has this name
        MissingFileError, ModelError : it is not there, or cannot be used
        """
        if component := self._component(part):
            return component.config(part)
        config = self.own_config(part)
        if part == "text_encoder" and self.embeddings:
            config["vocab_size"] += sum(len(each.vectors) for each in self.embeddings)
        return config

    def tensors(self, part: Part) -> Weights:
        """The part's weights by canonical name, embeddings below the text encoder's own.

        Raises
        ------
        ConfigError : no part has this name
        MissingFileError, WeightsError : no weights, or such that cannot be used
        """
        if component := self._component(part):
            return component.tensors(part)
        weights = self.own_tensors(part)
        if part == "text_encoder" and self.embeddings:
            return weights.with_rows(_EMBEDDING_TABLE, np.concatenate([each.vectors for each in self.embeddings]))
        return weights

    def where(self, part: Part) -> Path:
        """The file that the part's configuration comes from."""
        component = self._component(part)
        return component.where(part) if component else self.own_where(part)

    def with_component(self, component: Model) -> Self:
        """The same model with some parts from elsewhere: another VAE, or a ControlNet.

        >>> from sdrt.models import open_model
        >>> nano = open_model("nano")
        >>> nano.with_component(nano).where("unet") == nano.where("unet")
        True
        """
        return replace(self, components=(component, *self.components))

    def with_embeddings(self, embeddings: Sequence[Embedding]) -> Self:
        """The same model whose text encoder knows more tokens: their vectors stand below those of its own table.

        Raises
        ------
        ConfigError : vectors of another width than the text encoder's, two embeddings with one token, or a model with two text encoders
        """
        if embeddings and "text_encoder_2" in self.parts:
            raise ConfigError(
                f"{embeddings[0].file}: has vectors for one text encoder, and {self.name} is of Stable Diffusion XL's kind; leave it out"
            )
        files: dict[str, Path] = {}
        for each in (*self.embeddings, *embeddings):
            if (first := files.setdefault(each.token, each.file)) is not each.file:
                raise ConfigError(f"{first} and {each.file} both have the token {each.token!r}; give one of them another")
        if not embeddings:
            return self
        width = self.config("text_encoder")["hidden_size"]
        for each in embeddings:
            if each.vectors.shape[1] != width:
                raise ConfigError(
                    f"{each.file}: the vectors of {each.token!r} have {each.vectors.shape[1]} numbers, but the text encoder of {self.name} "
                    f"has {width} (Stable Diffusion 1.x 768, 2.x 1024); take an embedding that was trained for this model"
                )
        return replace(self, embeddings=(*self.embeddings, *embeddings))

    @property
    def embedding_ids(self) -> Mapping[str, range]:
        """The ids of each embedding's vectors, by its token."""
        ids: dict[str, range] = {}
        if not self.embeddings:
            return ids
        at = self.config("text_encoder")["vocab_size"] - sum(len(each.vectors) for each in self.embeddings)
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
    def pad_tokens(self) -> Mapping[Part, str]:
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

    def _component(self, part: Part) -> Model | None:
        if part not in PARTS:
            raise ConfigError(f"a part is one of {', '.join(PARTS)}; got {part!r}")
        for component in self.components:
            if part in component.parts:
                return component
        if part not in self.own_parts:
            raise MissingFileError(f"{self.path}: has no {part}; its parts are {', '.join(self.parts)}")
        return None
