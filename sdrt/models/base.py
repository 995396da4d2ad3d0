"""The protocol of a model on disk: what backends and pipeline ask of it, wherever its files lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeAlias

from sdrt.limits import Limits
from sdrt.models.component_tensors import Change, ComponentTensors
from sdrt.models.components import ComponentName
from sdrt.models.embeddings import Embedding

__all__ = ["Model", "ModelLimits", "Pickled", "PipelineFlags", "PredictionType"]

# What to do about weights that would have to be unpickled: refuse them, or let torch read tensors from them and nothing else.
Pickled: TypeAlias = Literal["refuse", "weights_only"]

PredictionType: TypeAlias = Literal["epsilon", "v_prediction"]


@dataclass(frozen=True, kw_only=True)
class PipelineFlags:
    """What a model says about its pipeline, beside its components (``model_index.json`` in a folder).

    Parameters
    ----------
    force_zeros_for_empty_prompt : bool
        Without a negative prompt the unconditional rows are zeros, not the text encoder's states for "" (SDXL's base model).
    """

    force_zeros_for_empty_prompt: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelLimits:
    """What a model takes no more than, because its networks were fixed when they were made (Core ML packages).

    Parameters
    ----------
    sizes : tuple of (height, width)
        The pictures that it draws, in pixels; empty: any.
    num_tokens : int or None
        Places in a row of ``encoder_hidden_states``; None: any number.
    timestep_dtype : "float32" or "float16"
        To which its denoiser's timesteps are rounded.
    """

    sizes: tuple[tuple[int, int], ...] = ()
    num_tokens: int | None = None
    timestep_dtype: str = "float32"


class Model(Protocol):
    """Configurations and weights by component. Opening one reads names at most; weights are memory-mapped where their format allows it."""

    @property
    def name(self) -> str:
        """What the model is called in settings and messages."""
        ...

    @property
    def path(self) -> Path:
        """Its folder or its file."""
        ...

    @property
    def components(self) -> tuple[ComponentName, ...]:
        """The components that are there, in the order of ``COMPONENTS``."""
        ...

    def config(self, component: ComponentName) -> Mapping[str, Any]:
        """Return the configuration of a component, in diffusers' and transformers' terms, the defaults of its class filled in."""
        ...

    def tensors(self, component: ComponentName) -> ComponentTensors:
        """Return the weights of a component by canonical name, with everything that was added to the model laid over them."""
        ...

    def files(self, component: ComponentName) -> tuple[Path, ...]:
        """Return the files, or folders of files, that hold the component's weights."""
        ...

    def where(self, component: ComponentName) -> Path:
        """Return the file that the configuration of a component comes from, for messages."""
        ...

    @property
    def tokenizer_path(self) -> Path | None:
        """The tokenizer's folder of ``text_encoder``; None where the model brings none, see ``pad_tokens``."""
        ...

    @property
    def tokenizer_2_path(self) -> Path | None:
        """The tokenizer's folder of ``text_encoder_2``."""
        ...

    @property
    def pad_tokens(self) -> Mapping[ComponentName, str]:
        """For each text encoder that has no tokenizer's folder: what pads CLIP's own vocabulary, which ships with sdrt."""
        ...

    @property
    def scheduler_config(self) -> Mapping[str, Any]:
        """The configuration of the model's own scheduler, in diffusers' terms."""
        ...

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The model's preferences: ``num_inference_steps``, ``guidance_scale``, ``height``, ``width``, each where it has one."""
        ...

    @property
    def flags(self) -> PipelineFlags:
        """What the model says about its pipeline."""
        ...

    @property
    def feature_extractor_config(self) -> Mapping[str, Any]:
        """How the safety checker's pictures are prepared (``preprocessor_config.json``); empty where the model does not say."""
        ...

    @property
    def limits(self) -> ModelLimits:
        """Sizes and lengths that its networks are fixed to; of a model with weights there are none."""
        ...

    @property
    def remarks(self) -> Mapping[str, str]:
        """What was assumed of it, ignored or not understood: one sentence for each short topic (``"assumed scheduler"``)."""
        ...

    @property
    def allowed(self) -> Limits:
        """The most that reading it may take of each amount."""
        ...

    @property
    def mmap(self) -> bool:
        """Whether its weights are views of the disk."""
        ...

    @property
    def embeddings(self) -> tuple[Embedding, ...]:
        """Tokens of textual inversion over the model's own vocabulary."""
        ...

    def embedding_ids(self, component: ComponentName) -> Mapping[str, range]:
        """Return the ids of each embedding's vectors in a text encoder, by its token."""
        ...

    def with_changes(self, changes: Mapping[ComponentName, Mapping[str, Change]]) -> Self:
        """Return the same model with tensors that are changed whenever they are read."""
        ...
