"""What differs between the images of a call: prompts and seeds from lists, and variations of the first noise."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdrt.errors import ConfigError
from sdrt.limits import Limits
from sdrt.pipeline.noise import NoiseChoice, Variation
from sdrt.pipeline.options import GenerateOptions
from sdrt.records.settings import Settings

__all__ = ["Series", "read_series", "variation_of", "without_effect"]


@dataclass(frozen=True, kw_only=True)
class Series:
    """The prompts and seeds of a call.

    Parameters
    ----------
    prompts, negative_prompts : tuple of str
        One for all images, or one for each.
    prompts_2, negative_prompts_2 : tuple of str
        The same for the second of two text encoders; empty: it takes those of the first.
    seeds : tuple of int
        That of the first image, or one for each.
    subseed : int or None
        None: the first noise is mixed with no other.
    """

    prompts: tuple[str, ...]
    negative_prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    subseed: int | None
    prompts_2: tuple[str, ...] = ()
    negative_prompts_2: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many of each were passed, by the names of the arguments."""
        first = {"prompt": len(self.prompts), "negative_prompt": len(self.negative_prompts), "seed": len(self.seeds)}
        return first | {"prompt_2": len(self.prompts_2), "negative_prompt_2": len(self.negative_prompts_2)}

    def conditions(self) -> dict[str, Any]:
        """Return the texts of a second text encoder as the record has them, those that were passed."""
        texts = {"prompt_2": self.prompts_2, "negative_prompt_2": self.negative_prompts_2}
        return {name: list(each) if len(each) > 1 else each[0] for name, each in texts.items() if each}

    def fields(self) -> dict[str, Any]:
        """Return the fields of ``Settings``: those of the first image, and all where a list was passed."""
        lists = {"prompts": self.prompts, "negative_prompts": self.negative_prompts, "seeds": self.seeds}
        first = {name.removesuffix("s"): values[0] for name, values in lists.items()}
        return first | {name: values for name, values in lists.items() if len(values) > 1} | {"subseed": self.subseed}


def read_series(prompt: str | Sequence[str], negative_prompt: str | Sequence[str], options: GenerateOptions, rng: NoiseChoice) -> Series:
    """Read the arguments that may be lists, and draw seeds for those that are None or -1, as other programs write it.

    Raises
    ------
    ConfigError : several seeds beside a stream that has one
    """
    given = options.get("seed")
    seeds = (-1 if given is None else given,) if given is None or isinstance(given, int) else tuple(given)
    if not isinstance(rng, str):
        if len(seeds) > 1:
            raise ConfigError(f"seed must be one number beside a {rng.name!r} stream object, got {len(seeds)}; name a stream with rng")
        seeds = tuple(rng.seed if seed == -1 else seed for seed in seeds)
    seeds = tuple(secrets.randbits(31) if seed == -1 and isinstance(rng, str) else seed for seed in seeds)
    subseed = options.get("subseed")
    if subseed in (None, -1):
        subseed = secrets.randbits(31) if options.get("subseed_strength") else None
    return Series(
        prompts=_each(prompt),
        negative_prompts=_each(negative_prompt),
        seeds=seeds,
        subseed=subseed,
        prompts_2=_each(options.get("prompt_2", ())),
        negative_prompts_2=_each(options.get("negative_prompt_2", ())),
    )


def variation_of(settings: Settings, pixels: int, limits: Limits) -> Variation | None:
    """Return how the first noise of a call is varied; None if it is not.

    Parameters
    ----------
    pixels : int
        The side of a latent in pixels.

    Raises
    ------
    ConfigError : a size below one latent, or above the limit
    """
    size = settings.seed_resize_from
    if size is not None:
        if min(size) < pixels:
            raise ConfigError(f"seed_resize_from must be at least {pixels} pixels a side for this model, got {size[0]}x{size[1]}")
        limits.check("pixels", "height times width of seed_resize_from", size[0] * size[1])
    if not settings.subseed_strength and size is None:
        return None
    latents = None if size is None else (size[0] // pixels, size[1] // pixels)
    return Variation(subseed=settings.subseed or 0, strength=settings.subseed_strength, resize_from=latents)


def _each(texts: str | Sequence[str] | None) -> tuple[str, ...]:
    if texts is None:
        return ()
    return (texts,) if isinstance(texts, str) else tuple(texts)


def without_effect(settings: Settings) -> Mapping[str, str]:
    """Return the options of variations that a call does not read, each with the reason."""
    if "latents" in settings.conditions:
        given = {"subseed_strength": settings.subseed_strength, "seed_resize_from": settings.seed_resize_from}
        return {name: "the noise of the start was passed as latents" for name, value in given.items() if value}
    return {"subseed": "subseed_strength is 0"} if settings.subseed is not None and not settings.subseed_strength else {}
