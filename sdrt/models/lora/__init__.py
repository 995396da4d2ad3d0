"""LoRA files: read, and matched with the weights that they change."""

from sdrt.models.lora.layers import Layer, ReadFactor
from sdrt.models.lora.matching import Lora, open_lora

__all__ = ["Layer", "Lora", "ReadFactor", "open_lora"]
