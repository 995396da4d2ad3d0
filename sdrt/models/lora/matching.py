"""A LoRA file's layers, each matched with the weight of the model that it changes: all of them, or it is an error."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from sdrt.errors import ModelError, WeightsError
from sdrt.files import check_given, open_file
from sdrt.models.base import Model
from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.components import ComponentName
from sdrt.models.leftovers import few_of
from sdrt.models.lora.delta import Delta
from sdrt.models.lora.factors import Factors
from sdrt.models.lora.full import full_delta
from sdrt.models.lora.keys import parse_key
from sdrt.models.lora.layer import BIAS_FACTORS, weight_delta
from sdrt.models.lora.modules import Modules
from sdrt.models.lora.scales import ADAPTED, Scales
from sdrt.models.safetensors_file import read_metadata, read_tensors
from sdrt.models.stored_tensor import FLOATS, StoredTensor
from sdrt.printable import shown

__all__ = ["Lora", "open_lora"]

# Factors that are one number, whatever their dtype.
_NUMBERS = ("alpha", "on_input")
_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False, kw_only=True)
class Lora:
    """A file whose layers are matched with a model.

    Parameters
    ----------
    file : Path
    deltas : mapping of component to mapping of tensor's canonical name to Delta
    own_name : str or None
        What it is called where the file's name says nothing.
    """

    file: Path
    deltas: Mapping[ComponentName, Mapping[str, Delta]]
    own_name: str | None = None

    @property
    def name(self) -> str:
        """What prompts and records call it: the file's name without its ending, unless it has one of its own."""
        return self.own_name or self.file.stem

    @cached_property
    def sha256(self) -> str:
        """Of the file, as hexadecimal digits."""
        return _sha256(self.file, 0)

    @cached_property
    def data_sha256(self) -> str:
        """Of the tensors without names and metadata, as kohya's trainer writes it into its files and AUTOMATIC1111 into its pictures."""
        stated = read_metadata(self.file).get("sshs_model_hash", "")
        if len(stated) == 64 and not set(stated) - set("0123456789abcdef"):
            return stated
        with open_file(self.file) as stream:
            header = int.from_bytes(stream.read(8), "little")
        return _sha256(self.file, 8 + header)


def open_lora(file: Path, model: Model, name: str | None = None) -> Lora:
    """Read a LoRA and match it with a model: whatever is wrong with it is found here, and not when a network is opened.

    Parameters
    ----------
    file : Path
        A safetensors file; `sdrt.models.lora.keys` says what its tensors may be called.
    model : Model
        Without LoRAs of its own.
    name : str or None
        What it is called; None: by the file's name.

    Raises
    ------
    MissingFileError, WeightsError : the file is not there, no safetensors file, holds a NaN or an infinity, or an alpha is no number
    ModelError : a tensor fits nothing in the model, or a layer is incomplete
    """
    check_given(file, "a LoRA's file")
    tensors = read_tensors(file, memory_map=model.mmap)
    weights = {component: model.tensors(component) for component in ADAPTED if component in model.components}
    layers = _layers(file, tensors, weights, model)
    scales = Scales.read(file)
    deltas: dict[ComponentName, dict[str, Delta]] = {}
    for (component, module), stored in layers.items():
        made = deltas.setdefault(component, {})
        biases = {name: tensor for name, tensor in stored.items() if name in BIAS_FACTORS}
        rest = {name: tensor for name, tensor in stored.items() if name not in BIAS_FACTORS}
        scale_of = partial(scales.of, component, module, stored=stored.get("alpha"))
        for target, part in ((f"{module}.weight", rest), (f"{module}.bias", biases)):
            if not part:
                continue
            shape = weights[component].shape(target)
            factors = Factors(file=file, target=f"{component} {target}", shape=shape, tensors=part, scale_of=scale_of)
            delta = full_delta(factors, next(iter(part))) if part is biases else weight_delta(factors)
            if delta is not None:
                made[target] = delta
    for tensor in tensors:
        _check_numbers(tensor)
    return Lora(file=file, deltas={component: each for component, each in deltas.items() if each}, own_name=name)


def _layers(
    file: Path, tensors: Iterable[StoredTensor], weights: Mapping[ComponentName, ComponentTensors], model: Model
) -> dict[tuple[ComponentName, str], dict[str, StoredTensor]]:
    """Return the tensors of each module, by factor.

    Raises
    ------
    ModelError : a tensor fits nothing in the model, or there is none
    WeightsError : a factor is no floating tensor
    """
    modules = {component: Modules(component, model.config(component), each) for component, each in weights.items()}
    layers: dict[tuple[ComponentName, str], dict[str, StoredTensor]] = {}
    unmatched = []
    for tensor in tensors:
        key = parse_key(tensor.name)
        module = modules[key.component].find(key) if key is not None and key.component in modules else None
        if key is None or module is None or key.factor in layers.setdefault((key.component, module), {}):
            unmatched.append(tensor.name)
            continue
        if key.factor in BIAS_FACTORS and f"{module}.bias" not in weights[key.component]:
            unmatched.append(tensor.name)
        else:
            if key.factor not in _NUMBERS and tensor.dtype not in FLOATS:
                raise WeightsError(
                    f"{file}: tensor {shown(tensor.name)} must be stored as {', '.join(FLOATS)}, got {tensor.dtype}; convert the file"
                )
            layers[key.component, module][key.factor] = tensor
    if unmatched:
        total = len(unmatched) + sum(map(len, layers.values()))
        raise ModelError(
            f"{file}: of its {total} tensors, {few_of(unmatched)} fit nothing in {model.name}; it is for another model, or of a kind that "
            "is not supported (LoRA, LoCon, LoHa, LoKr, DoRA, IA3 and full deltas are)"
        )
    if not layers:
        raise ModelError(f"{file}: must hold the tensors of a LoRA, got none; pass another file")
    return layers


def _check_numbers(tensor: StoredTensor) -> None:
    """Raise WeightsError unless all values of a tensor are finite."""
    values = tensor.array()
    if values.dtype.kind == "f" and (bad := values.size - np.count_nonzero(np.isfinite(values))):
        raise WeightsError(f"{tensor.file}: tensor {shown(tensor.name)} holds {bad} NaN or infinite values; the file is damaged")


def _sha256(file: Path, start: int) -> str:
    with open_file(file) as stream:
        stream.seek(start)
        digest = hashlib.sha256()
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
