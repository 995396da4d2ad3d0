"""The metadata of a package: its description, and the options by which a later conversion recognises an outdated file."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.compression.settings import Compression
from sdrt._version import __version__
from sdrt.backends.coreml import describe
from sdrt.errors import SdrtError
from sdrt.models.coreml.names import Role
from sdrt.models.hub import is_repo_id

if TYPE_CHECKING:
    from converter.jobs import Job
    from converter.parts.traceable import TraceablePart

__all__ = ["OPTIONS", "annotate", "compression_text", "describe_part", "differences", "read_options", "record_compression"]

OPTIONS, _DIGEST = "sdrt.pipeline.options", "sdrt.digest"
# By this entry, tools recognise a U-Net of Apple's interface. Source: apple/ml-stable-diffusion at e12202c, torch2coreml.py, _version.py.
_APPLES_VERSION = "com.github.apple.ml-stable-diffusion.version"

_SUMMARIES: Mapping[Role, str] = {
    "text_encoder": "Encodes the prompt: the text encoder of a Stable Diffusion model",
    "text_encoder_2": "Encodes the prompt: the second text encoder of a Stable Diffusion XL model",
    "unet": "Predicts the noise in latents at each step: the U-Net of a Stable Diffusion model",
    "control_unet": "Predicts the noise in latents at each step, guided by a ControlNet: the U-Net of a Stable Diffusion model",
    "refiner": "Predicts the noise in latents at the last steps: the U-Net of a Stable Diffusion XL refiner",
    "vae_decoder": "Decodes latents to an image: the decoder of a Stable Diffusion model's autoencoder",
    "vae_encoder": "Encodes an image to latents: the encoder of a Stable Diffusion model's autoencoder",
    "safety_checker": "Flags images that are not safe for work, and blanks them",
    "controlnet": "Turns an image of edges, depth, poses or the like into guidance for the U-Net: a ControlNet for Stable Diffusion",
}


def annotate(description: Any, like: Any) -> None:
    """Copy a model's metadata and the texts of its inputs and outputs to another model.

    Parameters
    ----------
    description, like : coremltools.proto.Model_pb2.ModelDescription
        The first is changed. Author, licence, version, summary and user-defined entries are copied, and the text of each input and output
        that has one in ``like`` under the same name.
    """
    own = dict(description.metadata.userDefined)
    description.metadata.CopyFrom(like.metadata)
    for key, value in own.items():
        if key not in like.metadata.userDefined:
            description.metadata.userDefined[key] = value
    texts = {feature.name: feature.shortDescription for feature in (*like.input, *like.output)}
    for feature in (*description.input, *description.output):
        if texts.get(feature.name):
            feature.shortDescription = texts[feature.name]


def compression_text(compression: Compression | None) -> str:
    """Return the compression in one line.

    >>> from converter.compression import Palettization
    >>> compression_text(None), compression_text(Palettization(nbits=6))
    ('none', 'Palettization(nbits=6, min_elements=2048)')
    """
    return "none" if compression is None else repr(compression)


def describe_part(model: Any, part: "TraceablePart", job: "Job") -> None:
    """Write a model's metadata: its origin, the meaning of its inputs and outputs, and everything that an app needs to run it.

    Parameters
    ----------
    model : coremltools.models.MLModel
    part : TraceablePart
    job : Job
    """
    source, base = job.source, job.base
    card = f" (https://huggingface.co/{source.name})" if is_repo_id(source.name) else ""
    model.author = f"The authors of {source.name}{card}; converted with sdrt {__version__}"
    model.license = f"As {source.name} is licensed{card}"
    model.version = source.name
    model.short_description = f"{_SUMMARIES[part.role]} ({source.name})."
    for tensor in part.inputs:
        model.input_description[tensor.name] = tensor.text
    for tensor in part.outputs:
        model.output_description[tensor.name] = tensor.text
    vae, scheduler = base.config("vae_decoder"), base.model.scheduler_config
    build_options = json.dumps(job.build_options, sort_keys=True)
    entries = {
        "sdrt.version": __version__,
        "sdrt.role": part.role,
        "sdrt.source": source.name,
        "sdrt.revision": source.revision or "",
        "sdrt.latent_sizes": json.dumps(job.sizes.latents),
        "sdrt.precision": part.precision,
        "sdrt.compression": compression_text(job.options.compression),
        "sdrt.scheduler_config": json.dumps(dict(scheduler)),
        "sdrt.prediction_type": str(scheduler.get("prediction_type", "epsilon")),
        "sdrt.scaling_factor": str(vae["scaling_factor"]),
        "sdrt.shift_factor": str(vae["shift_factor"] or 0.0),
        OPTIONS: build_options,
        _DIGEST: _digest_of(build_options),
    }
    if part.role in ("unet", "control_unet", "refiner", "controlnet"):
        entries["sdrt.attention"] = str(job.options.attention)
    if part.role in ("unet", "control_unet", "refiner"):
        entries[_APPLES_VERSION] = "1.1.0"
    for key, value in entries.items():
        model.user_defined_metadata[key] = value


def record_compression(model: Any, text: str, setting: Mapping[str, Any]) -> None:
    """Write into a compressed copy of a package how it was compressed, so that no later conversion takes it for the original.

    Parameters
    ----------
    model : coremltools.models.MLModel
    text : str
        For readers.
    setting : mapping
        As JSON, in the place of the options' ``compression``.
    """
    entries = model.user_defined_metadata
    entries["sdrt.compression"] = text
    if OPTIONS in entries:
        build_options = json.dumps({**json.loads(entries[OPTIONS]), "compression": setting}, sort_keys=True)
        entries[OPTIONS] = build_options
        entries[_DIGEST] = _digest_of(build_options)


def read_options(package: Path) -> Mapping[str, Any] | None:
    """Return the options that a package was made with; None if it does not state them, or cannot be read."""
    try:
        options = json.loads(describe(package).user_defined[OPTIONS])
    except (SdrtError, KeyError, ValueError):
        return None
    return options if isinstance(options, dict) else None


def differences(made_with: Mapping[str, Any], requested: Mapping[str, Any]) -> str:
    """Describe the differences between two records of options.

    >>> differences({"batch": 2, "attention": "ORIGINAL"}, {"batch": 2, "attention": "SPLIT_EINSUM"})
    'attention is ORIGINAL instead of SPLIT_EINSUM'
    """
    keys = [key for key in {**requested, **made_with} if made_with.get(key) != requested.get(key)]
    return ", ".join(f"{key} is {made_with.get(key)} instead of {requested.get(key)}" for key in keys)


def _digest_of(build_options: str) -> str:
    return hashlib.sha256(build_options.encode()).hexdigest()[:32]
