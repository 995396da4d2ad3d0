"""Fresh noise for a sampler whose plan takes it from one Brownian path: see ``Plan.intervals``."""

from collections.abc import Iterable

from sdrt.arrays import F32
from sdrt.errors import ConfigError
from sdrt.rng import BrownianTree
from sdrt.schedulers.plan import Plan

__all__ = ["BrownianNoise"]


class BrownianNoise:
    """The noise of a run's calls, for samples of one shape.

    Parameters
    ----------
    plan : Plan
        Of a sampler with ``intervals``.
    shape : ints
        Of the sample.
    seed : int, or ints
        One seed for the whole batch, or one for each of its samples; taken modulo 2**64, as torch's generators do.

    Raises
    ------
    ConfigError : a plan without such noise, or not one seed for each sample
    """

    def __init__(self, plan: Plan, shape: Iterable[int], seed: int | tuple[int, ...]) -> None:
        if plan.span is None:
            raise ConfigError("this plan takes plain normal noise, got a Brownian seed; draw from a stream")
        low, high = plan.span
        self.seed = seed
        own = seed % 2**64 if isinstance(seed, int) else [each % 2**64 for each in seed]
        self._plan = plan
        # A run of one step draws nothing, and has no span.
        self._tree = BrownianTree(shape, low, high, own) if low < high else None

    def at(self, call: int) -> F32:
        """Return what a call of the plan takes, standard normal f32 of the sample's shape.

        Raises
        ------
        ConfigError : a call that draws none
        """
        if self._tree is None or not self._plan.draws[call]:
            raise ConfigError(f"call {call} of this plan takes no noise; follow plan.draws")
        return self._tree.normal_between(*self._plan.intervals[call])
