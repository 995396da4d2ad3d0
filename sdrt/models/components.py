"""The components of a model, and where a diffusers folder keeps each of them."""

from typing import Literal, TypeAlias

__all__ = ["COMPONENTS", "PICKLE_SUFFIXES", "SUBFOLDERS", "ComponentName"]

ComponentName: TypeAlias = Literal["text_encoder", "text_encoder_2", "unet", "controlnet", "vae_decoder", "vae_encoder", "safety_checker"]

COMPONENTS: tuple[ComponentName, ...] = (
    "text_encoder",
    "text_encoder_2",
    "unet",
    "controlnet",
    "vae_decoder",
    "vae_encoder",
    "safety_checker",
)

# The two halves of the VAE are components of their own: text to image never opens the encoder.
SUBFOLDERS: dict[ComponentName, str] = {
    "text_encoder": "text_encoder",
    "text_encoder_2": "text_encoder_2",
    "unet": "unet",
    "controlnet": "controlnet",
    "vae_decoder": "vae",
    "vae_encoder": "vae",
    "safety_checker": "safety_checker",
}

# Files that would have to be unpickled, which can run code: they are named in messages and never read.
PICKLE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth")
