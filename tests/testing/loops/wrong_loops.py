"""A loop of text to image as people write it, and loops that get one thing of it wrong each."""

from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.testing.loops.networks import LoopNetworks
from sdrt.testing.loops.reference import LoopCall

__all__ = ["WRONG_LOOPS", "RightLoop"]


class RightLoop:
    def __call__(self, networks: LoopNetworks, call: LoopCall) -> Array:
        scheduler = call.scheduler
        scheduler.set_timesteps(call.num_inference_steps)
        states = np.concatenate([networks.text_encoder(call.negative_input_ids), networks.text_encoder(call.input_ids)])
        latents = self.latents(call, (1, 4, call.height // 8, call.width // 8))
        for i, t in enumerate(scheduler.timesteps):
            seen = self.scaled(call, latents, t)
            both = networks.unet(np.concatenate([seen, seen]), self.told(i, t), states)
            latents = self.step(call, self.guided(call, i, both[:1], both[1:]), t, latents)
        return self.pixels(networks.vae_decoder(self.unscaled(call, latents)))

    def latents(self, call: LoopCall, shape: tuple[int, ...]) -> Array:
        drawn: Array = call.stream.normal(shape) * call.scheduler.init_noise_sigma
        return drawn.astype(np.float32)

    def scaled(self, call: LoopCall, latents: Array, t: Any) -> Array:
        return call.scheduler.scale_model_input(latents, t)

    def told(self, i: int, t: Any) -> Any:
        return t

    def guided(self, call: LoopCall, i: int, uncond: Array, cond: Array) -> Array:
        mixed: Array = uncond + call.guidance_scale * (cond - uncond)
        return mixed.astype(np.float32)

    def step(self, call: LoopCall, output: Array, t: Any, latents: Array) -> Array:
        moved: Array = call.scheduler.step(output, t, latents, generator=call.stream).prev_sample
        return moved

    def unscaled(self, call: LoopCall, latents: Array) -> Array:
        return latents / np.float32(call.scaling_factor)

    def pixels(self, image: Array) -> Array:
        return np.clip(image / 2 + 0.5, 0, 1)


class OneRowAtATime(RightLoop):
    """Not wrong: the rows are asked one after the other, and the image is bytes."""

    def __call__(self, networks: LoopNetworks, call: LoopCall) -> Array:
        call.scheduler.set_timesteps(call.num_inference_steps)
        cond, uncond = networks.text_encoder(call.input_ids), networks.text_encoder(call.negative_input_ids)
        latents = self.latents(call, (1, 4, call.height // 8, call.width // 8))
        for i, t in enumerate(call.scheduler.timesteps):
            seen = self.scaled(call, latents, t)
            outputs = [networks.unet(seen, np.full(1, t), states) for states in (cond, uncond)]
            latents = self.step(call, self.guided(call, i, outputs[1], outputs[0]), t, latents)
        image = self.pixels(networks.vae_decoder(self.unscaled(call, latents)))
        return np.moveaxis((image * 255).round().astype(np.uint8), 1, -1)


class LatentsAlone(RightLoop):
    """Not wrong: what it decodes is left to others."""

    def __call__(self, networks: LoopNetworks, call: LoopCall) -> Array:
        given = LoopNetworks()
        given.unet = networks.unet  # type: ignore[method-assign]
        super().__call__(given, call)
        return given.decoded[-1]


class SwapsRows(RightLoop):
    def guided(self, call: LoopCall, i: int, uncond: Array, cond: Array) -> Array:
        return super().guided(call, i, cond, uncond)


class GuidesFromCond(RightLoop):
    def guided(self, call: LoopCall, i: int, uncond: Array, cond: Array) -> Array:
        mixed: Array = cond + call.guidance_scale * (cond - uncond)
        return mixed.astype(np.float32)


class LastUnguided(RightLoop):
    def guided(self, call: LoopCall, i: int, uncond: Array, cond: Array) -> Array:
        return cond if i == len(call.scheduler.timesteps) - 1 else super().guided(call, i, uncond, cond)


class Reseeds(RightLoop):
    def latents(self, call: LoopCall, shape: tuple[int, ...]) -> Array:
        state = call.stream.state  # type: ignore[attr-defined]
        drawn = super().latents(call, shape)
        call.stream.restore(state)  # type: ignore[attr-defined]
        return drawn


class ScalesTwice(RightLoop):
    def latents(self, call: LoopCall, shape: tuple[int, ...]) -> Array:
        return super().latents(call, shape) * np.float32(call.scheduler.init_noise_sigma)


class ScalesInputTwice(RightLoop):
    def scaled(self, call: LoopCall, latents: Array, t: Any) -> Array:
        return super().scaled(call, super().scaled(call, latents, t), t)


class NeverScales(RightLoop):
    def latents(self, call: LoopCall, shape: tuple[int, ...]) -> Array:
        return call.stream.normal(shape)


class NoVaeFactor(RightLoop):
    def unscaled(self, call: LoopCall, latents: Array) -> Array:
        return latents


class NoClamp(RightLoop):
    def pixels(self, image: Array) -> Array:
        return image / 2 + np.float32(0.5)


class WrapsAround(RightLoop):
    def pixels(self, image: Array) -> Array:
        return np.moveaxis(((image / 2 + 0.5) * 255).round().astype(np.int64).astype(np.uint8), 1, -1)


class TakesRangeAsItIs(RightLoop):
    def pixels(self, image: Array) -> Array:
        return np.clip(image, 0, 1)


class TellsTheIndex(RightLoop):
    def told(self, i: int, t: Any) -> Any:
        return i


class TellsAShare(RightLoop):
    def told(self, i: int, t: Any) -> Any:
        return t / 1000


class Both(NoVaeFactor, GuidesFromCond):
    pass


WRONG_LOOPS: dict[type[RightLoop], tuple[str, ...]] = {
    SwapsRows: ("guidance_rows_swapped",),
    GuidesFromCond: ("guidance_formula_wrong",),
    LastUnguided: ("guidance_at_the_wrong_call",),
    Reseeds: ("noise_drawn_in_another_order",),
    ScalesTwice: ("latents_scaled_twice",),
    ScalesInputTwice: ("latents_scaled_twice",),
    NeverScales: ("latents_not_scaled",),
    NoVaeFactor: ("vae_factor_missing",),
    NoClamp: ("not_clamped",),
    WrapsAround: ("not_clamped",),
    TakesRangeAsItIs: ("pixels_not_rescaled",),
    TellsTheIndex: ("wrong_timesteps_for_the_network",),
    TellsAShare: ("wrong_timesteps_for_the_network",),
    Both: ("guidance_formula_wrong", "vae_factor_missing"),
}
