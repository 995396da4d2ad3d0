"""Convert the decoder's floats to bytes, and write PNG files that carry their settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import U8, Float
from sdrt.errors import ArrayContractError
from sdrt.images.opening import open_picture
from sdrt.images.saving import save_picture
from sdrt.images.text import read_text

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["open_picture", "read_text", "save_png", "to_bytes", "to_pil"]


def to_bytes(image: Float) -> U8:
    """Round decoded pictures to bytes.

    Parameters
    ----------
    image : float[n,C,H,W], nominally in [-1, 1]; values outside are clipped

    Returns
    -------
    u8[n,H,W,C], rounded half to even, as diffusers' VaeImageProcessor does

    Raises
    ------
    ArrayContractError : another dtype or shape, or a NaN

    >>> to_bytes(np.array([-2.0, -1.0, 0.0, 1.0]).reshape(4, 1, 1, 1)).ravel()
    array([  0,   0, 128, 255], dtype=uint8)
    """
    _check_decoded(image)
    # halved and shifted before it is scaled, in the reference's order: another order moves bytes that lie on a half
    unit = np.clip(image / 2 + 0.5, 0, 1)
    return np.rint(unit.transpose(0, 2, 3, 1) * 255).astype(np.uint8)


def _check_decoded(image: object, channels: int | None = None) -> None:
    spec = f"image float[*,{'C' if channels is None else channels},*,*]"
    if not isinstance(image, np.ndarray):
        raise ArrayContractError(f"decoded pictures: expected {spec}, got {type(image).__name__}; pass a numpy array")
    if image.dtype.kind != "f" or image.ndim != 4 or (channels is not None and image.shape[1] != channels):
        raise ArrayContractError(f"decoded pictures: expected {spec}, got {image.dtype}{list(image.shape)}; pass what a decoder returns")
    if np.isnan(image).any():
        raise ArrayContractError(f"decoded pictures: {spec} holds NaN; check the latents and the decoder's precision")


def to_pil(image: Float) -> "list[Image]":
    """Return decoded pictures as PIL images (RGB); ``image`` as in :func:`to_bytes`, of 3 channels."""
    from PIL import Image

    _check_decoded(image, channels=3)
    return [Image.fromarray(pixels) for pixels in to_bytes(image)]


def save_png(image: "Image", file: Path, text: Mapping[str, str]) -> None:
    """Write a PNG with text chunks, whole or not at all, replacing a file of that name.

    Raises
    ------
    ImageError : the folder is not there, or cannot be written; no image, path or text
    """
    save_picture(image, file, text, "png")
