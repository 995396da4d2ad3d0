"""Merge LoRA files (`sdrt.models.lora`) into torch modules before they are traced."""
