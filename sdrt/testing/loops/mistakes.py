"""Mistakes of loops, each as a loop with one part replaced."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Array
from sdrt.rng import stream as make_stream
from sdrt.testing.loops.reference import Loop, LoopCall

__all__ = ["MISTAKES", "Mistake", "pairs"]


@dataclass(frozen=True)
class Mistake:
    """One mistake, or two.

    Parameters
    ----------
    kinds, texts : tuples of str
        Of the faults.
    make : function
        From a call to a loop that has them.
    """

    kinds: tuple[str, ...]
    texts: tuple[str, ...]
    make: Callable[[LoopCall], Loop]


class _RowsSwapped(Loop):
    def prompts(self) -> tuple[Array, Array]:
        return self.call.negative_input_ids, self.call.input_ids


class _NegativeIgnored(Loop):
    def prompts(self) -> tuple[Array, Array]:
        return self.call.input_ids, np.zeros_like(self.call.input_ids) + 49407


class _NoGuidance(Loop):
    def scale_of(self, i: int) -> float:  # noqa: ARG002
        return 1.0


class _FromCond(Loop):
    def guided(self, i: int, cond: Array, uncond: Array) -> Array:
        return np.asarray(cond + np.float32(self.scale_of(i)) * (cond - uncond))


class _SumOfBoth(Loop):
    def guided(self, i: int, cond: Array, uncond: Array) -> Array:
        return np.asarray(uncond + np.float32(self.scale_of(i)) * cond)


class _AwayFromCond(Loop):
    def guided(self, i: int, cond: Array, uncond: Array) -> Array:
        return np.asarray(uncond - np.float32(self.scale_of(i)) * (cond - uncond))


class _NotAtFirst(Loop):
    def scale_of(self, i: int) -> float:
        return 1.0 if i == 0 else super().scale_of(i)


class _NotAtLast(Loop):
    def scale_of(self, i: int) -> float:
        return 1.0 if i == len(self.scheduler.timesteps) - 1 else super().scale_of(i)


class _OnlyAtFirst(Loop):
    def scale_of(self, i: int) -> float:
        return super().scale_of(i) if i == 0 else 1.0


class _NoiseAnew(Loop):
    """The sampler's noise begins at the seed, as the latents did."""

    def first_noise(self) -> Array:
        found = super().first_noise()
        self.stream = make_stream("torch", self.call.seed)
        return found


class _NoiseFirst(Loop):
    """As many draws as there are steps are made before the latents."""

    def first_noise(self) -> Array:
        ahead = make_stream("torch", self.call.seed)
        noises = [ahead.normal(self.shape()) for _ in self.scheduler.timesteps]
        self.stream = make_stream("torch", self.call.seed)
        for _ in noises:
            self.stream.normal(self.shape())
        found = super().first_noise()
        self.stream = make_stream("torch", self.call.seed)
        return found


class _NoiseBeforeStep(Loop):
    """The second draw is thrown away."""

    def first_noise(self) -> Array:
        found = super().first_noise()
        self.stream.normal(self.shape())
        return found


class _FirstScaledTwice(Loop):
    def first_noise(self) -> Array:
        return super().first_noise() * np.float32(self.scheduler.init_noise_sigma)


class _FirstNotScaled(Loop):
    def first_noise(self) -> Array:
        return np.asarray(self.stream.normal(self.shape()))


class _InputScaledTwice(Loop):
    def scaled(self, x: Array, t: float) -> Array:
        return np.asarray(self.scheduler.scale_model_input(super().scaled(x, t), t))


class _InputNotScaled(Loop):
    def scaled(self, x: Array, t: float) -> Array:  # noqa: ARG002
        return x


class _ScaledSampleIsStepped(Loop):
    """The step gets the scaled input in place of the sample."""

    def step(self, output: Array, t: float, x: Array) -> Array:
        return super().step(output, t, self.scaled(x, t))


class _NoFactor(Loop):
    def unscaled(self, x: Array) -> Array:
        return x


class _TimesFactor(Loop):
    def unscaled(self, x: Array) -> Array:
        return np.asarray(x * np.float32(self.call.scaling_factor))


class _NotClamped(Loop):
    def pixels(self, image: Array) -> Array:
        return self.half(image)


class _Wrapped(Loop):
    """Bytes that wrap around."""

    def pixels(self, image: Array) -> Array:
        return np.asarray(np.mod(np.rint(self.half(image) * 255), 256) / 255)


class _NotHalved(Loop):
    def half(self, image: Array) -> Array:
        return image


class _IndexAsTimestep(Loop):
    def network_timestep(self, i: int, t: float) -> float:  # noqa: ARG002
        return float(i)


class _TimestepAsShare(Loop):
    def network_timestep(self, i: int, t: float) -> float:  # noqa: ARG002
        return t / 1000


class _NextTimestep(Loop):
    def network_timestep(self, i: int, t: float) -> float:  # noqa: ARG002
        timesteps = self.scheduler.timesteps
        return float(timesteps[i + 1]) if i + 1 < len(timesteps) else 0.0


class _OneStepLess(Loop):
    def timesteps(self) -> Array:
        return self.scheduler.timesteps[:-1]


class _LaterStart(Loop):
    def timesteps(self) -> Array:
        return self.scheduler.timesteps[1:]


_OF_PARTS: tuple[tuple[str, str, type[Loop]], ...] = (
    ("guidance_rows_swapped", "the predictions with and without the prompt are exchanged", _RowsSwapped),
    ("negative_prompt_ignored", "the empty prompt takes the place of the negative one", _NegativeIgnored),
    ("guidance_formula_wrong", "guidance is left out", _NoGuidance),
    ("guidance_formula_wrong", "guidance is cond + scale * (cond - uncond)", _FromCond),
    ("guidance_formula_wrong", "guidance is uncond + scale * cond", _SumOfBoth),
    ("guidance_formula_wrong", "guidance is uncond - scale * (cond - uncond)", _AwayFromCond),
    ("guidance_at_the_wrong_call", "the first call is not guided", _NotAtFirst),
    ("guidance_at_the_wrong_call", "the last call is not guided", _NotAtLast),
    ("guidance_at_the_wrong_call", "only the first call is guided", _OnlyAtFirst),
    ("noise_drawn_in_another_order", "the sampler's noise begins at the seed again", _NoiseAnew),
    ("noise_drawn_in_another_order", "the sampler's noise is drawn before the latents", _NoiseFirst),
    ("noise_drawn_in_another_order", "a draw is thrown away after the latents", _NoiseBeforeStep),
    ("latents_scaled_twice", "init_noise_sigma is applied twice", _FirstScaledTwice),
    ("latents_scaled_twice", "scale_model_input is applied twice", _InputScaledTwice),
    ("latents_scaled_twice", "the step gets the scaled input in place of the sample", _ScaledSampleIsStepped),
    ("latents_not_scaled", "init_noise_sigma is left out", _FirstNotScaled),
    ("latents_not_scaled", "scale_model_input is left out", _InputNotScaled),
    ("vae_factor_missing", "latents are decoded as they are, and not divided by scaling_factor", _NoFactor),
    ("vae_factor_missing", "latents are multiplied with scaling_factor", _TimesFactor),
    ("not_clamped", "pixels leave [0, 1]", _NotClamped),
    ("not_clamped", "pixels outside of [0, 1] wrap around", _Wrapped),
    ("pixels_not_rescaled", "the decoder's [-1, 1] is taken for [0, 1]", _NotHalved),
    ("wrong_timesteps_for_the_network", "the network gets the index of the call", _IndexAsTimestep),
    ("wrong_timesteps_for_the_network", "the network gets the timestep divided by 1000", _TimestepAsShare),
    ("wrong_timesteps_for_the_network", "the network gets the timestep of the next call", _NextTimestep),
    ("wrong_number_of_calls", "the last call is missing", _OneStepLess),
    ("wrong_number_of_calls", "the first call is missing", _LaterStart),
)

MISTAKES: tuple[Mistake, ...] = tuple(Mistake((kind,), (text,), loop) for kind, text, loop in _OF_PARTS)


def pairs() -> tuple[Mistake, ...]:
    """Return every two mistakes of different kinds that can be made together."""
    found = []
    for k, (kind, text, first) in enumerate(_OF_PARTS):
        for other_kind, other_text, second in _OF_PARTS[k + 1 :]:
            if kind != other_kind and not _own(first) & _own(second):
                both = type(f"{first.__name__}And{second.__name__}", (first, second), {})
                found.append(Mistake((kind, other_kind), (text, other_text), both))
    return tuple(found)


def _own(loop: type[Loop]) -> set[str]:
    """Return the parts that a mistake replaces."""
    return {name for name in vars(loop) if not name.startswith("_")}
