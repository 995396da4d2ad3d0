"""The tables of a run, laid out once: see :mod:`sdrt.schedulers.base` for how a run walks through them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdrt.arrays import Array, Float
from sdrt.errors import ConfigError
from sdrt.rng import BrownianTree

__all__ = ["Plan"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The immutable tables of a run. All arrays are read-only."""

    timesteps: Array  # i64[calls] or f64[calls]: what the network is told at each call
    alphas: Float  # f64[calls + 1]: signal scale at each stop
    sigmas: Float  # f64[calls + 1]: noise scale at each stop; sigmas / alphas are the "sigmas" of variance-exploding tools
    coefficients: tuple[Any, ...]  # per call, the sampler's own numbers
    draws: tuple[bool, ...]  # per call, whether step needs fresh noise
    starts: tuple[int, ...]  # per inference step, its first call: a run may begin at these
    init_scale: float = 1.0  # the first sample is noise times this
    input_scale: tuple[float, ...] = field(default=())  # per call, what the sample is multiplied with for the network
    intervals: tuple[tuple[float, float], ...] = field(default=())  # per call, where noise is a Brownian path's increment
    span: tuple[float, float] | None = None  # the smallest and the largest noise level of that path

    def __post_init__(self) -> None:
        for table in (self.timesteps, self.alphas, self.sigmas):
            table.setflags(write=False)
        if not self.input_scale:
            object.__setattr__(self, "input_scale", (1.0,) * self.num_calls)

    def brownian(self, shape: Iterable[int], seed: int | Sequence[int]) -> BrownianTree | None:
        """Return the Brownian path whose increments are this plan's noise; None where it draws plain noise, or none.

        Parameters
        ----------
        shape : ints
            Of the sample.
        seed : int, or ints
            One for the whole batch, or one for each of its samples; taken modulo 2**64, as torch's generators do.

        Raises
        ------
        ConfigError : not one seed for each sample
        """
        if self.span is None or not any(self.draws):
            return None
        return BrownianTree(shape, *self.span, seed % 2**64 if isinstance(seed, int) else [each % 2**64 for each in seed])

    @property
    def num_calls(self) -> int:
        """How often the network is called."""
        return len(self.timesteps)

    @property
    def num_inference_steps(self) -> int:
        """How many steps were asked for."""
        return len(self.starts)

    def start_at(self, strength: float) -> int:
        """Return the call at which an image-to-image run of this strength begins: strength 1 is all of the plan.

        Raises
        ------
        ConfigError : a strength that leaves no step to do, or more than all

        Source: diffusers 0.42.1 ``StableDiffusionImg2ImgPipeline.get_timesteps``.
        """
        steps = int(self.num_inference_steps * strength) if 0 < strength <= 1 else 0
        if not steps:
            raise ConfigError(
                f"strength must be in (0, 1] and leave a step of {self.num_inference_steps}, got {strength}; "
                f"take at least {1 / self.num_inference_steps:.3g}, or more steps"
            )
        return self.starts[-steps]
