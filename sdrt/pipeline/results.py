"""The result of a call: the images with their record."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.arrays import Float
from sdrt.errors import ImageError
from sdrt.images.exact_png import exact_png
from sdrt.images.files import OTHER_PICTURES, make_folder, picture_name, save_new_picture
from sdrt.images.grid import grid
from sdrt.images.saving import PictureFormat, check_format, check_quality, format_of, pillow_png
from sdrt.records.png_metadata import text_chunks
from sdrt.records.settings import Settings
from sdrt.values import FilePath, Text

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Result", "picture_names", "seeds_text"]


def seeds_text(seeds: Sequence[int]) -> str:
    """Return the seeds of a call's images in words.

    >>> seeds_text([93]), seeds_text([93, 94, 95]), seeds_text([1, 5])
    ('seed 93', 'seeds 93 to 95', 'seeds 1, 5')
    """
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    in_turn = all(seed == seeds[0] + k for k, seed in enumerate(seeds))
    return f"seeds {seeds[0]} to {seeds[-1]}" if in_turn else f"seeds {', '.join(map(str, seeds))}"


def picture_names(settings: Settings, seeds: Sequence[int], title: str | None = None, kind: PictureFormat = "png") -> list[str]:
    """Return the name that the file of each of a call's images begins from: its prompt, or a title, and its seed."""
    prompts = [prompt for prompt, _ in settings.image_texts]
    titles = [prompts[k % len(prompts)] if title is None else title for k in range(len(seeds))]
    return [picture_name(*each, kind) for each in zip(titles, seeds, strict=True)]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The images that ``generate`` returns, with their record; a notebook displays them.

    Parameters
    ----------
    images : list of PIL.Image.Image
        Empty if the run was cancelled, even while decoding: no image is returned before the safety checker has seen it.
    latents : float[n,C,h,w]
        The latents that the images were decoded from; if cancelled, those of the last step, for :meth:`Pipeline.decode`.
    seeds : tuple of int
        The seed of each image.
    settings : Settings
        Every setting of the run, with defaults filled in.
    truncated : tuple of str
        The text dropped from the prompt and from the negative prompt; two empty texts unless ``long_prompts`` is ``truncate``.
    cancelled : bool
        Whether ``on_step`` or ``on_progress`` returned False, or :meth:`Steps.cancel` was called, before the last image was decoded.
    flagged : tuple of bool, or None
        For each image, whether the safety checker flagged it, so that it is black or blurred; None for a pipeline without a checker.
    step_seconds : tuple of float
        The time of each step, see `Step.seconds`.
    """

    images: "list[Image]"
    latents: Float
    seeds: tuple[int, ...]
    settings: Settings
    truncated: tuple[str, str]
    cancelled: bool = False
    flagged: tuple[bool, ...] | None = None
    step_seconds: tuple[float, ...] = ()

    @property
    def texts(self) -> list[dict[str, str]]:
        """The texts that the file of each image carries: :func:`sdrt.records.text_chunks`."""
        flagged = self.flagged or (None,) * len(self.images)
        # one image that was taken out of its call is known by its seed
        indices: Sequence[int | None] = (
            range(len(self.images)) if len(self.images) == self.settings.num_images else (None,) * len(self.images)
        )
        each = zip(self.seeds, flagged, indices, strict=bool(self.images))
        return [text_chunks(self.settings, seed, is_flagged, index=index) for seed, is_flagged, index in each]

    @property
    def png(self) -> "Callable[[Image, Mapping[str, str]], bytes]":
        """What encodes an image as PNG: Pillow; under exact numerics an encoder of sdrt's own, whose bytes are the same everywhere."""
        return exact_png if self.settings.numerics == "exact" else pillow_png

    def save(
        self,
        folder: str | Path = ".",
        *,
        title: str | None = None,
        format: PictureFormat = "png",  # noqa: A002 -- as Pillow calls it
        quality: int | None = None,
    ) -> list[Path]:
        """Write each image as a file that carries its record.

        A file is written whole or not at all, and never replaces another: after ``a_red_circle.93.png``
        comes ``a_red_circle.93-2.png``.

        Parameters
        ----------
        folder : str or Path
            Created if it does not exist.
        title : str, optional
            The beginning of each name, before the image's seed. None: the image's prompt.
        format : "png", "jpeg" or "webp"
            JPEG and WebP lose a little of each pixel; their record draws the picture again without loss.
        quality : int, optional
            Of JPEG and WebP, 1 to 100. None: 95.

        Returns
        -------
        list of Path
            The files, in the order of the images.

        Raises
        ------
        ImageError : the folder cannot be created or written, or has the name of a picture's file; no such format or quality
        ConfigError : not a path, or not a text
        """
        place = FilePath().check("folder", folder)
        named = None if title is None else Text(length=None).check("title", title)
        kind = check_format(format)
        check_quality(quality, kind)
        if (format_of(place) or place.suffix.lower() in OTHER_PICTURES) and not place.is_dir():
            raise ImageError(f"folder must be a folder, got the name of a file, {place}; pass '.', and title='{place.stem}' for its name")
        make_folder(place)
        names = picture_names(self.settings, self.seeds, named, kind) if self.images else []
        files = zip(self.images, names, self.texts, strict=True)
        return [save_new_picture(image, place / name, text, quality=quality, png=self.png) for image, name, text in files]

    def _repr_png_(self) -> bytes | None:
        """Return the image, or the batch as a grid, for a notebook; None if there is no image."""
        if not self.images:
            return None
        stream = BytesIO()
        grid(self.images).save(stream, format="png")
        return stream.getvalue()

    def __repr__(self) -> str:
        settings, count = self.settings, len(self.images)
        images = "cancelled" if self.cancelled else f"{count} image{'s' if count != 1 else ''}"
        steps = f"{settings.num_inference_steps} steps of {settings.scheduler!r}"
        width, height = self.images[0].size if self.images else (settings.width, settings.height)
        return f"Result({images}, {width}x{height}, {seeds_text(self.seeds)}, {steps})"
