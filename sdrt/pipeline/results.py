"""The result of a call: the images with their record."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.arrays import Float
from sdrt.errors import ImageError
from sdrt.images.files import OTHER_PICTURES, make_folder, picture_name, save_new_png
from sdrt.images.grid import grid
from sdrt.records.png_metadata import text_chunks
from sdrt.records.settings import Settings
from sdrt.values import FilePath, Text

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Result"]


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
        For each image, whether the safety checker blackened it; None for a pipeline without a checker.
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

    def save(self, folder: str | Path = ".", *, title: str | None = None) -> list[Path]:
        """Write each image as a PNG that carries its record.

        A file is written whole or not at all, and never replaces another: after ``a_red_circle.93.png``
        comes ``a_red_circle.93-2.png``.

        Parameters
        ----------
        folder : str or Path
            Created if it does not exist.
        title : str, optional
            The beginning of each name, before the image's seed. None: the prompt.

        Returns
        -------
        list of Path
            The files, in the order of the images.

        Raises
        ------
        ImageError : the folder cannot be created or written, or has the name of a picture's file
        ConfigError : not a path, or not a text
        """
        place = FilePath().check("folder", folder)
        named = self.settings.prompt if title is None else Text(length=None).check("title", title)
        ending = place.suffix.lower()
        if (ending == ".png" or ending in OTHER_PICTURES) and not place.is_dir():
            raise ImageError(f"folder must be a folder, got the name of a file, {place}; pass '.', and title='{place.stem}' for its name")
        make_folder(place)
        flagged = self.flagged or (None,) * len(self.images)
        return [
            save_new_png(image, place / picture_name(named, seed), text_chunks(self.settings, seed, is_flagged))
            for image, seed, is_flagged in zip(self.images, self.seeds, flagged, strict=bool(self.images))
        ]

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
        seeds = f"seed {self.seeds[0]}" if len(self.seeds) == 1 else f"seeds {self.seeds[0]} to {self.seeds[-1]}"
        steps = f"{settings.num_inference_steps} steps of {settings.scheduler!r}"
        return f"Result({images}, {settings.width}x{settings.height}, {seeds}, {steps})"
