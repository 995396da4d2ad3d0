"""What the record of a picture says of a LoRA."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sdrt.values import Flag, Kind, Number, RefusedError, Text

__all__ = ["LORA_RECORDS", "LoraRecord", "tag_of"]


@dataclass(frozen=True, kw_only=True)
class LoraRecord:
    """A LoRA that was merged into the weights.

    Parameters
    ----------
    sha256 : str
        Of its file.
    data_sha256 : str
        Of its tensors alone, as AUTOMATIC1111 writes it into pictures.
    strength, te_strength : float
        In the U-Net, and in the text encoders.
    in_prompt : bool
        Whether the prompt names it.
    """

    sha256: str
    data_sha256: str
    strength: float
    te_strength: float
    in_prompt: bool = False

    def __str__(self) -> str:
        both = f"{self.strength:g}" if self.strength == self.te_strength else f"{self.strength:g} and {self.te_strength:g}"
        return f"{both} ({self.sha256[:12]})"


_FIELDS: Mapping[str, Kind[Any]] = {
    "sha256": Text(length=64, empty=False),
    "data_sha256": Text(length=64, empty=False),
    "strength": Number(),
    "te_strength": Number(),
    "in_prompt": Flag(),
}


class _LoraRecords(Kind[Mapping[str, LoraRecord]]):
    """Records by the LoRA's name."""

    def describe(self) -> str:
        return f"a mapping from names to {', '.join(_FIELDS)}"

    def convert(self, value: object) -> Mapping[str, LoraRecord]:
        if not isinstance(value, Mapping):
            raise RefusedError
        return {Text(length=None).convert(name): self._one(each) for name, each in value.items()}

    def _one(self, value: object) -> LoraRecord:
        if isinstance(value, LoraRecord):
            value = {each.name: getattr(value, each.name) for each in fields(value)}
        if not isinstance(value, Mapping) or set(value) != set(_FIELDS):
            raise RefusedError
        return LoraRecord(**{name: kind.convert(value[name]) for name, kind in _FIELDS.items()})


LORA_RECORDS: Kind[Mapping[str, LoraRecord]] = _LoraRecords()


def tag_of(name: str, lora: LoraRecord) -> str:
    """Return a LoRA as a prompt names it; empty where its name cannot stand in one.

    >>> tag_of("fur", LoraRecord(sha256="0", data_sha256="0", strength=0.8, te_strength=0.8))
    '<lora:fur:0.8>'
    """
    if set(name) & set(":<>"):
        return ""
    both = lora.strength == lora.te_strength
    return f"<lora:{name}:{lora.strength:g}>" if both else f"<lora:{name}:{lora.te_strength:g}:{lora.strength:g}>"
