"""LoRA files: read, and matched with the weights that they change; without torch."""

from sdrt.models.lora.layers import Layer
from sdrt.models.lora.matching import Lora, open_lora

__all__ = ["Layer", "Lora", "open_lora"]
