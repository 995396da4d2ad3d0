"""What drawing gives back: a step of the loop, and the end of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sdrt.arrays import Float
from sdrt.images.files import make_folder, picture_name, save_new_png
from sdrt.images.grid import grid
from sdrt.records.png_metadata import text_chunks
from sdrt.records.settings import Settings
from sdrt.schedulers import State

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["DecodeLatents", "Result", "Step"]

# Makes a picture of each sample: float[n,C,h,w] -> n pictures.
DecodeLatents: TypeAlias = "Callable[[Float], list[Image]]"


@dataclass(frozen=True, eq=False)
class Step:
    """One network call that is over.

    Parameters
    ----------
    index : int
        From 0.
    num_steps : int
        Network calls in the whole run; more than ``num_inference_steps`` for schedulers that call twice.
    timestep : float
        The noise level that the network saw, in steps of the training schedule.
    latents : float[n,C,h,w]
        What the step left behind, read-only, in the scale in which x = alpha * x0 + sigma * noise.
    seconds : float
        Of the networks' call and the sampler's step; opening networks is not counted.
    """

    index: int
    num_steps: int
    timestep: float
    latents: Float
    seconds: float
    _state: State = field(repr=False)
    _decode: DecodeLatents = field(repr=False)

    @cached_property
    def x0(self) -> Float:
        """float[n,C,h,w]: the picture's latents as the networks predicted them in this step; computed when first read."""
        return self._state.x0

    @cached_property
    def preview(self) -> "list[Image]":
        """``x0`` as pictures; runs the decoder, once."""
        return self._decode(self.x0)


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What ``generate`` returns; a notebook shows its images.

    Parameters
    ----------
    images : list of PIL.Image.Image
        Empty if the run was cancelled.
    latents : float[n,C,h,w]
        The latents that the pictures were decoded from; if cancelled, those of the last step.
    seeds : tuple of int
        Image by image.
    settings : Settings
        Every setting of the run, defaults filled in.
    truncated : tuple of str
        What was cut from the prompt and from the negative prompt; two empty texts unless ``long_prompts`` is ``truncate``.
    cancelled : bool
        Whether ``on_step`` returned False.
    flagged : tuple of bool, or None
        Image by image, whether the safety checker blackened it; None where none was asked.
    """

    images: "list[Image]"
    latents: Float
    seeds: tuple[int, ...]
    settings: Settings
    truncated: tuple[str, str]
    cancelled: bool = False
    flagged: tuple[bool, ...] | None = None

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
