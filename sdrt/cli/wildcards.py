"""Wildcards from a folder of text files: ``__colour__`` is a line of ``colour.txt``."""

import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sdrt.cli.prompts import read_lines
from sdrt.errors import ConfigError
from sdrt.printable import shown

__all__ = ["Wildcards", "image_seeds"]

# How many of the names that there are an error lists.
_LISTED = 12


# The options that may be lists with one for each image.
_FOR_EACH = ("seed", "image", "mask_image", "image_latents", "latents")


def image_seeds(options: Mapping[str, Any]) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Return the seed of each image of a call, and the options that say so: those that are None or -1 are drawn here.

    Parameters
    ----------
    options : mapping
        Of ``generate``.
    """
    given = options.get("seed")
    counts = [len(value) for name in _FOR_EACH if isinstance(value := options.get(name), list | tuple)]
    if isinstance(given, list | tuple):
        seeds = tuple(secrets.randbits(31) if seed == -1 else seed for seed in given)
        return seeds, {**options, "seed": list(seeds)}
    count, first = max(1, options.get("num_images") or max(counts, default=1)), secrets.randbits(31) if given in (None, -1) else given
    # variations of one seed
    step = 0 if options.get("subseed_strength") else 1
    return tuple(first + step * k for k in range(count)), {**options, "seed": first}


class Wildcards:
    """Fill prompts from the files of a folder, each read once.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    ConfigError : it is no folder
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(f"--wildcards must be a folder of text files, got {shown(str(folder))}; pass one")
        self._folder = folder
        self._lines = cache(self._read)

    def fill(self, prompt: str | Sequence[str], seeds: Sequence[int]) -> str | tuple[str, ...]:
        """Return the prompt of each image, drawn by its seed; one for all where that is the same.

        Parameters
        ----------
        prompt : str or sequence of str
            For all images, or for each.
        seeds : sequence of int
            One for each image.

        Raises
        ------
        ConfigError : a wildcard without a file, or one whose file cannot be read or has no line
        """
        from sdrt.prompt.wildcards import fill_wildcards, has_wildcards

        texts = (prompt,) if isinstance(prompt, str) else tuple(prompt)
        if not any(map(has_wildcards, texts)):
            return prompt if isinstance(prompt, str) else texts
        each = texts * len(seeds) if len(texts) == 1 else texts
        if len(each) != len(seeds):
            raise ConfigError(f"prompts with wildcards must be one, or one for each of {len(seeds)} images, got {len(each)}; pass so many")
        filled = tuple(fill_wildcards(text, seed, self._lines) for text, seed in zip(each, seeds, strict=True))
        return filled[0] if len(filled) == 1 else filled

    def _read(self, name: str) -> tuple[str, ...]:
        parts = name.split("/")
        # a name with ".." would lead out of the folder
        if any(part.strip(".") == "" for part in parts):
            raise ConfigError(f"a wildcard must name a file in the folder, got {shown(f'__{name}__')}; write its name without dots")
        file = self._folder.joinpath(*parts[:-1], f"{parts[-1]}.txt")
        if not file.is_file():
            there = sorted(each.relative_to(self._folder).with_suffix("").as_posix() for each in self._folder.rglob("*.txt"))
            listed = ", ".join(there[:_LISTED]) + (f" and {len(there) - _LISTED} more" if len(there) > _LISTED else "")
            raise ConfigError(f"{self._folder}: must have {name}.txt for {shown(f'__{name}__')}, got {listed or 'no text file'}; add it")
        lines = read_lines(file, f"--wildcards {file}")
        if not lines:
            raise ConfigError(f"--wildcards {file}: must hold a line of words, got none; write some")
        return lines
