"""The noise of a run and its order: each image draws from a stream of its own, or all draw from one.

The order is part of the contract. An image's stream yields its latents first, then the sampler's noise, step by step. The sampler may use
a second stream instead, as in other programs (AUTOMATIC1111's "ENSD", stable-diffusion.cpp's ``--sampler-rng``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sdrt.arrays import Float, Numerics
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import functions_of
from sdrt.rng import BaseStream, BrownianTree, NoiseStream, SeededStream, stream
from sdrt.rng.variation import centred, slerp
from sdrt.schedulers import Plan

__all__ = ["NoiseChoice", "RunNoise", "Variation", "choice_name", "open_noise", "shared_states"]

NoiseChoice: TypeAlias = str | NoiseStream


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How the first noise of each image is varied.

    Parameters
    ----------
    subseed : int
        Image k is mixed with the noise of ``subseed + k``.
    strength : float, 0 to 1
        The share of that noise.
    resize_from : (h, w) in latents, or None
        The size whose noise stands in the middle of the image's.
    """

    subseed: int
    strength: float
    resize_from: tuple[int, int] | None

    def streams(self, name: str, seeds: Sequence[int], numerics: Numerics) -> "_VariedStreams":
        """Open the streams that a variation of these seeds draws from besides the images' own."""
        origins = _open(name, seeds, numerics) if self.resize_from else ()
        others = _open(name, [self.subseed + k for k in range(len(seeds))], numerics) if self.strength else ()
        return _VariedStreams(self, origins, others, numerics)


@dataclass(frozen=True, eq=False)
class _VariedStreams:
    """The streams of a variation: they stand where the image's own stream stands, so that strength 1 is the noise of the other seed."""

    variation: Variation
    origins: tuple[NoiseStream, ...]
    others: tuple[NoiseStream, ...]
    numerics: Numerics

    def advance(self, shape: tuple[int, ...]) -> None:
        """Skip what the images' own streams have drawn for another purpose."""
        for each in (*self.origins, *self.others):
            each.normal(shape)

    def varied(self, noise: Float) -> Float:
        """Return the first noise of each image, float32[n,C,h,w], varied."""
        shape = noise.shape[1:]
        size = (shape[0], *(self.variation.resize_from or shape[1:]))
        images = []
        for k, own in enumerate(noise):
            first = own if size == shape else self.origins[k].normal(size)
            if self.others:
                first = slerp(first, self.others[k].normal(size), self.variation.strength, functions_of(self.numerics))
            images.append(first if size == shape else centred(first, own))
        return np.stack(images)


@dataclass(frozen=True, eq=False)
class RunNoise:
    """Draw the noise of one run.

    Parameters
    ----------
    initial : streams that draw the latents
        One for each image, which draws [C,h,w]; or one for all.
    fresh : streams that draw the sampler's noise
        The same objects as ``initial`` where the sampler continues the image's own stream.
    num_images : int
    brownian_seeds : ints
        The seeds of the Brownian paths, for samplers whose noise is an increment of one.
    variation : _VariedStreams or None
        What the first noise is mixed with; None: nothing.
    numerics : "float32", "float64" or "exact"
    separate : bool
        How seeded streams draw. False: as generators in diffusers do, one for all images [n,C,h,w] at once. True: as Apple's Swift package
        does, an array for each image, one after the other, and the posterior value by value. Streams whose numbers depend on how many are
        asked for (``torch``, ``nv``) give others then.
    """

    initial: tuple[NoiseStream, ...]
    fresh: tuple[NoiseStream, ...]
    num_images: int
    brownian_seeds: tuple[int, ...]
    variation: _VariedStreams | None = None
    numerics: Numerics = "float32"
    separate: bool = False

    def latents(self, shape: tuple[int, ...]) -> Float:
        """Draw unit noise for every image: float32[n, *shape]."""
        noise = self._draw(self.initial, self.num_images, shape)
        return noise if self.variation is None else self.variation.varied(noise)

    def posterior(self, shape: tuple[int, ...], pictures: int) -> Float:
        """Draw the noise of a VAE posterior for every image: float32[n, *shape].

        Parameters
        ----------
        shape : (C, h, w)
        pictures : int
            How many pictures are encoded: one for all images, or one for each. One stream for all images draws for each picture, as a
            single generator in diffusers does.
        """
        if self.variation is not None:
            self.variation.advance(shape)
        if len(self.initial) == 1 < self.num_images:
            each = self._draw_posterior(pictures, shape)
            return np.concatenate([each] * (self.num_images // pictures))
        return self._draw_posterior(self.num_images, shape)

    def paths(self, plan: Plan, shape: tuple[int, ...], seed: int | tuple[int, ...] | None = None) -> BrownianTree | None:
        """Return the Brownian paths of this plan, one per image; None for a plan without one.

        ``seed`` is ``Sampler.brownian_seed``, which the sampler's settings may fix.
        """
        return plan.brownian((self.num_images, *shape), self.brownian_seeds if seed is None else seed, self.numerics)

    def step(self, plan: Plan, index: int, paths: BrownianTree | None, shape: tuple[int, ...]) -> Float | None:
        """Draw the noise of call ``index``: float32[n, *shape], or None for a call without noise."""
        if not plan.draws[index]:
            return None
        return self._draw(self.fresh, self.num_images, shape) if paths is None else paths.normal_between(*plan.intervals[index])

    def _draw_posterior(self, count: int, shape: tuple[int, ...]) -> Float:
        if not self._one_by_one:
            return self._draw(self.initial, count, shape)
        streams = self.initial if len(self.initial) > 1 else self.initial * count
        size = math.prod(shape)
        return np.stack([np.concatenate([each.normal(1) for _ in range(size)]).reshape(shape) for each in streams])

    @property
    def _one_by_one(self) -> bool:
        """Whether images and values are drawn apart; existing arrays are handed out whole."""
        return self.separate and isinstance(self.initial[0], SeededStream)

    def _draw(self, streams: Sequence[NoiseStream], count: int, shape: tuple[int, ...]) -> Float:
        if len(streams) > 1:
            return np.stack([each.normal(shape) for each in streams])
        if self._one_by_one:
            return np.stack([streams[0].normal(shape) for _ in range(count)])
        return streams[0].normal((count, *shape))


def open_noise(
    rng: NoiseChoice,
    sampler_rng: NoiseChoice | None,
    seed: int | Sequence[int],
    sampler_seed: int | None,
    num_images: int,
    variation: Variation | None = None,
    numerics: Numerics = "float32",
    *,
    separate: bool = False,
) -> RunNoise:
    """Open the streams of a run.

    Parameters
    ----------
    rng : str or stream
        A name: image k draws from the stream of its seed. A stream: all images draw from this one object and advance it.
    sampler_rng : str, stream or None
        The same for the sampler's noise; None: it continues the image's own stream.
    seed : int, or one for each image
        One: image k has ``seed + k``.
    sampler_seed : int or None
        The seed of the first image's second stream, those of the others at the distance of their seeds; None: the image's. A second stream
        of the same name and seed would repeat the latents as noise, so the sampler continues the image's stream then too.
    num_images : int
    variation : Variation or None
    numerics : "float32", "float64" or "exact"
        The pipeline's, for the streams that are opened here.
    separate : bool
        Whether images and values of a posterior are drawn one by one, as `RunNoise` says.

    Raises
    ------
    ConfigError : an unknown name, a seed beside a stream that has one, or in an exact run a stream that was made with other numerics
    """
    seeds = tuple(seed + k for k in range(num_images)) if isinstance(seed, int) else tuple(seed)
    initial = _open(rng, seeds, numerics)
    second = seeds if sampler_seed is None else _second_seeds(sampler_seed, seeds)
    if isinstance(sampler_rng, str) or (sampler_rng is None and sampler_seed is not None):
        name = sampler_rng if isinstance(sampler_rng, str) else rng
        if not isinstance(name, str):
            raise ConfigError(
                f"sampler_seed must come with a named stream, got rng as a {name.name!r} stream object; name one with sampler_rng"
            )
        fresh = initial if (name, second) == (rng, seeds) else _open(name, second, numerics)
    elif sampler_rng is None:
        fresh = initial
    elif sampler_seed is not None:
        raise ConfigError(
            f"sampler_rng must be a name beside sampler_seed, got a stream object and sampler_seed {sampler_seed}; leave one out"
        )
    else:
        fresh = _open(sampler_rng, second, numerics)
    if variation is not None and not isinstance(rng, str):
        raise ConfigError(f"a variation needs a named stream, got rng as a {rng.name!r} stream object; name one with rng")
    varied = variation.streams(rng, seeds, numerics) if variation is not None and isinstance(rng, str) else None
    return RunNoise(initial, fresh, num_images, second, varied, numerics, separate)


def _second_seeds(sampler_seed: int, seeds: Sequence[int]) -> tuple[int, ...]:
    second = tuple(sampler_seed + seed - seeds[0] for seed in seeds)
    if min(second) < 0:
        raise ConfigError(
            f"sampler_seed must be at least {sampler_seed - min(second)} for these seeds, got {sampler_seed}; each image's has the "
            "distance of its seed from the first one's"
        )
    return second


def choice_name(choice: NoiseChoice | None) -> str | None:
    """Return the name of a stream, however it was chosen."""
    return choice if choice is None or isinstance(choice, str) else choice.name


def shared_states(**choices: NoiseChoice | None) -> dict[str, Any]:
    """Return the states of the streams that were passed as objects, by option."""
    streams = {key: choice for key, choice in choices.items() if choice is not None and not isinstance(choice, str)}
    return {key: each.state if isinstance(each, BaseStream) else {"stream": each.name, "seed": each.seed} for key, each in streams.items()}


def _open(choice: NoiseChoice, seeds: Sequence[int], numerics: Numerics) -> tuple[NoiseStream, ...]:
    """Return a stream of each seed, or the one that a caller made.

    Raises
    ------
    ConfigError : a seeded stream of other numerics in an exact run
    """
    if isinstance(choice, str):
        return tuple(stream(choice, seed, numerics=numerics) for seed in seeds)
    if numerics == "exact" and isinstance(choice, SeededStream) and choice.numerics != "exact":
        raise ConfigError(
            f"a stream object of an exact run must be exact, got {choice!r} of {choice.numerics}; "
            f"pass sdrt.rng.stream({choice.name!r}, {choice.seed}, numerics='exact')"
        )
    return (choice,)
