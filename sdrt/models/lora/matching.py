"""A LoRA file's layers, each matched with the weight of the model that it changes: all of them, or it is an error."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.models.base import Model
from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.components import ComponentName
from sdrt.models.lora.keys import Factor, Key, parse_key
from sdrt.models.lora.layers import Layer
from sdrt.models.original.unet import unet_name
from sdrt.models.safetensors_file import read_metadata, read_tensors
from sdrt.models.stored_tensor import StoredTensor

__all__ = ["Lora", "open_lora"]

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
    MissingFileError, WeightsError : the file is not there, or no safetensors file
    ModelError : a tensor fits nothing in the model, or a layer is incomplete
    """
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
        few = ", ".join(sorted(unmatched)[:3]) + (", ..." if len(unmatched) > 3 else "")
        raise ModelError(
            f"{file}: {len(unmatched)} of its {len(tensors)} tensors fit nothing in {model.name} ({few}); "
            "it is for another model, or of a kind that is not supported (LoRAs for matrices and convolutions are)"
        )
    if not layers:
        raise ModelError(f"{file}: must hold the tensors of a LoRA, got none; pass another file")
    alphas = _Alphas.read(read_metadata(file))
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
    rank = down.shape[0]
    kernel = (down if middle is None else middle).shape[2:]
    fits = (
        len(down.shape) >= 2
        and len(up.shape) >= 2
        and up.shape[1] == rank
        and _is_pixel(up.shape[2:])
        and (up.shape[0], down.shape[1]) == shape[:2]
        and (kernel == shape[2:] or (_is_pixel(kernel) and _is_pixel(shape[2:])))
        and (middle is None or (_is_pixel(down.shape[2:]) and middle.shape[:2] == (rank, rank)))
    )
    if not fits:
        shapes = [tensor.shape for tensor in (down, up, middle) if tensor is not None]
        raise ModelError(f"{where} has shapes {shapes}, which do not fit the weight's {shape}; it is for another model")
    alpha = float(factors["alpha"].array().reshape(())) if "alpha" in factors else alphas.of(component, weight.removesuffix(".weight"))
    return Layer(
        weight=weight,
        down=down.array,
        up=up.array,
        middle=None if middle is None else middle.array,
        scale=1.0 if alpha is None else alpha / rank,
    )


def _is_pixel(kernel: tuple[int, ...]) -> bool:
    return all(side == 1 for side in kernel)


@dataclass(frozen=True)
class _Alphas:
    """What diffusers writes about alpha beside the tensors."""

    config: Mapping[str, Any]

    @classmethod
    def read(cls, metadata: Mapping[str, str]) -> "_Alphas":
        try:
            config = json.loads(metadata.get("lora_adapter_metadata", "{}"))
        except ValueError:
            config = {}
        return cls(config if isinstance(config, dict) else {})

    def of(self, component: ComponentName, module: str) -> float | None:
        """Return a module's alpha; None where nothing is written, which means the rank."""
        pattern = self.config.get(f"{component}.alpha_pattern") or {}
        for name, value in pattern.items():
            if module == name or module.endswith(f".{name}"):
                return float(value)
        value = self.config.get(f"{component}.lora_alpha")
        return None if value is None else float(value)
