"""The picture that ControlNets for in-painting take: -1 in every channel of each pixel that is to be drawn anew.

Source: the model card of lllyasviel/control_v11p_sd15_inpaint, ``make_inpaint_condition``; for transparent pixels,
``CGImage+vImage.swift`` of apple/ml-stable-diffusion at e12202c.
"""

from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import F32, Array
from sdrt.images.inputs import Picture, size_of, to_mask, to_unit
from sdrt.images.preprocessors.pixels import picture_of

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["marked_hole", "with_hole"]


def with_hole(picture: Picture, mask_image: Picture) -> "Image":
    """Make the masked pixels of a picture transparent, for ``control_preprocessor="inpaint"``.

    Parameters
    ----------
    picture : Picture
    mask_image : Picture
        White where the hole is; resized to the picture.

    Returns
    -------
    PIL image of mode RGBA

    Raises
    ------
    ImageError : no picture
    """
    size = size_of("picture", picture)
    opaque = 1 - to_mask("mask_image", mask_image, *size)
    channels = np.concatenate([to_unit("picture", picture, *size), opaque], axis=1)
    return picture_of(np.rint(channels[0].transpose(1, 2, 0) * 255).astype(np.uint8))


def marked_hole(unit: F32, hole: Array | None) -> F32:
    """Return a picture with -1 in the hole.

    Parameters
    ----------
    unit : f32[1,3,H,W] in [0, 1]
    hole : bool[1,1,H,W] or None
    """
    return unit if hole is None else np.where(hole, np.float32(-1), unit)
