"""The pictures of ``StableDiffusionSample``: their names, and previews of a run.

Source: apple/ml-stable-diffusion at e12202c, ``StableDiffusionCLI/main.swift``, ``imageName`` and ``handleProgress``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.cli import signals
from sdrt.cli.console import say
from sdrt.cli.others.named_pictures import NamedPictures, fitting_name

if TYPE_CHECKING:
    from sdrt.pipeline.step import Step

__all__ = ["PictureNames", "Previews"]

# Characters of the prompt in a name.
_PROMPT_LENGTH = 75


@dataclass(frozen=True, kw_only=True)
class PictureNames:
    """The names of a command's pictures.

    Parameters
    ----------
    prompt : str
    image_count : int
    strength : float or None
        None: without a start image.
    seed : int
    """

    prompt: str
    image_count: int
    strength: float | None
    seed: int

    def name(self, index: int, step: int | None = None) -> str:
        """Return the name of one image, or of its preview at a step.

        >>> PictureNames(prompt="a red circle", image_count=2, strength=0.5, seed=93).name(1)
        'a_red_circle.1.str50.93.final.png'
        """
        import numpy as np

        from sdrt.tokenizer.graphemes import graphemes

        ending = f".{index}" if self.image_count != 1 else ""
        if self.strength is not None:
            # in single precision, and cut off
            ending += f".str{int(np.float32(self.strength) * np.float32(100))}"
        ending += f".{self.seed}.{'final' if step is None else step}.png"
        return fitting_name("".join(graphemes(self.prompt)[:_PROMPT_LENGTH]).replace(" ", "_"), ending)

    def destination(self, folder: Path) -> NamedPictures:
        """Return the place of the finished pictures; those that the safety checker flags are not saved."""
        return NamedPictures(folder, tuple(self.name(index) for index in range(self.image_count)), saves_flagged=False)


@dataclass(frozen=True, kw_only=True)
class Previews:
    """Write the predicted clean image every few steps, decoded.

    Parameters
    ----------
    every : int, at least 1
        Steps whose number, from 0, it divides are written.
    folder : Path
    names : PictureNames
    quiet : bool
        Whether the names of the files are not printed.
    """

    every: int
    folder: Path
    names: PictureNames
    quiet: bool

    def __call__(self, step: "Step") -> None:
        """Write the previews of one step. They carry no record, since the record of a call draws its last step.

        Raises
        ------
        ImageError : a file cannot be written
        """
        from sdrt.images import save_picture

        if step.index % self.every:
            return
        pictures = step.decode()
        with signals.deferred():
            for index, picture in enumerate(pictures):
                file = self.folder / self.names.name(index, step.index)
                save_picture(picture, file, {})
                if not self.quiet:
                    say(str(file))
