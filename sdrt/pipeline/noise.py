"""Whose noise a run draws, and in which order: each image's from a stream of its own, or all from one.

The order is part of the contract. An image's stream gives its latents first, then whatever its sampler asks for, step by step. A sampler's
noise may come from a second stream instead, as other programs have it (AUTOMATIC1111's "ENSD", stable-diffusion.cpp's ``--sampler-rng``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.rng import BaseStream, BrownianTree, NoiseStream, stream
from sdrt.schedulers import Plan

__all__ = ["NoiseChoice", "RunNoise", "choice_name", "open_noise", "shared_states"]

NoiseChoice: TypeAlias = str | NoiseStream


@dataclass(frozen=True, eq=False)
class RunNoise:
    """The noise of one run.

    Parameters
    ----------
    initial : streams that draw the latents
        One for each image, which draws [C,h,w]; or one for all, which draws [n,C,h,w] at once, as a single generator in diffusers does.
    fresh : streams that draw what the sampler asks for
        The same objects where the sampler goes on with the image's own stream.
    num_images : int
    brownian_seeds : ints
        Of the Brownian paths, for samplers whose noise is an increment of one.
    """

    initial: tuple[NoiseStream, ...]
    fresh: tuple[NoiseStream, ...]
    num_images: int
    brownian_seeds: tuple[int, ...]

    def latents(self, shape: tuple[int, ...]) -> Float:
        """Draw unit noise for every image: float32[n, *shape]."""
        return _draw(self.initial, self.num_images, shape)

    def posterior(self, shape: tuple[int, ...]) -> Float:
        """Draw the noise of a VAE posterior for every image, right after the latents as diffusers does: float32[n, *shape]."""
        return _draw(self.initial, self.num_images, shape)

    def paths(self, plan: Plan, shape: tuple[int, ...], seed: int | tuple[int, ...] | None = None) -> BrownianTree | None:
        """Return the Brownian paths that this plan walks along, one an image; None for a plan that has none.

        ``seed`` is the one that the sampler's settings fix, ``Sampler.brownian_seed``.
        """
        return plan.brownian((self.num_images, *shape), self.brownian_seeds if seed is None else seed)

    def step(self, plan: Plan, index: int, paths: BrownianTree | None, shape: tuple[int, ...]) -> Float | None:
        """Draw what call ``index`` needs: float32[n, *shape], or None where it needs nothing."""
        if not plan.draws[index]:
            return None
        return _draw(self.fresh, self.num_images, shape) if paths is None else paths.normal_between(*plan.intervals[index])


def open_noise(rng: NoiseChoice, sampler_rng: NoiseChoice | None, seed: int, sampler_seed: int | None, num_images: int) -> RunNoise:
    """Open the streams of a run.

    Parameters
    ----------
    rng : str or stream
        A name: image k draws from the stream of ``seed + k``. A stream: all images draw from this one object, which moves on.
    sampler_rng : str, stream or None
        The same for what the sampler asks for; None: the stream of the image goes on.
    sampler_seed : int or None
        The seed of the second stream; None: ``seed``. A second stream of the same name and seed would repeat the latents as noise, so that
        then too the image's stream goes on.

    Raises
    ------
    ConfigError : an unknown name, or a seed beside a stream that has one
    """
    initial = _open(rng, seed, num_images)
    second = seed if sampler_seed is None else sampler_seed
    if isinstance(sampler_rng, str) or (sampler_rng is None and sampler_seed is not None):
        name = sampler_rng if isinstance(sampler_rng, str) else rng
        if not isinstance(name, str):
            raise ConfigError(f"sampler_seed needs a stream to seed, and rng is a {name.name!r} stream itself; name one with sampler_rng")
        fresh = initial if (name, second) == (rng, seed) else _open(name, second, num_images)
    elif sampler_rng is None:
        fresh = initial
    elif sampler_seed is not None:
        raise ConfigError(f"sampler_rng is a stream with the seed {sampler_rng.seed}, got sampler_seed {sampler_seed} too; leave that out")
    else:
        fresh = (sampler_rng,)
    return RunNoise(initial, fresh, num_images, tuple(second + k for k in range(num_images)))


def choice_name(choice: NoiseChoice | None) -> str | None:
    """Return the name of a stream, however it was chosen."""
    return choice if choice is None or isinstance(choice, str) else choice.name


def shared_states(**choices: NoiseChoice | None) -> dict[str, Any]:
    """Return where the streams stand that were handed over as objects, by the option that did so."""
    handed = {key: choice for key, choice in choices.items() if choice is not None and not isinstance(choice, str)}
    return {key: each.state if isinstance(each, BaseStream) else {"stream": each.name, "seed": each.seed} for key, each in handed.items()}


def _open(choice: NoiseChoice, seed: int, num_images: int) -> tuple[NoiseStream, ...]:
    if not isinstance(choice, str):
        return (choice,)
    return tuple(stream(choice, seed + k) for k in range(num_images))


def _draw(streams: Sequence[NoiseStream], num_images: int, shape: tuple[int, ...]) -> Float:
    if len(streams) == 1:
        return streams[0].normal((num_images, *shape))
    return np.stack([each.normal(shape) for each in streams])
