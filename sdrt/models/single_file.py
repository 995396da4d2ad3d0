"""A whole checkpoint in one file, with the key names of the original code: configurations and scheduler out of names and shapes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.errors import ConfigError, MissingFileError
from sdrt.files import exists
from sdrt.models.base import Pickled, PipelineFlags, PredictionType
from sdrt.models.component_tensors import ComponentTensors, read_tensors
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.families import SD1, SD2, CheckpointEncoder, Release
from sdrt.models.leftovers import foreign_tensors
from sdrt.models.original.clip import clip_config, clip_places, open_clip_config, open_clip_places
from sdrt.models.original.down_path import Shapes
from sdrt.models.original.recognition import CHECKPOINT_ROOTS, UNET, VAE, find_release
from sdrt.models.original.unet import unet_config, unet_name
from sdrt.models.original.vae import vae_config, vae_levels, vae_place
from sdrt.models.pickled import refusal
from sdrt.models.plain_names import plain_names
from sdrt.models.safetensors_file import read_metadata
from sdrt.models.stored_model import StoredModel
from sdrt.models.stored_tensor import Place, StoredTensor
from sdrt.models.weight_format import weight_format
from sdrt.printable import shown

__all__ = ["SingleFileModel", "shapes_below"]


# What the metadata of Stability AI's model specification calls it (github.com/Stability-AI/ModelSpec, prediction_type).
_MODELSPEC_KEY = "modelspec.prediction_type"
_MODELSPEC: Mapping[str, PredictionType] = {"epsilon": "epsilon", "v": "v_prediction"}
# Empty tensors by which trainers of Stable Diffusion XL say how they trained; ComfyUI and AUTOMATIC1111's fork read them too.
_V_MARK, _ZERO_SNR_MARK = "v_pred", "ztsnr"
# What tells the models of 2.x that were trained further on the velocity from those that predict the noise. In-painting models are of the
# latter. Source: ``comfy/supported_models.py`` of ComfyUI 0.3.64, SD20.model_type.
_TELLING = f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"
_TELLING_DEVIATION = 0.09
_LATENT_CHANNELS = 4


@dataclass(frozen=True)
class SingleFileModel(StoredModel):
    """A checkpoint of Stable Diffusion 1.x, 2.x, XL or XL's refiner; in-painting is known by its nine channels.

    Opening reads the file's header. What no tensor says is that of the family as it was published.

    Parameters
    ----------
    path : Path
        The file.
    name, embeddings, overrides, allowed, mmap
        See :class:`~sdrt.models.stored_model.StoredModel`.
    prediction_type : "epsilon", "v_prediction" or None
        What the U-Net predicts. None is what the file's metadata (``modelspec.prediction_type``) or a tensor named ``v_pred`` says; else
        "epsilon", but for Stable Diffusion 2.x with four channels, where the weights of one norm tell, see `_predicts`.
    pickled : "refuse" or "weights_only"
        What to do about a ``.ckpt``.

    Raises
    ------
    ConfigError : an unknown prediction type
    MissingFileError : the file is not there
    ModelError : it cannot be read, or is of another family of models, which the message names
    MissingExtraError : it is a pickle, and torch is not installed
    """

    prediction_type: PredictionType | None = None
    pickled: Pickled = "refuse"

    def __post_init__(self) -> None:
        if self.prediction_type not in (None, "epsilon", "v_prediction"):
            raise ConfigError(
                f"prediction_type must be 'epsilon', 'v_prediction' or None, got {self.prediction_type!r}; choose one of those"
            )
        check_file(self.path, self.pickled)
        # found now, so that a file of another family is refused here
        _ = self.release

    @cached_property
    def release(self) -> Release:
        """What was published with models of this kind."""
        return find_release(self.path, self._shapes)

    @cached_property
    def own_components(self) -> tuple[ComponentName, ...]:
        """The components in the file."""
        components: set[ComponentName] = {"unet", *(encoder.component for encoder in self.release.encoders)}
        if self._below(VAE):
            components |= {"vae_decoder", "vae_encoder"}
        return tuple(component for component in COMPONENTS if component in components)

    def own_config(self, component: ComponentName) -> dict[str, Any]:
        """Derive the configuration from the component's shapes.

        Raises
        ------
        ModelError : another architecture
        """
        match component:
            case "unet":
                config = dict(self._unet_config)
            case "vae_decoder" | "vae_encoder":
                config = vae_config(self.path, self._below(VAE), self.release.scaling_factor)
            case _:
                config = self._encoder_config(component)
        return COMPONENTS[component].complete(config)

    def own_tensors(self, component: ComponentName) -> ComponentTensors:
        """Return the component's weights by canonical name, as views of the file."""
        match component:
            case "unet":
                layers = self._unet_config["layers_per_block"]
                prefix, place = UNET, partial(_unet_places, layers=layers)
            case "vae_decoder" | "vae_encoder":
                prefix, place = VAE, partial(vae_places, levels=vae_levels(self._below(VAE)))
            case _:
                encoder = self.encoder(component)
                layers = self.own_config(component)["num_hidden_layers"]
                prefix, place = encoder.prefix, partial(_encoder_places, encoder=encoder, layers=layers)
        return ComponentTensors([self.path], place, roots=CHECKPOINT_ROOTS, prefix=prefix, memory_map=self.mmap)

    def own_files(self, component: ComponentName) -> tuple[Path, ...]:  # noqa: ARG002 one file holds them all
        """Return the file."""
        return (self.path,)

    def own_where(self, component: ComponentName) -> Path:  # noqa: ARG002 one file holds them all
        """Return the file."""
        return self.path

    @property
    def pad_tokens(self) -> Mapping[ComponentName, str]:
        """What pads CLIP's own vocabulary for each text encoder."""
        return {encoder.component: encoder.pad_token for encoder in self.release.encoders}

    @cached_property
    def scheduler_config(self) -> Mapping[str, Any]:
        """The scheduler that the family was published with, for what this model predicts."""
        zero_snr = {"rescale_betas_zero_snr": True} if _ZERO_SNR_MARK in self._shapes else {}
        return {**self.release.scheduler, "prediction_type": self._predicts(), **zero_snr}

    @property
    def flags(self) -> PipelineFlags:
        """What the family's pipeline does."""
        return self.release.flags

    @cached_property
    def _unet_config(self) -> Mapping[str, Any]:
        config = unet_config(self.path, self._below(UNET), self._pooled_dim(), linear=self.release is not SD1)
        return config | {"sample_size": self._sample_size(), "upcast_attention": self.release.upcast_attention}

    def _tensors(self) -> Mapping[str, StoredTensor]:
        # not kept: they hold the whole file, or a map of it
        tensors = {tensor.name: tensor for tensor in read_tensors(self.path, memory_map=self.mmap)}
        return {plain: tensors[stored] for stored, plain in plain_names(tensors, CHECKPOINT_ROOTS).items()}

    @cached_property
    def _shapes(self) -> Shapes:
        return {name: tensor.shape for name, tensor in self._tensors().items()}

    def _below(self, prefix: str) -> Shapes:
        return shapes_below(self._shapes, prefix)

    def _predicts(self) -> PredictionType:
        return self._prediction[0]

    @cached_property
    def _prediction(self) -> tuple[PredictionType, str]:
        """Return what the U-Net predicts, and the reason if it was assumed."""
        if self.prediction_type is not None:
            return self.prediction_type, ""
        if _V_MARK in self._shapes:
            return "v_prediction", ""
        metadata = {} if weight_format(self.path) == "pickle" else read_metadata(self.path)
        written = metadata.get(_MODELSPEC_KEY)
        if stated := _MODELSPEC.get(written or ""):
            return stated, ""
        unknown = "" if written is None else f"; {_MODELSPEC_KEY} {shown(written)} is not known"
        if self.release is not SD2 or self._shapes[f"{UNET}input_blocks.0.0.weight"][1] != _LATENT_CHANNELS:
            return "epsilon", unknown and f"epsilon, as published{unknown}"
        tensor = self._tensors().get(_TELLING)
        deviation = 0.0 if tensor is None else float(np.std(tensor.array(), dtype=np.float64))
        predicts: PredictionType = "v_prediction" if deviation > _TELLING_DEVIATION else "epsilon"
        size = 768 if predicts == "v_prediction" else 512
        return predicts, (
            f"{predicts}, and pictures of {size}x{size}, as the deviation of {_TELLING} is {deviation:.3g} (above "
            f"{_TELLING_DEVIATION} means v_prediction); prediction_type says otherwise{unknown}"
        )

    @cached_property
    def own_remarks(self) -> Mapping[str, str]:
        """What was assumed of the U-Net's prediction, and tensors that are of no component."""
        remarks = {}
        if reason := self._prediction[1]:
            remarks["assumed prediction_type"] = reason
        prefixes = (UNET, VAE, *(encoder.prefix for encoder in self.release.encoders))
        if foreign := foreign_tensors(self.path, self._shapes, prefixes):
            remarks[f"unused tensors of {self.path.name}"] = foreign
        return remarks

    def _sample_size(self) -> int:
        # the models of 2.x that predict the noise were trained at 512 pixels
        smaller = self.release.sample_size == 96 and self._predicts() == "epsilon"
        return 64 if smaller else self.release.sample_size

    def _pooled_dim(self) -> int | None:
        return self._encoder_config("text_encoder_2")["projection_dim"] if self.release.family.takes_sizes else None

    def encoder(self, component: ComponentName) -> CheckpointEncoder:
        """Return where a text encoder stands in the file, and in whose names."""
        return next(encoder for encoder in self.release.encoders if encoder.component == component)

    def _encoder_config(self, component: ComponentName) -> dict[str, Any]:
        encoder = self.encoder(component)
        shapes = self._below(encoder.prefix)
        return clip_config(self.path, shapes) if encoder.writer == "clip" else open_clip_config(self.path, shapes, encoder.max_layers)


def check_file(file: Path, pickled: Pickled) -> None:
    """Raise unless a file is there and may be opened.

    Raises
    ------
    MissingFileError : it is not there, or is a pickle that nobody asked to read
    WeightsError : it is no file of weights
    """
    if not exists(file):
        raise MissingFileError(f"{file}: no such file; pass a checkpoint (safetensors), or a model folder")
    if weight_format(file) == "pickle" and pickled == "refuse":
        raise MissingFileError(refusal(file))


def shapes_below(shapes: Shapes, prefix: str) -> Shapes:
    """Return the shapes whose names have a prefix, which is cut off."""
    return {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}


def vae_places(stored: str, levels: int) -> Iterable[Place] | None:
    """Return where a tensor of a VAE is found, its prefix cut off; None if it has no such tensor."""
    place = vae_place(stored, levels)
    return None if place is None else (place,)


def _unet_places(stored: str, layers: int) -> Iterable[Place] | None:
    name = unet_name(stored, layers)
    return None if name is None else (Place(name),)


def _encoder_places(stored: str, encoder: CheckpointEncoder, layers: int) -> Iterable[Place] | None:
    if encoder.writer == "clip":
        return clip_places(stored)
    return open_clip_places(stored, layers, encoder.max_layers)
