"""Recognise what a repository is by the names of its files, its configurations and the headers of its weights; nothing else is read."""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError, SdrtError
from sdrt.models.families import SD1, SD2, SDXL, SDXL_REFINER
from sdrt.models.hub.choosing_packages import package_folders
from sdrt.models.json_file import read_json
from sdrt.models.lora.keys import parse_key
from sdrt.models.original.down_path import Shapes
from sdrt.models.original.recognition import UNET, find_release
from sdrt.models.pickled import PICKLE_SUFFIXES
from sdrt.models.weight_files import variants_of
from sdrt.models.weight_format import HEADER_LIMIT

__all__ = ["RepositoryKind", "find_kind"]

_SAFETENSORS = ".safetensors"
_INPAINTING_CHANNELS = 9
# By the width of the texts that the U-Net takes; XL's have further conditions.
_RELEASES = {768: SD1.name, 1024: SD2.name}

# Repositories of one component, by the class in their config.json.
_COMPONENTS = {
    "ControlNetModel": "ControlNet",
    "ControlNetUnionModel": "ControlNet",
    "T2IAdapter": "T2I-Adapter",
    "AutoencoderKL": "VAE",
    "AutoencoderTiny": "quick VAE",
    "UNet2DConditionModel": "U-Net",
    "CLIPTextModel": "text encoder",
    "CLIPTextModelWithProjection": "text encoder",
    "StableDiffusionSafetyChecker": "safety checker",
}

# Single files that are no whole checkpoint, by a part of a tensor's name. The first match counts.
_PARTS = (
    ("zero_convs.0.", "ControlNet"),
    ("controlnet_cond_embedding.", "ControlNet"),
    ("body.0.block1.", "T2I-Adapter"),
    ("body.0.body.0.block1.", "T2I-Adapter"),
    ("body.0.resnets.0.block1.", "T2I-Adapter"),
    ("emb_params", "embedding"),
    ("down_blocks.0.", "U-Net"),
    ("decoder.conv_in.", "VAE"),
)


@dataclass(frozen=True)
class RepositoryKind:
    """What a repository is.

    Parameters
    ----------
    words : str
        Such as "Stable Diffusion XL", "ControlNet", "Core ML packages", "other".
    variants : tuple of str
        What there is to choose from: folders of Core ML packages (``original/packages``), or variants of weights (``fp16``).
    """

    words: str
    variants: tuple[str, ...] = ()


def find_kind(folder: Path) -> RepositoryKind:
    """Find out what a repository is from what is there of it; a damaged or unknown one is "other", and never an error.

    Parameters
    ----------
    folder : Path
        Of the repository's files, which may be some of them only.
    """
    names = _names(folder)
    try:
        if folders := package_folders(names):
            return RepositoryKind("Core ML packages", tuple(sorted(folders.keys() - {""})))
        if {"model_index.json", "unet/config.json"} & names:
            return RepositoryKind(_pipeline(folder, names), _variants(names))
        if "config.json" in names:
            return RepositoryKind(_component(read_json(folder / "config.json")), _variants(names))
        return RepositoryKind(_single_files(folder, names))
    except (SdrtError, OSError, ValueError, KeyError, TypeError, RecursionError):
        return RepositoryKind("other")


def _names(folder: Path) -> set[str]:
    """Return the files of a folder by their paths in it; what cannot be listed is left out."""
    return {Path(parent, name).relative_to(folder).as_posix() for parent, _, names in os.walk(folder) for name in names}


def _variants(names: Collection[str]) -> tuple[str, ...]:
    """Return the variants of weights, such as ``fp16``, that file names tell."""
    return variants_of(name.rpartition("/")[2] for name in names if name.endswith(_SAFETENSORS))


def _pipeline(folder: Path, names: Collection[str]) -> str:
    """Name a model in diffusers' layout."""
    index = read_json(folder / "model_index.json") if "model_index.json" in names else {}
    pipeline = str(index.get("_class_name", "StableDiffusionPipeline"))
    if not pipeline.startswith(("StableDiffusion", "LatentConsistency")) or pipeline.startswith("StableDiffusion3"):
        return f"other: {pipeline}"
    if "unet/config.json" not in names:
        return SDXL.name if "XL" in pipeline else "Stable Diffusion"
    config = read_json(folder / "unet/config.json")
    return _release(config, has_first_encoder=any(name.startswith("text_encoder/") for name in names)) + _inpainting(
        config.get("in_channels")
    )


def _release(config: Mapping[str, Any], *, has_first_encoder: bool) -> str:
    if config.get("addition_embed_type") == "text_time":
        return SDXL.name if has_first_encoder else SDXL_REFINER.name
    width = config.get("cross_attention_dim")
    return _RELEASES.get(width if isinstance(width, int) else 0, "Stable Diffusion")


def _inpainting(channels: object) -> str:
    return ", in-painting" if channels == _INPAINTING_CHANNELS else ""


def _component(config: Mapping[str, Any]) -> str:
    names = (config.get("_class_name"), *(config.get("architectures") or ()))
    return next((_COMPONENTS[name] for name in names if name in _COMPONENTS), "other")


def _single_files(folder: Path, names: Collection[str]) -> str:
    """Name what a repository of weights without configurations holds."""
    found = [_single_file(folder / name) for name in sorted(names) if name.endswith(_SAFETENSORS)]
    found += ["pickled weights"] if any(name.endswith(PICKLE_SUFFIXES) for name in names) else []
    return " and ".join(dict.fromkeys(found)) or "other"


def _single_file(file: Path) -> str:
    try:
        shapes = _shapes(file)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "damaged file"
    if (first := shapes.get(f"{UNET}input_blocks.0.0.weight")) is not None:
        try:
            release = find_release(file, shapes).name
        except ModelError:
            return "single file, other"
        return f"single file, {release}{_inpainting(next(iter(first[1:]), None))}"
    if any(parse_key(name) is not None for name in shapes):
        return "LoRA"
    if len(shapes) == 1 or set(shapes) == {"clip_l", "clip_g"}:
        return "embedding"
    return next((kind for mark, kind in _PARTS if any(mark in name for name in shapes)), "other")


def _shapes(file: Path) -> Shapes:
    """Read the header of a safetensors file.

    Raises
    ------
    OSError : the disk refuses
    ValueError, KeyError, TypeError, RecursionError : it is not a safetensors file
    """
    # to list a cache is not to use it: without this flag each file would count as read today
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(file, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:
        # another user's file
        descriptor = os.open(file, flags)
    with os.fdopen(descriptor, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > HEADER_LIMIT:
            raise ValueError(file)
        header = json.loads(stream.read(length))
    if not isinstance(header, dict):
        raise TypeError(file)
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
