"""LoRA files: read, matched with the weights that they change, and merged into them."""

from converter.lora.layers import Layer
from converter.lora.matching import Lora, open_lora
from converter.lora.merging import merge

__all__ = ["Layer", "Lora", "merge", "open_lora"]
