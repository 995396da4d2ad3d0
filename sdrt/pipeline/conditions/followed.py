"""Pictures that a run follows beside its prompt, scaled and cut as the picture that it changes."""

from typing import TYPE_CHECKING

import numpy as np

from sdrt.images.inputs import Picture, to_unit, transparency
from sdrt.images.preprocessors.pixels import picture_of
from sdrt.images.sizes import Resize
from sdrt.pipeline.conditions.source import Region, Source

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["resize_of", "under_regions"]


def resize_of(source: Source | None) -> Resize:
    """Return how a picture takes the size of the run: as that which the run changes."""
    if source is None:
        return "stretch"
    return "fit" if any(picture.region is not None for picture in source.pictures) else source.choice.resize


def under_regions(name: str, picture: Picture, source: Source | None) -> list[Picture]:
    """Return the parts of a picture that lie under the regions that the run draws alone; the picture itself where it draws all.

    Raises
    ------
    ImageError : neither a PIL image nor an array of bytes
    """
    regions = [] if source is None else [changed.region for changed in source.pictures if changed.region is not None]
    return [_cut(name, picture, region) for region in regions] or [picture]


def _cut(name: str, picture: Picture, region: Region) -> "Image":
    """Return the part of a picture that lies under a region of the picture that is changed."""
    size = (region.image.height, region.image.width)
    unit, clear = to_unit(name, picture, *size), transparency(name, picture, *size)
    channels = unit if clear is None else np.concatenate([unit, 1 - clear], axis=1)
    return picture_of(np.rint(channels[0].transpose(1, 2, 0) * 255).astype(np.uint8)).crop(region.box)
