"""What every upscaler has in common: the sizes of results, lists of pictures, progress, and transparency."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias, overload

from sdrt.errors import ConfigError, ImageError
from sdrt.images.inputs import Picture, pixels_of
from sdrt.images.modes import alpha
from sdrt.images.sizes import lanczos
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.values import Function, Integer, Nullable, Number

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["OnUpscale", "Report", "Upscaler"]

# Called before each piece of work with how many are done and how many there are; what it raises ends the work.
OnUpscale: TypeAlias = Callable[[int, int], Any]
# Called before each piece of one picture.
Report: TypeAlias = Callable[[], None]

_SCALE = Nullable(Number(0.0, 64.0, above=True))
_SIDE = Nullable(Integer(1, 2**24))
_FUNCTION = Nullable(Function())


class Upscaler(ABC):
    """Makes pictures larger; subclasses enlarge one.

    Parameters
    ----------
    limits : Limits
        ``pixels`` bounds each result, and what a network makes on the way to it.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called in records: a file's or a repository's name, or that of a resampling."""

    @property
    def scale(self) -> int | None:
        """How many times as wide and as high it makes a picture by itself; None if it has no size of its own."""
        return None

    @property
    def fingerprint(self) -> str:
        """What tells its weights from others, for records: 16 hexadecimal digits, or the empty text where there are no weights."""
        return ""

    @overload
    def __call__(
        self,
        image: Sequence[Picture],
        scale: float | None = None,
        *,
        width: int | None = None,
        height: int | None = None,
        on_progress: OnUpscale | None = None,
    ) -> "list[Image]": ...
    @overload
    def __call__(
        self,
        image: Picture,
        scale: float | None = None,
        *,
        width: int | None = None,
        height: int | None = None,
        on_progress: OnUpscale | None = None,
    ) -> "Image": ...
    def __call__(
        self,
        image: Picture | Sequence[Picture],
        scale: float | None = None,
        *,
        width: int | None = None,
        height: int | None = None,
        on_progress: OnUpscale | None = None,
    ) -> "Image | list[Image]":
        """Enlarge a picture, or each of a list.

        Photographs are turned upright, greys and pictures of 16 bits are read, and transparency is kept: it is enlarged by Lanczos.

        Parameters
        ----------
        image : PIL image, u8[H,W], u8[H,W,3], or a sequence of them
        scale : float, optional
            How many times as wide and as high the result is; None is a network's own scale. Another than that is reached by Lanczos behind
            the network.
        width, height : int, optional
            The size of the result in place of ``scale``; one alone keeps the proportions.
        on_progress : callable, optional
            Called before each tile with the number of tiles that are done and of all that there are; an exception that it raises ends the
            call.

        Returns
        -------
        PIL image of mode RGB, or RGBA where the picture is transparent; a list of them for a sequence

        Raises
        ------
        ConfigError : no size, two of them, or one that is too large
        ImageError : no picture, or one that cannot be read
        """
        pictures: Sequence[Any] = image if isinstance(image, list | tuple) else [image]
        alone = pictures is not image
        opened = [pixels_of("image" if alone else f"image {index}", each) for index, each in enumerate(pictures, 1)]
        sizes = [self._size(each, scale, width, height) for each in opened]
        results = self._all(opened, sizes, on_progress)
        return results[0] if alone else results

    def upscale(self, pictures: "Sequence[Image]", width: int, height: int, on_progress: OnUpscale | None = None) -> "list[Image]":
        """Enlarge pictures to one size, whatever their own is.

        Parameters
        ----------
        pictures : sequence of PIL images
        width, height : int
            Of every result.
        on_progress : callable, optional
            As of a call.

        Returns
        -------
        list of PIL images, as of a call

        Raises
        ------
        ConfigError, ImageError : as of a call
        """
        if not isinstance(pictures, list | tuple):
            raise ImageError(f"pictures must be a list of PIL images, got {type(pictures).__name__}; pass one")
        opened = [pixels_of(f"picture {index}", each) for index, each in enumerate(pictures, 1)]
        return self._all(opened, [self._size(each, None, width, height) for each in opened], on_progress)

    def load(self) -> None:  # noqa: B027 -- what has no weights has nothing to do
        """Read the weights now, so that what is wrong with them is said before other work begins."""

    def close(self) -> None:  # noqa: B027
        """Free the memory; closing twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @abstractmethod
    def _pieces(self, image: "Image") -> int:
        """Return in how many pieces a picture is worked on."""

    @abstractmethod
    def _enlarge(self, image: "Image", width: int, height: int, report: Report) -> "Image":
        """Enlarge the colours of a picture without transparency; ``report`` is called before each piece."""

    def _size(self, image: "Image", scale: float | None, width: int | None, height: int | None) -> tuple[int, int]:
        """Return width and height of a result.

        Raises
        ------
        ConfigError : no size, two of them, or one that is too large
        """
        scale = _SCALE.check("scale", scale, "2 makes a picture twice as wide and as high")
        width, height = (_SIDE.check(name, side, "pass pixels") for name, side in (("width", width), ("height", height)))
        if scale is not None and (width is not None or height is not None):
            raise ConfigError(f"the size must be given once, got scale={scale:g} and a width or height; leave one of them out")
        if width is None and height is None:
            factor = self.scale if scale is None else scale
            if factor is None:
                raise ConfigError(f"{self.name} has no scale of its own; pass scale=2, or a width or a height")
            size = image.width * factor, image.height * factor
        else:
            size = (
                image.width * (height or 0) / image.height if width is None else width,
                image.height * (width or 0) / image.width if height is None else height,
            )
        wide, high = (max(1, round(side)) for side in size)
        own = self.scale or 0
        self.limits.check("pixels", "the pixels of an enlarged picture", wide * high)
        self.limits.check("pixels", f"the pixels that {self.name} makes", own * image.width * own * image.height)
        return wide, high

    def _all(self, images: "Sequence[Image]", sizes: Sequence[tuple[int, int]], on_progress: OnUpscale | None) -> "list[Image]":
        _FUNCTION.check("on_progress", on_progress, "pass one, or leave it out")
        total, done = sum(map(self._pieces, images)), 0

        def report() -> None:
            nonlocal done
            if on_progress is not None:
                on_progress(done, total)
            done += 1

        return [self._with_transparency(image, *size, report) for image, size in zip(images, sizes, strict=True)]

    def _with_transparency(self, image: "Image", width: int, height: int, report: Report) -> "Image":
        channel = alpha(image)
        if channel is None:
            return self._enlarge(image, width, height, report)
        # the colours as they are stored: before a background they would get its colour at every edge
        enlarged = self._enlarge(image.convert("RGBA").convert("RGB"), width, height, report)
        enlarged.putalpha(lanczos(channel, width, height))
        return enlarged
