"""Prepare pictures for CLIP's vision tower as a model's feature extractor is configured.

Source: transformers 5.23 ``CLIPImageProcessorPil``, its processor on Pillow, to the last bit. The one on torchvision resizes without
rounding between its passes, and is a few bytes apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sdrt.arrays import F32
from sdrt.errors import ConfigError
from sdrt.printable import shown

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FeatureExtractor"]

# The mean and deviation of each colour in CLIP's training pictures.
_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_BICUBIC = 3  # PIL.Image.Resampling

_WHERE = "feature_extractor/preprocessor_config.json"


@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureExtractor:
    """The settings of a feature extractor; what it does happens in this order.

    Parameters
    ----------
    size : int, (height, width) or None
        The shorter side of the scaled picture, or both sides; None: it is not scaled.
    resample : int
        Pillow's number of a filter.
    crop : (height, width) or None
        What is cut out of the middle, with black where the picture is smaller; None: nothing is.
    factor : float
        By which bytes are multiplied.
    mean, deviation : f32[3,1,1]
        Of each colour after that; it is subtracted, and divided by.
    edge : int
        Height and width of what must come out: that of the network's input.
    """

    size: int | tuple[int, int] | None
    resample: int
    crop: tuple[int, int] | None
    factor: float
    mean: F32
    deviation: F32
    edge: int

    @classmethod
    def read(cls, config: Mapping[str, Any], edge: int) -> Self:
        """Read a model's ``preprocessor_config.json``, whose values are checked; what it leaves out is CLIP's own, in the network's size.

        Raises
        ------
        ConfigError : a size of a form that CLIP's processor does not read, or another one than the network takes
        """
        resizes, crops, rescales, normalizes = (
            # null turns an act off, as there
            bool(config.get(name, True))
            for name in ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
        )
        given = {name: value for name, value in config.items() if value is not None}
        size = _size("size", given.get("size", edge), shortest=True) if resizes else None
        crop = _size("crop_size", given.get("crop_size", edge), shortest=False) if crops else None
        last = size if crop is None else crop
        if isinstance(last, tuple) and last != (edge, edge):
            raise _another_size(last, edge)
        return cls(
            size=size,
            resample=given.get("resample", _BICUBIC),
            crop=crop,
            factor=given.get("rescale_factor", 1 / 255) if rescales else 1.0,
            mean=_colours(given.get("image_mean", _MEAN) if normalizes else 0.0),
            deviation=_colours(given.get("image_std", _DEVIATION) if normalizes else 1.0),
            edge=edge,
        )

    def __call__(self, image: "Image") -> F32:
        """Prepare one picture: f32[3,edge,edge].

        Raises
        ------
        ConfigError : it comes out in another size
        """
        image = image.convert("RGB")
        if self.size is not None:
            height, width = self.size if isinstance(self.size, tuple) else _scaled_to(self.size, image.height, image.width)
            image = image.resize((width, height), self.resample)
        pixels = np.asarray(image).transpose(2, 0, 1)
        if self.crop is not None:
            pixels = _cut(pixels, *self.crop)
        if pixels.shape[1:] != (self.edge, self.edge):
            raise _another_size(pixels.shape[1:], self.edge)
        # multiplied in float64, as there
        unit = (pixels.astype(np.float64) * self.factor).astype(np.float32)
        return np.ascontiguousarray((unit - self.mean) / self.deviation)


def _another_size(size: tuple[int, ...], edge: int) -> ConfigError:
    height, width = size
    return ConfigError(
        f"{_WHERE}: pictures must become {edge}x{edge} pixels, which the network takes, got {width}x{height}; "
        "correct its size and crop_size"
    )


def _size(name: str, value: Any, *, shortest: bool) -> Any:
    """Return a size in its plain form: (height, width), or an int for the shorter side where that is allowed."""
    if isinstance(value, int):
        return value if shortest else (value, value)
    if isinstance(value, tuple):
        return value
    sides = {key: side for key, side in value.items() if side is not None}
    if sides.keys() == {"height", "width"}:
        return sides["height"], sides["width"]
    if shortest and sides.keys() == {"shortest_edge"}:
        return sides["shortest_edge"]
    forms = "shortest_edge, or height and width" if shortest else "height and width"
    raise ConfigError(f"{_WHERE}: {name} must have {forms}, got {shown(', '.join(sides))}; correct it")


def _colours(value: Any) -> F32:
    return np.array(np.broadcast_to(np.array(value, np.float32).reshape(-1, 1, 1), (3, 1, 1)))


def _scaled_to(shorter: int, height: int, width: int) -> tuple[int, int]:
    longer = int(shorter * max(height, width) / min(height, width))
    return (longer, shorter) if width <= height else (shorter, longer)


def _cut(pixels: "np.ndarray[Any, np.dtype[np.uint8]]", height: int, width: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Cut out the middle of u8[3,H,W]; where it is smaller, black is added, one more at the upper and left side where that is odd."""
    spans, pads = [(0, 3)], [(0, 0)]
    for size, wanted in zip(pixels.shape[1:], (height, width), strict=True):
        before = -(-max(wanted - size, 0) // 2)
        start = (size - wanted) // 2 + before
        pads.append((before, max(wanted - size, 0) - before))
        spans.append((max(start, 0), min(start + wanted, max(size, wanted))))
    return np.pad(pixels, pads)[tuple(slice(*span) for span in spans)]
