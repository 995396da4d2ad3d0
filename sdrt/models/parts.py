"""The parts of a model, and where a diffusers folder keeps each of them."""

from typing import Literal, TypeAlias

__all__ = ["PARTS", "PICKLE_SUFFIXES", "SUBFOLDERS", "Part"]

Part: TypeAlias = Literal["text_encoder", "unet", "vae_decoder", "vae_encoder"]

PARTS: tuple[Part, ...] = ("text_encoder", "unet", "vae_decoder", "vae_encoder")

# The two halves of the VAE are parts of their own: text to image never opens the encoder.
SUBFOLDERS: dict[Part, str] = {"text_encoder": "text_encoder", "unet": "unet", "vae_decoder": "vae", "vae_encoder": "vae"}

# Files that would have to be unpickled, which can run code: they are named in messages and never read.
PICKLE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth")
