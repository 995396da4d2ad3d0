"""The pictures of ControlNets at the size of the run, as their networks take them."""

from collections.abc import Sequence

import numpy as np

from sdrt.arrays import F32, Array
from sdrt.exact.mathematics import Functions
from sdrt.images.inputs import to_unit, transparency
from sdrt.images.preprocessors import preprocess
from sdrt.pipeline.conditions.control import Control
from sdrt.pipeline.conditions.control_choice import ControlChoice, ControlPicture
from sdrt.pipeline.conditions.followed import resize_of, under_regions
from sdrt.pipeline.conditions.source import Source

__all__ = ["read_controls"]

_NAME = "control_image"


def read_controls(
    choices: Sequence[ControlChoice], height: int, width: int, source: Source | None, functions: Functions
) -> tuple[Control, ...]:
    """Resize and pre-process the pictures of each ControlNet.

    Where the run changes a picture, those of ControlNets are scaled as that picture is, and cut where a part of it is drawn alone.

    Parameters
    ----------
    choices : sequence of ControlChoice
    height, width : int (pixels)
        Of the run.
    source : Source or None
        What the run changes: the pictures of an in-painting ControlNet that is given none, and the masks of their holes.
    functions : Functions
        That pre-processors compute with.

    Raises
    ------
    ImageError : neither a PIL image nor an array of bytes
    """
    return tuple(_control(choice, [_read(each, height, width, source, functions) for each in choice.pictures]) for choice in choices)


def _read(each: ControlPicture, height: int, width: int, source: Source | None, functions: Functions) -> F32:
    """Return the picture for all images of the call, or for each: f32[1 or n,3,H,W]."""
    units: list[F32] = []
    clear: list[F32 | None] = [None]
    if each.picture is None:
        units += [] if source is None else [(picture.pixels + 1) * np.float32(0.5) for picture in source.pictures]
    else:
        pictures, resize = under_regions(_NAME, each.picture, source), resize_of(source)
        units = [to_unit(_NAME, picture, height, width, resize) for picture in pictures]
        clear = [transparency(_NAME, picture, height, width, resize) for picture in pictures]
    if each.preprocessor != "inpaint":
        return np.concatenate([preprocess(each.preprocessor, unit, functions=functions) for unit in units])
    masks = () if source is None else source.soft_masks
    holes = [_hole(clear[k % len(clear)], masks[k % len(masks)] if masks else None) for k in range(max(len(units), len(masks)))]
    return np.concatenate([preprocess("inpaint", units[k % len(units)], hole) for k, hole in enumerate(holes)])


def _hole(clear: F32 | None, mask: F32 | None) -> Array | None:
    """Return where a picture is drawn anew: where it is transparent or its mask white; None for nowhere."""
    parts = [each >= 0.5 for each in (clear, mask) if each is not None]
    return np.logical_or.reduce(parts) if parts else None


def _control(choice: ControlChoice, pictures: Sequence[F32]) -> Control:
    sorts = tuple(each.sort for each in choice.pictures if each.sort is not None)
    if not sorts:
        return Control(pictures[0], choice.settings)
    rows = max(map(len, pictures))
    stacked = np.stack([np.broadcast_to(each, (rows, *each.shape[1:])) for each in pictures], axis=1)
    scales = tuple(each.scale for each in choice.pictures) if len(sorts) > 1 else (1.0,)
    return Control(stacked, choice.settings, sorts=sorts, scales=scales)
