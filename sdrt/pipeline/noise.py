"""The noise of a run and its order: each image draws from a stream of its own, or all draw from one.

The order is part of the contract. An image's stream yields its latents first, then the sampler's noise, step by step. The sampler may use
a second stream instead, as in other programs (AUTOMATIC1111's "ENSD", stable-diffusion.cpp's ``--sampler-rng``).
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
    """Draw the noise of one run.

    Parameters
    ----------
    initial : streams that draw the latents
        One for each image, which draws [C,h,w]; or one for all, which draws [n,C,h,w] at once, as a single generator in diffusers does.
    fresh : streams that draw the sampler's noise
        The same objects as ``initial`` where the sampler continues the image's own stream.
    num_images : int
    brownian_seeds : ints
        The seeds of the Brownian paths, for samplers whose noise is an increment of one.
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
        """Return the Brownian paths of this plan, one per image; None for a plan without one.

        ``seed`` is ``Sampler.brownian_seed``, which the sampler's settings may fix.
        """
        return plan.brownian((self.num_images, *shape), self.brownian_seeds if seed is None else seed)

    def step(self, plan: Plan, index: int, paths: BrownianTree | None, shape: tuple[int, ...]) -> Float | None:
        """Draw the noise of call ``index``: float32[n, *shape], or None for a call without noise."""
        if not plan.draws[index]:
            return None
        return _draw(self.fresh, self.num_images, shape) if paths is None else paths.normal_between(*plan.intervals[index])


def open_noise(rng: NoiseChoice, sampler_rng: NoiseChoice | None, seed: int, sampler_seed: int | None, num_images: int) -> RunNoise:
    """Open the streams of a run.

    Parameters
    ----------
    rng : str or stream
        A name: image k draws from the stream of ``seed + k``. A stream: all images draw from this one object and advance it.
    sampler_rng : str, stream or None
        The same for the sampler's noise; None: it continues the image's own stream.
    sampler_seed : int or None
        The seed of the second stream; None: ``seed``. A second stream of the same name and seed would repeat the latents as noise, so the
        sampler continues the image's stream then too.

    Raises
    ------
    ConfigError : an unknown name, or a seed beside a stream that has one
    """
    initial = _open(rng, seed, num_images)
    second = seed if sampler_seed is None else sampler_seed
    if isinstance(sampler_rng, str) or (sampler_rng is None and sampler_seed is not None):
        name = sampler_rng if isinstance(sampler_rng, str) else rng
        if not isinstance(name, str):
            raise ConfigError(
                f"sampler_seed must come with a named stream, got rng as a {name.name!r} stream object; name one with sampler_rng"
            )
        fresh = initial if (name, second) == (rng, seed) else _open(name, second, num_images)
    elif sampler_rng is None:
        fresh = initial
    elif sampler_seed is not None:
        raise ConfigError(
            f"sampler_rng must be a name beside sampler_seed, got a stream object and sampler_seed {sampler_seed}; leave one out"
        )
    else:
        fresh = (sampler_rng,)
    return RunNoise(initial, fresh, num_images, tuple(second + k for k in range(num_images)))


def choice_name(choice: NoiseChoice | None) -> str | None:
    """Return the name of a stream, however it was chosen."""
    return choice if choice is None or isinstance(choice, str) else choice.name


def shared_states(**choices: NoiseChoice | None) -> dict[str, Any]:
    """Return the states of the streams that were passed as objects, by option."""
    streams = {key: choice for key, choice in choices.items() if choice is not None and not isinstance(choice, str)}
    return {key: each.state if isinstance(each, BaseStream) else {"stream": each.name, "seed": each.seed} for key, each in streams.items()}


def _open(choice: NoiseChoice, seed: int, num_images: int) -> tuple[NoiseStream, ...]:
    if not isinstance(choice, str):
        return (choice,)
    return tuple(stream(choice, seed + k) for k in range(num_images))


def _draw(streams: Sequence[NoiseStream], num_images: int, shape: tuple[int, ...]) -> Float:
    if len(streams) == 1:
        return streams[0].normal((num_images, *shape))
    return np.stack([each.normal(shape) for each in streams])
