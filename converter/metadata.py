"""What a package says of itself, and how an older file is told from the one that is asked for."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.options import ConvertOptions
from converter.sizes import Sizes
from converter.source import Source
from sdrt._version import __version__
from sdrt.backends.coreml import describe
from sdrt.errors import SdrtError
from sdrt.models import hub
from sdrt.models.coreml.names import Role

if TYPE_CHECKING:
    from converter.parts import Part

__all__ = ["DIGEST", "OPTIONS", "compression_text", "describe_part", "differences", "digest_of", "plain", "read_options"]

OPTIONS, DIGEST = "sdrt.pipeline.options", "sdrt.digest"

_SUMMARIES: Mapping[Role, str] = {
    "text_encoder": "Reads the prompt: the text encoder of a Stable Diffusion model",
    "text_encoder_2": "Reads the prompt: the second text encoder of a Stable Diffusion XL model",
    "unet": "Takes noise from latents, step by step: the U-Net of a Stable Diffusion model",
    "control_unet": "Takes noise from latents, step by step, as a ControlNet directs: the U-Net of a Stable Diffusion model",
    "refiner": "Takes the last of the noise from latents: the U-Net of a Stable Diffusion XL refiner",
    "vae_decoder": "Makes a picture of latents: the decoder of a Stable Diffusion model's autoencoder",
    "vae_encoder": "Makes latents of a picture: the encoder of a Stable Diffusion model's autoencoder",
    "safety_checker": "Flags pictures that are not safe for work, and blanks them",
    "controlnet": "Reads a picture of edges, depth, poses or the like, for the U-Net to follow: a ControlNet for Stable Diffusion",
}


def digest_of(asked: Mapping[str, Any]) -> str:
    """Options as one short text."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]


def compression_text(options: ConvertOptions) -> str:
    """The compression in one line; ``none`` if there is none.

    >>> compression_text(ConvertOptions(model="nano", out=Path()))
    'none'
    """
    return "none" if options.compression is None else repr(options.compression)


def describe_part(
    model: Any, part: "Part", *, source: Source, base: Source, sizes: Sizes, options: ConvertOptions, asked: Mapping[str, Any]
) -> None:
    """Write a model's metadata: whose it is, what its inputs and outputs mean, and all that an app needs to know to run it.

    Parameters
    ----------
    model : coremltools.models.MLModel
    part : Part
    source, base : Source
        The network's, and the model's whose scheduler and autoencoder go with it.
    sizes : Sizes
    options : ConvertOptions
    asked : mapping
        The options that the file depends on, see `converter.jobs`.
    """
    card = f" (https://huggingface.co/{source.name})" if hub.is_repo_id(source.name) else ""
    model.author = f"The authors of {source.name}{card}; converted with sdrt {__version__}"
    model.license = f"As {source.name} is licensed{card}"
    model.version = source.name
    model.short_description = f"{_SUMMARIES[part.role]} ({source.name})."
    for tensor in part.inputs:
        model.input_description[tensor.name] = tensor.text
    for tensor in part.outputs:
        model.output_description[tensor.name] = tensor.text
    vae, scheduler = base.config("vae_decoder"), base.model.scheduler_config
    entries = {
        "sdrt.version": __version__,
        "sdrt.role": part.role,
        "sdrt.source": source.name,
        "sdrt.revision": source.revision or "",
        "sdrt.latent_sizes": json.dumps(sizes.latents),
        "sdrt.precision": part.precision,
        "sdrt.compression": compression_text(options),
        "sdrt.scheduler_config": json.dumps(dict(scheduler)),
        "sdrt.prediction_type": str(scheduler.get("prediction_type", "epsilon")),
        "sdrt.scaling_factor": str(vae["scaling_factor"]),
        "sdrt.shift_factor": str(vae["shift_factor"] or 0.0),
        OPTIONS: json.dumps(asked, sort_keys=True),
        DIGEST: digest_of(asked),
    }
    if part.role in ("unet", "control_unet", "refiner", "controlnet"):
        entries["sdrt.attention"] = str(options.attention)
    for key, value in entries.items():
        model.user_defined_metadata[key] = value


def read_options(package: Path) -> Mapping[str, Any] | None:
    """The options that a package was made with; None if it does not say, or cannot be read."""
    try:
        found = json.loads(describe(package).user_defined[OPTIONS])
    except (SdrtError, KeyError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def differences(made: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Where two records of options part, in words.

    >>> differences({"batch": 2, "attention": "ORIGINAL"}, {"batch": 2, "attention": "SPLIT_EINSUM"})
    'attention is ORIGINAL instead of SPLIT_EINSUM'
    """
    keys = [key for key in {**asked, **made} if made.get(key) != asked.get(key)]
    return ", ".join(f"{key} is {made.get(key)} instead of {asked.get(key)}" for key in keys)


def plain(value: Any) -> Any:
    """A value as JSON keeps it: what is compared is what a file gives back."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__, **dataclasses.asdict(value)}
    return json.loads(json.dumps(value))
