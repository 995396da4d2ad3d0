"""What a layer of a LoRA is multiplied by: alpha / r, wherever alpha is written."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.errors import WeightsError
from sdrt.files import is_file, read_text
from sdrt.json_text import parse_json
from sdrt.models.components import ComponentName
from sdrt.models.safetensors_file import read_metadata
from sdrt.models.stored_tensor import StoredTensor
from sdrt.printable import shown
from sdrt.values import Anything, Flag, Integer, Kind, MappingOf, Nullable, Number, read_values

__all__ = ["ADAPTED", "PEFT_CONFIG", "PEFT_FILE", "Scales"]

# The components that LoRAs change.
ADAPTED: tuple[ComponentName, ...] = ("unet", "text_encoder", "text_encoder_2")

# What peft's configuration says of a component; the rest of it describes how the file was trained. diffusers writes it among the file's
# metadata, behind the component's name and a dot, and peft into a file beside its own.
_METADATA = "lora_adapter_metadata"
PEFT_FILE, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
_ALPHA, _LYCORIS_ALPHA, _PATTERN, _RANK_STABLE, _RANK = "lora_alpha", "alpha", "alpha_pattern", "use_rslora", "r"
_KINDS: Mapping[str, Kind[Any]] = {
    _ALPHA: Nullable(Number()),
    _LYCORIS_ALPHA: Nullable(Number()),
    _PATTERN: Nullable(MappingOf(Number())),
    _RANK_STABLE: Nullable(Flag()),
    _RANK: Nullable(Integer(minimum=1)),
}


@dataclass(frozen=True)
class Scales:
    """The scales of a file's layers.

    Parameters
    ----------
    config : mapping
        What peft's configuration says, by component and key (``"unet.lora_alpha"``).
    """

    config: Mapping[str, Any]

    @classmethod
    def read(cls, file: Path) -> "Scales":
        """Read what is written about alpha beside the tensors of a file.

        Raises
        ------
        WeightsError : it is no JSON, or of other kinds
        """
        owner = f"{file}: {_METADATA}"
        config = _mapping(read_metadata(file).get(_METADATA, "{}"), owner)
        kinds = {f"{component}.{key}": kind for component in ADAPTED for key, kind in _KINDS.items()}
        beside = file.with_name(PEFT_CONFIG)
        if file.name == PEFT_FILE and is_file(beside):
            owner = str(beside)
            config = {f"{component}.{key}": value for component in ADAPTED for key, value in _mapping(read_text(beside), owner).items()}
        return cls(read_values(f"{owner}: ", config, kinds, "remove it", WeightsError))

    def of(self, component: ComponentName, module: str, rank: int | None, stored: StoredTensor | None) -> float:
        """Return the scale of a layer: 1 where nothing is written, which means that alpha is the rank.

        Parameters
        ----------
        component : ComponentName
        module : str
        rank : int or None
            None: the layer has no rank of its own. It is scaled only if peft's configuration states one, as LyCORIS has it.
        stored : StoredTensor or None
            Alpha as the file has it for this layer.

        Raises
        ------
        WeightsError : alpha is no finite number
        """
        if rank is None:
            rank, stored = self.config.get(f"{component}.{_RANK}"), None
            if rank is None:
                return 1.0
        alpha = self._alpha(component, module) if stored is None else _number(stored)
        if alpha is None:
            return 1.0
        # a rank-stable adapter is divided by the root of its rank (Kalajdzievski 2023, arXiv:2312.03732)
        return alpha / (math.sqrt(rank) if self.config.get(f"{component}.{_RANK_STABLE}") else rank)

    def _alpha(self, component: ComponentName, module: str) -> float | None:
        for name, value in (self.config.get(f"{component}.{_PATTERN}") or {}).items():
            if module == name or module.endswith(f".{name}"):
                return float(value)
        values = (self.config.get(f"{component}.{key}") for key in (_ALPHA, _LYCORIS_ALPHA))
        return next((float(value) for value in values if value is not None), None)


def _mapping(text: str, owner: str) -> Mapping[str, Any]:
    read = parse_json(text, owner, "remove it", WeightsError)
    return MappingOf(Anything()).check(owner, read, "remove it", WeightsError)


def _number(tensor: StoredTensor) -> float:
    values = tensor.array()
    if values.size != 1 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        got = f"{values.reshape(()).item()}" if values.size == 1 else f"shape {list(tensor.shape)}"
        raise WeightsError(f"{tensor.file}: tensor {shown(tensor.name)} must be a finite number, got {tensor.dtype} of {got}; remove it")
    return float(values.reshape(()))
