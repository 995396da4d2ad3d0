"""The kinds of packages of docs/apple-packages.md, and options that `test_convert_parts` converts each with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdrt.models import open_model
from tests.factories import Form

__all__ = ["CONTROLLED", "DEFAULTS", "EXACT", "HALF", "KINDS", "sizes_of"]

EXACT: dict[str, Any] = {"precision": "float32", "float32_weights": True}
HALF: dict[str, Any] = {"precision": "float16"}
# The options of a ControlNet's conversion, the rows of a call, and the dtype of their timesteps.
CONTROLLED: Mapping[Form, tuple[dict[str, Any], int, str]] = {
    "sd1": ({**EXACT, "attention": "ORIGINAL"}, 2, "float16"),
    "sdxl": ({**EXACT, "attention": "ORIGINAL", "batch": 1, "timestep_dtype": "float32"}, 1, "float32"),
}

UNET: dict[str, Any] = {"parts": ("unet",), "attention": "ORIGINAL", **EXACT}
DEFAULTS: dict[str, Any] = {"parts": ("unet",), "attention": "SPLIT_EINSUM", **HALF}
TEXTS: dict[str, Any] = {"parts": ("text_encoder",), **HALF}
AUTOENCODER: dict[str, Any] = {"parts": ("vae_decoder", "vae_encoder"), **HALF}
CONTROL: dict[str, Any] = {"parts": ("unet",), "unet_support_controlnet": True, **CONTROLLED["sd1"][0]}
# The document's kinds of packages: the model's form, and options.
KINDS: Sequence[tuple[str, Form, dict[str, Any]]] = (
    ("text_encoder", "sd1", TEXTS),
    ("text_encoder", "sd2", TEXTS),
    ("text_encoder (XL)", "sdxl", TEXTS),
    ("text_encoder_2 (XL)", "sdxl", TEXTS),
    ("unet", "sd1", DEFAULTS),
    ("unet", "sd2", UNET),
    ("unet", "inpaint", UNET),
    ("unet (LCM)", "lcm", UNET),
    ("unet (XL)", "sdxl", UNET),
    ("refiner (XL)", "sdxl", {"attention": "ORIGINAL", **EXACT}),
    ("control_unet", "sd1", CONTROL),
    ("controlnet", "sd1", CONTROL),
    ("vae_decoder", "sd1", AUTOENCODER),
    ("vae_encoder", "sd1", AUTOENCODER),
    ("vae_decoder (XL)", "sdxl", AUTOENCODER),
    ("vae_encoder (XL)", "sdxl", AUTOENCODER),
    ("safety_checker", "sd1", {"parts": ("safety_checker",), **HALF}),
)


def sizes_of(folder: Path) -> dict[str, int]:
    """Return what the document's letters stand for in a model of the tests."""
    model = open_model(folder)
    unet, vae = model.config("unet"), model.config("vae_decoder")
    encoders = {letter: model.config(name) for letter, name in (("E", "text_encoder"), ("F", "text_encoder_2")) if name in model.components}
    sizes = {letter: config["hidden_size"] for letter, config in encoders.items()}
    sizes |= {"P": encoders["F"]["projection_dim"]} if "F" in encoders else {}
    sizes |= {"B": 2, "C": unet["in_channels"], "O": unet["out_channels"], "D": unet["cross_attention_dim"], "L": 77}
    sizes |= {"Z": vae["latent_channels"], "h": 8, "w": 8, "H": 64, "W": 64, "G": unet["time_cond_proj_dim"] or 0}
    if "safety_checker" in model.components:
        sizes |= {"S": model.config("safety_checker")["vision_config"]["image_size"], "K": 17}
    return sizes
