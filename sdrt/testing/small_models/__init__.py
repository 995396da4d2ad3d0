"""Small models of every family, written by numpy and safetensors: diffusers' layout, every tensor random."""

from sdrt.testing.small_models.configs import FAMILIES, FamilyName
from sdrt.testing.small_models.folder import write_component, write_controlnet, write_model

__all__ = ["FAMILIES", "FamilyName", "write_component", "write_controlnet", "write_model"]
