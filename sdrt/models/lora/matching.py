"""A LoRA file's layers, each matched with the weight of the model that it changes: all of them, or it is an error."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.errors import ModelError, WeightsError
from sdrt.json_text import parse_json
from sdrt.models.base import Model
from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.components import ComponentName
from sdrt.models.lora.keys import Factor, Key, parse_key
from sdrt.models.lora.layers import Layer
from sdrt.models.original.unet import unet_name
from sdrt.models.safetensors_file import read_metadata, read_tensors
from sdrt.models.stored_tensor import FLOATS, StoredTensor
from sdrt.printable import shown
from sdrt.values import Anything, Flag, Kind, MappingOf, Nullable, Number, read_values

__all__ = ["Lora", "open_lora"]

_STRENGTH = Number()
_ADAPTED: tuple[ComponentName, ...] = ("unet", "text_encoder", "text_encoder_2")
# Modules of the original code's residual blocks and samplers; those of its transformers are called as in diffusers.
_ORIGINAL = ("in_layers.2", "emb_layers.1", "out_layers.3", "skip_connection", "op", "conv")


@dataclass(frozen=True, kw_only=True)
class Lora:
    """A file whose layers are matched with a model.

    Parameters
    ----------
    file : Path
    strength : float
    layers : mapping of component to tuple of Layer
    """

    file: Path
    strength: float
    layers: Mapping[ComponentName, tuple[Layer, ...]]


def open_lora(file: Path, strength: float, model: Model) -> Lora:
    """Read a LoRA's names and match them with a model; its numbers are read when they are merged.

    Parameters
    ----------
    file : Path
        A safetensors file; `sdrt.models.lora.keys` says what its tensors may be called.
    strength : float
    model : Model

    Raises
    ------
    ConfigError : the strength is no finite number
    MissingFileError, WeightsError : the file is not there, no safetensors file, or an alpha is no number
    ModelError : a tensor fits nothing in the model, or a layer is incomplete
    """
    strength = _STRENGTH.check("strength", strength)
    tensors = {tensor.name: tensor for tensor in read_tensors(file)}
    weights = {component: model.tensors(component) for component in _ADAPTED if component in model.components}
    modules = {component: _Modules(component, model.config(component), each) for component, each in weights.items()}
    layers: dict[tuple[ComponentName, str], dict[Factor, StoredTensor]] = {}
    unmatched = []
    for name, tensor in tensors.items():
        key = parse_key(name)
        weight = modules[key.component].weight(key) if key is not None and key.component in modules else None
        if key is None or weight is None or key.factor in layers.setdefault((key.component, weight), {}):
            unmatched.append(name)
        else:
            layers[key.component, weight][key.factor] = tensor
    if unmatched:
        few = ", ".join(map(shown, sorted(unmatched)[:3])) + (", ..." if len(unmatched) > 3 else "")
        raise ModelError(
            f"{file}: {len(unmatched)} of its {len(tensors)} tensors fit nothing in {model.name} ({few}); "
            "it is for another model, or of a kind that is not supported (LoRAs for matrices and convolutions are)"
        )
    if not layers:
        raise ModelError(f"{file}: must hold the tensors of a LoRA, got none; pass another file")
    alphas = _Alphas.read(file, read_metadata(file))
    matched: dict[ComponentName, list[Layer]] = {}
    for (component, weight), factors in layers.items():
        matched.setdefault(component, []).append(_layer(file, component, weight, factors, weights[component].shape(weight), alphas))
    return Lora(file=file, strength=strength, layers={component: tuple(each) for component, each in matched.items()})


class _Modules:
    """The modules of a component by what LoRAs call them."""

    def __init__(self, component: ComponentName, config: Mapping[str, Any], weights: ComponentTensors) -> None:
        modules = [name.removesuffix(".weight") for name in weights if name.endswith(".weight")]
        self._is_text_encoder = component != "unet"
        self._dotted = set(modules)
        self._flat = {_flat(module): module for module in modules}
        if not self._is_text_encoder:
            self._flat = dict(_original_names(modules, config)) | self._flat

    def weight(self, key: Key) -> str | None:
        """Return the canonical name of the weight that a key means; None if there is no such weight."""
        module = key.module
        if self._is_text_encoder:
            module = module.removeprefix("text_model_" if key.flat else "text_model.")
        canonical = self._flat.get(module) if key.flat else module if module in self._dotted else None
        return None if canonical is None else f"{canonical}.weight"


def _flat(module: str) -> str:
    return module.replace(".", "_")


def _original_names(modules: Iterable[str], config: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the same modules under the original code's names, flattened.

    The names are made the other way round: each that there may be is translated, and kept where that module exists.
    """
    layers = config["layers_per_block"]
    if not isinstance(layers, int):
        return
    existing = set(modules)
    inner = {module.split(".attentions.", 1)[1].partition(".")[2] for module in existing if ".attentions." in module}
    blocks = range(len(config["block_out_channels"]) * (layers + 1) + 1)
    stems = ["time_embed.0", "time_embed.2", "label_emb.0.0", "label_emb.0.2", "input_blocks.0.0", "out.2"]
    places = [f"{way}.{block}.{at}" for way in ("input_blocks", "output_blocks") for block in blocks for at in range(3)]
    places += [f"middle_block.{at}" for at in range(3)]
    for original in (*stems, *(f"{place}.{rest}" for place in places for rest in (*_ORIGINAL, *inner))):
        canonical = unet_name(f"{original}.weight", layers)
        if canonical is not None and (module := canonical.removesuffix(".weight")) in existing:
            yield _flat(original), module


def _layer(
    file: Path, component: ComponentName, weight: str, factors: Mapping[Factor, StoredTensor], shape: tuple[int, ...], alphas: "_Alphas"
) -> Layer:
    where = f"{file}: the layer for {component} {weight}"
    if missing := [factor for factor in ("down", "up") if factor not in factors]:
        raise ModelError(f"{where} lacks its {' and '.join(missing)} half; the file is damaged")
    down, up, middle = factors["down"], factors["up"], factors.get("middle")
    stored = [tensor for tensor in (down, up, middle) if tensor is not None]
    if not _fits(down, up, middle, shape):
        shapes = [list(tensor.shape) for tensor in stored]
        raise ModelError(f"{where} has shapes {shapes}, which do not fit the weight's {list(shape)}; it is for another model")
    if other := next((tensor for tensor in stored if tensor.dtype not in FLOATS), None):
        raise WeightsError(f"{file}: tensor {shown(other.name)} must be stored as {', '.join(FLOATS)}, got {other.dtype}; convert the file")
    rank, module = down.shape[0], weight.removesuffix(".weight")
    alpha = _stored_alpha(factors["alpha"]) if "alpha" in factors else alphas.of(component, module)
    return Layer(
        weight=weight,
        down=partial(_finite, down),
        up=partial(_finite, up),
        middle=None if middle is None else partial(_finite, middle),
        scale=1.0 if alpha is None else alpha / alphas.divisor(component, rank),
    )


def _fits(down: StoredTensor, up: StoredTensor, middle: StoredTensor | None, shape: tuple[int, ...]) -> bool:
    """Return whether the factors make a change of a weight of this shape; no rank is 0."""
    if len(down.shape) < 2 or len(up.shape) < 2 or not down.shape[0]:
        return False
    rank = down.shape[0]
    kernel = (down if middle is None else middle).shape[2:]
    return (
        up.shape[1] == rank
        and _is_pixel(up.shape[2:])
        and (up.shape[0], down.shape[1]) == shape[:2]
        and (kernel == shape[2:] or (_is_pixel(kernel) and _is_pixel(shape[2:])))
        and (middle is None or (_is_pixel(down.shape[2:]) and middle.shape[:2] == (rank, rank)))
    )


def _is_pixel(kernel: tuple[int, ...]) -> bool:
    return all(side == 1 for side in kernel)


def _finite(tensor: StoredTensor) -> Array:
    """Read a factor.

    Raises
    ------
    WeightsError : it holds a NaN or an infinity
    """
    values = tensor.array()
    if bad := values.size - np.count_nonzero(np.isfinite(values)):
        raise WeightsError(f"{tensor.file}: tensor {shown(tensor.name)} holds {bad} NaN or infinite values; the file is damaged")
    return values


def _stored_alpha(tensor: StoredTensor) -> float:
    values = tensor.array()
    if values.size != 1 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        got = f"{values.reshape(()).item()}" if values.size == 1 else f"shape {list(tensor.shape)}"
        raise WeightsError(f"{tensor.file}: tensor {shown(tensor.name)} must be a finite number, got {tensor.dtype} of {got}; remove it")
    return float(values.reshape(()))


# What peft's configuration says of a component, behind its name and a dot; the rest of it describes how the file was trained.
_METADATA = "lora_adapter_metadata"
_ALPHA, _PATTERN, _RANK_STABLE = "lora_alpha", "alpha_pattern", "use_rslora"
_KINDS: Mapping[str, Kind[Any]] = {_ALPHA: Nullable(Number()), _PATTERN: Nullable(MappingOf(Number())), _RANK_STABLE: Nullable(Flag())}


@dataclass(frozen=True)
class _Alphas:
    """What diffusers writes about alpha beside the tensors."""

    config: Mapping[str, Any]

    @classmethod
    def read(cls, file: Path, metadata: Mapping[str, str]) -> "_Alphas":
        """Read and check it; raises WeightsError."""
        owner = f"{file}: {_METADATA}"
        config = parse_json(metadata.get(_METADATA, "{}"), owner, "remove it", WeightsError)
        config = MappingOf(Anything()).check(owner, config, "remove it", WeightsError)
        kinds = {f"{component}.{key}": kind for component in _ADAPTED for key, kind in _KINDS.items()}
        return cls(read_values(f"{owner}: ", config, kinds, "remove it", WeightsError))

    def of(self, component: ComponentName, module: str) -> float | None:
        """Return a module's alpha; None where nothing is written, which means the rank."""
        for name, value in (self.config.get(f"{component}.{_PATTERN}") or {}).items():
            if module == name or module.endswith(f".{name}"):
                return float(value)
        value = self.config.get(f"{component}.{_ALPHA}")
        return None if value is None else float(value)

    def divisor(self, component: ComponentName, rank: int) -> float:
        """Return what alpha is divided by: the rank, or its root in a rank-stable adapter (Kalajdzievski 2023, arXiv:2312.03732)."""
        return math.sqrt(rank) if self.config.get(f"{component}.{_RANK_STABLE}") else float(rank)
