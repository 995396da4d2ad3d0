"""LoRA files: read, matched with the weights that they change, and merged into them (`converter.lora.merging`, which imports torch)."""

from converter.lora.layers import Layer
from converter.lora.matching import Lora, open_lora

__all__ = ["Layer", "Lora", "open_lora"]
