"""A LoRA file's layers, each matched with the weight of the model that it changes: all of them, or it is an error."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError
from sdrt.models.base import Model
from sdrt.models.components import ComponentName
from sdrt.models.lora.keys import Key, Role, parse_key
from sdrt.models.lora.layers import Layer
from sdrt.models.original.unet import unet_name
from sdrt.models.safetensors_file import read_metadata, read_tensors
from sdrt.models.stored_tensor import StoredTensor
from sdrt.models.weights import Weights

__all__ = ["Lora", "open_lora"]

_ADAPTED: tuple[ComponentName, ...] = ("unet", "text_encoder", "text_encoder_2")
# modules of the original code's residual blocks and samplers; those of its transformers are called as in diffusers
_ORIGINAL = ("in_layers.2", "emb_layers.1", "out_layers.3", "skip_connection", "op", "conv")


@dataclass(frozen=True, kw_only=True)
class Lora:
    """A file that is open.

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
    """Read a LoRA's names and match them with a model; its tensors are read when they are merged.

    Parameters
    ----------
    file : Path
        A safetensors file, see `sdrt.models.lora.keys` for what its tensors may be called.
    strength : float
    model : Model

    Raises
    ------
    MissingFileError, WeightsError : the file is not there, or no safetensors file
    ModelError : a tensor fits nothing in the model, or a layer is incomplete
    """
    tensors = {tensor.name: tensor for tensor in read_tensors(file)}
    said = _said_alphas(read_metadata(file))
    weights = {component: model.tensors(component) for component in _ADAPTED if component in model.components}
    names = {component: _Names(component, model.config(component), each) for component, each in weights.items()}
    found: dict[tuple[ComponentName, str], dict[Role, StoredTensor]] = {}
    strange = []
    for name, tensor in tensors.items():
        key = parse_key(name)
        weight = names[key.component].weight(key) if key is not None and key.component in names else None
        if key is None or weight is None or key.role in found.setdefault((key.component, weight), {}):
            strange.append(name)
        else:
            found[key.component, weight][key.role] = tensor
    if strange:
        few = ", ".join(sorted(strange)[:3]) + (", ..." if len(strange) > 3 else "")
        raise ModelError(
            f"{file}: {len(strange)} of its {len(tensors)} tensors fit nothing in {model.name} ({few}); "
            "it is for another model, or of a kind that is not supported (LoRAs for matrices and convolutions are)"
        )
    layers: dict[ComponentName, list[Layer]] = {}
    for (component, weight), roles in found.items():
        layers.setdefault(component, []).append(_layer(file, component, weight, roles, weights[component].shape(weight), said))
    if not layers:
        raise ModelError(f"{file}: holds no tensors; pass the file of a LoRA")
    return Lora(file=file, strength=strength, layers={component: tuple(each) for component, each in layers.items()})


class _Names:
    """The weights of a component by what LoRAs call their modules."""

    def __init__(self, component: ComponentName, config: Mapping[str, Any], weights: Weights) -> None:
        modules = [name.removesuffix(".weight") for name in weights if name.endswith(".weight")]
        self._text = component != "unet"
        self._dotted = set(modules)
        self._flat = {_flat(module): module for module in modules}
        if not self._text:
            self._flat = dict(_original_names(modules, config)) | self._flat

    def weight(self, key: Key) -> str | None:
        module = key.module
        if self._text:
            module = module.removeprefix("text_model_" if key.flat else "text_model.")
        found = self._flat.get(module) if key.flat else module if module in self._dotted else None
        return None if found is None else f"{found}.weight"


def _flat(module: str) -> str:
    return module.replace(".", "_")


def _original_names(modules: Iterable[str], config: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """The same modules under the original code's names, flattened: made the other way round, by trying what there may be."""
    layers = config["layers_per_block"]
    if not isinstance(layers, int):
        return
    there = set(modules)
    inner = {module.split(".attentions.", 1)[1].partition(".")[2] for module in there if ".attentions." in module}
    blocks = range(len(config["block_out_channels"]) * (layers + 1) + 1)
    stems = ["time_embed.0", "time_embed.2", "label_emb.0.0", "label_emb.0.2", "input_blocks.0.0", "out.2"]
    places = [f"{way}.{block}.{at}" for way in ("input_blocks", "output_blocks") for block in blocks for at in range(3)]
    places += [f"middle_block.{at}" for at in range(3)]
    for original in (*stems, *(f"{place}.{rest}" for place in places for rest in (*_ORIGINAL, *inner))):
        canonical = unet_name(f"{original}.weight", layers)
        if canonical is not None and (module := canonical.removesuffix(".weight")) in there:
            yield _flat(original), module


def _layer(
    file: Path, component: ComponentName, weight: str, roles: Mapping[Role, StoredTensor], shape: tuple[int, ...], said: "_Said"
) -> Layer:
    where = f"{file}: the layer for {component} {weight}"
    if missing := [role for role in ("down", "up") if role not in roles]:
        raise ModelError(f"{where} lacks its {' and '.join(missing)} half; the file is damaged")
    down, up, middle = roles["down"], roles["up"], roles.get("middle")
    rank = down.shape[0]
    sizes = [tensor.shape for tensor in (down, up, middle) if tensor is not None]
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
        raise ModelError(f"{where} has shapes {sizes}, which do not fit the weight's {shape}; it is for another model")
    alpha = float(roles["alpha"].array().reshape(())) if "alpha" in roles else said.alpha(component, weight.removesuffix(".weight"))
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
class _Said:
    """What diffusers writes beside the tensors about alpha."""

    config: Mapping[str, Any]

    def alpha(self, component: ComponentName, module: str) -> float | None:
        pattern = self.config.get(f"{component}.alpha_pattern") or {}
        for name, value in pattern.items():
            if module == name or module.endswith(f".{name}"):
                return float(value)
        value = self.config.get(f"{component}.lora_alpha")
        return None if value is None else float(value)


def _said_alphas(metadata: Mapping[str, str]) -> _Said:
    try:
        config = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except ValueError:
        config = {}
    return _Said(config if isinstance(config, dict) else {})
