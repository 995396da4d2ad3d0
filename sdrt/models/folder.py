"""A model folder in diffusers' layout: which parts it has, their configurations and their weights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from sdrt.errors import ConfigError, MissingFileError, ModelError
from sdrt.models.configs import with_defaults
from sdrt.models.embeddings import Embedding
from sdrt.models.names import canonical_name
from sdrt.models.parts import PARTS, PICKLE_SUFFIXES, SUBFOLDERS, Part
from sdrt.models.weights import Weights

__all__ = ["ModelFolder"]

# What a part's config.json may call its class. Another name is another architecture, whatever its tensors are called.
_CLASSES: dict[Part, tuple[str, ...]] = {
    "text_encoder": ("CLIPTextModel", "CLIPTextModelWithProjection"),
    "text_encoder_2": ("CLIPTextModel", "CLIPTextModelWithProjection"),
    "unet": ("UNet2DConditionModel",),
    "controlnet": ("ControlNetModel",),
    "vae_decoder": ("AutoencoderKL",),
    "vae_encoder": ("AutoencoderKL",),
    "safety_checker": ("StableDiffusionSafetyChecker",),
}

_EMBEDDING_TABLE = "embeddings.token_embedding.weight"
_WEIGHT_FILES = ("model.safetensors", "diffusion_pytorch_model.safetensors")
# What sdrt.json may hold beside its description, and of which kind.
_DEFAULTS: dict[str, tuple[type, ...]] = {"num_inference_steps": (int,), "guidance_scale": (int, float), "height": (int,), "width": (int,)}


@dataclass(frozen=True)
class ModelFolder:
    """A folder with ``unet/``, ``vae/``, ``text_encoder/``, ``tokenizer/`` and ``scheduler/``.

    Opening reads nothing but the names that are there; configurations are read when asked for, weights are memory-mapped.

    Parameters
    ----------
    path : Path
    name : str
        What the model is called in settings and messages.
    embeddings : tuple of Embedding
        Tokens of textual inversion over the model's own vocabulary, see :meth:`with_embeddings`.

    Raises
    ------
    MissingFileError : the folder or one of its parts is not there
    """

    path: Path
    name: str
    embeddings: tuple[Embedding, ...] = ()

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            raise MissingFileError(f"{self.path}: no such folder; pass a folder in diffusers' layout, 'nano', or a repository's name")
        for needed in ("text_encoder", "unet", "vae", "tokenizer", "scheduler"):
            if not (self.path / needed).is_dir():
                have = sorted(entry.name for entry in self.path.iterdir() if entry.is_dir()) or ["no folders"]
                raise MissingFileError(
                    f"{self.path}: has no {needed}/ (found: {', '.join(have)}); a model folder in diffusers' layout has one"
                )

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that can be opened."""
        return tuple(part for part in PARTS if (self.path / SUBFOLDERS[part]).is_dir())

    @property
    def tokenizer_path(self) -> Path:
        return self.path / "tokenizer"

    def config(self, part: Part) -> Mapping[str, Any]:
        """The part's ``config.json`` over the defaults of its class.

        Raises
        ------
        MissingFileError, ModelError : it is not there, is no JSON object, or is of another class of model
        """
        file = self._config_file(part)
        config = read_json(file)
        names = [config["_class_name"]] if "_class_name" in config else config.get("architectures") or []
        if names and not set(names) & set(_CLASSES[part]):
            raise ModelError(f"{file}: is of class {', '.join(names)}; sdrt's {part} is a {' or '.join(_CLASSES[part])}")
        config = with_defaults(part, config)
        if part == "text_encoder" and self.embeddings:
            config["vocab_size"] += sum(len(each.vectors) for each in self.embeddings)
        return config

    def tensors(self, part: Part) -> Weights:
        """The part's weights by canonical name.

        Raises
        ------
        MissingFileError, WeightsError : no safetensors file, or one that is cut short or no weights at all
        """
        folder = self._config_file(part).parent
        files = [folder / name for name in _WEIGHT_FILES if (folder / name).is_file()]
        if not files:
            pickled = sorted(entry.name for entry in folder.iterdir() if entry.suffix in PICKLE_SUFFIXES)
            repair = (
                f"{', '.join(pickled)} would have to be unpickled, which can run code: convert it to safetensors first"
                if pickled
                else "fetch the part's weights"
            )
            raise MissingFileError(f"{folder}: has none of {', '.join(_WEIGHT_FILES)}; {repair}")
        weights = Weights(files[:1], lambda stored: canonical_name(part, stored))
        if part == "text_encoder" and self.embeddings:
            return weights.with_rows(_EMBEDDING_TABLE, np.concatenate([each.vectors for each in self.embeddings]))
        return weights

    def with_embeddings(self, embeddings: Sequence[Embedding]) -> Self:
        """The same model whose text encoder knows more tokens: their vectors stand below those of its own table.

        Raises
        ------
        ConfigError : vectors of another width than the text encoder's, or two embeddings with one token
        """
        files: dict[str, Path] = {}
        for each in (*self.embeddings, *embeddings):
            if (first := files.setdefault(each.token, each.file)) is not each.file:
                raise ConfigError(f"{first} and {each.file} both have the token {each.token!r}; give one of them another")
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
        ids = {}
        at = self.config("text_encoder")["vocab_size"] - sum(len(each.vectors) for each in self.embeddings)
        for each in self.embeddings:
            ids[each.token] = range(at, at + len(each.vectors))
            at += len(each.vectors)
        return ids

    @cached_property
    def scheduler_config(self) -> Mapping[str, Any]:
        """``scheduler/scheduler_config.json`` as it stands."""
        return read_json(self.path / "scheduler" / "scheduler_config.json")

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """The model's own preferences, ``sdrt.json``; empty if it is not there.

        Known are ``num_inference_steps``, ``guidance_scale``, ``height`` and ``width``.

        Raises
        ------
        ModelError : a value is of the wrong kind
        """
        file = self.path / "sdrt.json"
        if not file.is_file():
            return {}
        defaults = read_json(file)
        for key, kinds in _DEFAULTS.items():
            if key in defaults and type(defaults[key]) not in kinds:
                raise ModelError(f"{file}: {key} is {' or '.join(kind.__name__ for kind in kinds)}; got {defaults[key]!r}")
        return defaults

    def _config_file(self, part: Part) -> Path:
        if part not in SUBFOLDERS:
            raise ConfigError(f"a part is one of {', '.join(PARTS)}; got {part!r}")
        return self.path / SUBFOLDERS[part] / "config.json"


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises
    ------
    MissingFileError : it is not there
    ModelError : it is not a JSON object
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(f"{file}: not found; the model folder is incomplete") from error
    except (ValueError, OSError) as error:
        raise ModelError(f"{file}: not readable as JSON ({error}); fetch it again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file}: holds a JSON {type(content).__name__}, not an object; fetch it again")
    return content
