"""The loop as it should be, part by part: each part is a method that a mistake replaces."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import F64, Array
from sdrt.rng import NoiseStream
from sdrt.rng import stream as make_stream
from sdrt.schedulers import DiffusersScheduler, from_config
from sdrt.testing.loops.networks import decode, encode, predict

__all__ = ["Loop", "LoopCall", "LoopTranscript"]


@dataclass(frozen=True, eq=False)
class LoopCall:
    """What a loop is asked to draw: one image.

    Parameters
    ----------
    input_ids, negative_input_ids : i32[1,77]
    seed : int
    stream : noise stream
        ``stream.normal(shape)`` draws: first the latents, then the noise of each step that has some.
    scheduler : DiffusersScheduler
        With diffusers' habit, in numpy; ``set_timesteps`` has not been called.
    scheduler_config : mapping
        Its settings, for a loop that has a scheduler of its own.
    num_inference_steps : int
    guidance_scale : float
        noise = uncond + guidance_scale * (cond - uncond).
    height, width : int
        Of the image, 8 times those of the latents.
    scaling_factor : float
        The latents are divided by it before they are decoded.
    """

    input_ids: Array
    negative_input_ids: Array
    seed: int
    stream: NoiseStream
    scheduler: DiffusersScheduler
    scheduler_config: Mapping[str, Any]
    num_inference_steps: int
    guidance_scale: float
    height: int
    width: int
    scaling_factor: float

    @classmethod
    def of(cls, config: Mapping[str, Any], seed: int, num_inference_steps: int, guidance_scale: float) -> "LoopCall":
        """Make a call of a scheduler's configuration."""
        chosen = np.random.RandomState(seed)
        ids = chosen.randint(0, 49000, (2, 1, 77)).astype(np.int32)
        return cls(
            input_ids=ids[0],
            negative_input_ids=ids[1],
            seed=seed,
            stream=make_stream("torch", seed),
            scheduler=from_config(config),
            scheduler_config=dict(config),
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            height=32,
            width=48,
            scaling_factor=0.18215,
        )

    def __str__(self) -> str:
        name = self.scheduler_config["_class_name"]
        return f"{name}, {self.num_inference_steps} steps, guidance {self.guidance_scale:g}, seed {self.seed}"


@dataclass(frozen=True, eq=False)
class LoopTranscript:
    """What a loop does in one call."""

    timesteps: tuple[float, ...]  # of the network, step by step
    samples: tuple[F64, ...]  # what the network gets, [4,h,w] each
    decoded: F64 | None  # what the decoder gets, [1,4,h,w]; None where it was not called
    image: F64 | None  # [1,3,8h,8w]: pixels in [0, 1]


class Loop:
    """The loop of text to image with classifier-free guidance.

    Parameters
    ----------
    call : LoopCall
    """

    def __init__(self, call: LoopCall) -> None:
        self.call = call
        self.stream: NoiseStream = make_stream("torch", call.seed)
        self.scheduler = from_config(dict(call.scheduler_config))
        self.scheduler.set_timesteps(call.num_inference_steps)

    def run(self) -> LoopTranscript:
        """Draw the image."""
        x = self.first_noise()
        samples, timesteps = [], []
        for i, t in enumerate(self.timesteps()):
            seen = self.scaled(x, float(t))
            told = self.network_timestep(i, float(t))
            cond, uncond = (predict(seen, told, encode(ids)) for ids in self.prompts())
            x = np.asarray(self.step(self.guided(i, cond, uncond), float(t), x))
            samples.append(seen[0].astype(np.float64))
            timesteps.append(told)
        z = self.unscaled(x)
        return LoopTranscript(tuple(timesteps), tuple(samples), z.astype(np.float64), self.pixels(decode(z)).astype(np.float64))

    def timesteps(self) -> Array:
        """Return the scheduler's timesteps."""
        return self.scheduler.timesteps

    def shape(self) -> tuple[int, ...]:
        """Return the shape of the latents."""
        return (1, 4, self.call.height // 8, self.call.width // 8)

    def first_noise(self) -> Array:
        """Return the sample at the first call."""
        return np.asarray(self.stream.normal(self.shape()) * np.float32(self.scheduler.init_noise_sigma))

    def scaled(self, x: Array, t: float) -> Array:
        """Return what the network gets for a sample."""
        return np.asarray(self.scheduler.scale_model_input(x, t))

    def network_timestep(self, i: int, t: float) -> float:  # noqa: ARG002
        """Return the timestep that the network gets."""
        return t

    def prompts(self) -> tuple[Array, Array]:
        """Return the ids with and without the prompt."""
        return self.call.input_ids, self.call.negative_input_ids

    def scale_of(self, i: int) -> float:  # noqa: ARG002
        """Return the scale of guidance in a call."""
        return self.call.guidance_scale

    def guided(self, i: int, cond: Array, uncond: Array) -> Array:
        """Return the two predictions as one."""
        return np.asarray(uncond + np.float32(self.scale_of(i)) * (cond - uncond))

    def step(self, output: Array, t: float, x: Array) -> Array:
        """Return the next sample."""
        return np.asarray(self.scheduler.step(output, t, x, generator=self.stream).prev_sample)

    def unscaled(self, x: Array) -> Array:
        """Return what the decoder gets."""
        return np.asarray(x / np.float32(self.call.scaling_factor))

    def pixels(self, image: Array) -> Array:
        """Return pixels in [0, 1]."""
        return np.clip(self.half(image), 0, 1)

    def half(self, image: Array) -> Array:
        """Return the decoder's [-1, 1] as [0, 1]."""
        return image / 2 + np.float32(0.5)
