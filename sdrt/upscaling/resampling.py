"""Pillow's resamplings as upscalers: they need no model."""

from typing import TYPE_CHECKING

from sdrt.errors import ConfigError
from sdrt.images.inputs import to_rgb
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.printable import shown
from sdrt.upscaling.base import Report, Upscaler

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["RESAMPLINGS", "Resampler"]

RESAMPLINGS = ("lanczos", "bicubic", "nearest")


class Resampler(Upscaler):
    """One of Pillow's resamplings.

    Parameters
    ----------
    name : "lanczos", "bicubic" or "nearest"
    limits : Limits

    Raises
    ------
    ConfigError : another name
    """

    def __init__(self, name: str, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(limits)
        if name not in RESAMPLINGS:
            raise ConfigError(f"name must be {', '.join(RESAMPLINGS)}, got {shown(name)}; choose one of those")
        self._name = name

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    def __repr__(self) -> str:
        return f"Resampler({self._name!r})"

    def _pieces(self, image: "Image") -> int:  # noqa: ARG002 -- a picture is one piece
        return 1

    def _enlarge(self, image: "Image", width: int, height: int, report: Report) -> "Image":
        from PIL.Image import Resampling

        report()
        return to_rgb("image", image).resize((width, height), Resampling[self._name.upper()])
