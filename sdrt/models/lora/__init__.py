"""LoRA files: read, matched with the weights that they change, and merged into them, in numpy alone."""

from sdrt.models.lora.applied import AppliedLora, identity_of, with_loras
from sdrt.models.lora.matching import Lora, open_lora

__all__ = ["AppliedLora", "Lora", "identity_of", "open_lora", "with_loras"]
