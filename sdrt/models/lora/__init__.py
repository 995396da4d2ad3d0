"""LoRA files: read, matched with the weights that they change, and merged into them, in numpy alone."""

from sdrt.models.lora.applied import AppliedLora, identity_of, with_loras
from sdrt.models.lora.folder import find_lora
from sdrt.models.lora.matching import Lora, open_lora
from sdrt.models.lora.scales import ADAPTED

__all__ = ["ADAPTED", "AppliedLora", "Lora", "find_lora", "identity_of", "open_lora", "with_loras"]
