"""What drawing gives back at its end: the images with their record."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.arrays import Float
from sdrt.images.files import make_folder, picture_name, save_new_png
from sdrt.images.grid import grid
from sdrt.records.png_metadata import text_chunks
from sdrt.records.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Result"]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What ``generate`` returns; a notebook shows its images.

    Parameters
    ----------
    images : list of PIL.Image.Image
        Empty if the run was cancelled, also while it was decoding: no image leaves before the safety checker has seen it.
    latents : float[n,C,h,w]
        The latents that the images were decoded from; if cancelled, those of the last step, which :meth:`Pipeline.decode` draws.
    seeds : tuple of int
        Image by image.
    settings : Settings
        Every setting of the run, defaults filled in.
    truncated : tuple of str
        What was cut from the prompt and from the negative prompt; two empty texts unless ``long_prompts`` is ``truncate``.
    cancelled : bool
        Whether ``on_step`` or ``on_progress`` returned False, or :meth:`Steps.cancel` was called, before the last image was decoded.
    flagged : tuple of bool, or None
        Image by image, whether the safety checker blackened it; None where none was asked.
    step_seconds : tuple of float
        Of each step that was made, see `Step.seconds`.
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

        A file is written whole or not at all, and never over another one: ``a_red_circle.93-2.png`` is the next name.

        Parameters
        ----------
        folder : str or Path
            Made if it is not there.
        title : str, optional
            What the names begin with, followed by the image's seed. None: the prompt.

        Returns
        -------
        list of Path
            The files, in the order of the images.

        Raises
        ------
        ImageError : the folder cannot be made or written
        """
        folder = Path(folder)
        make_folder(folder)
        named = self.settings.prompt if title is None else title
        return [
            save_new_png(image, folder / picture_name(named, seed), text_chunks(self.settings, seed))
            for image, seed in zip(self.images, self.seeds, strict=bool(self.images))
        ]

    def _repr_png_(self) -> bytes | None:
        """Show a notebook the image, or the batch side by side; nothing where there is none."""
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
