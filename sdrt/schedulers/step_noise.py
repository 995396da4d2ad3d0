"""The fresh noise of a step, from what a caller of diffusers' ``step`` passes: a generator, or the noise itself."""

from typing import Any

from sdrt.arrays import Float, Numerics
from sdrt.errors import ConfigError
from sdrt.rng import BrownianTree, NoiseStream
from sdrt.schedulers.core.run import Plan
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.face_inputs import check_sample, check_stream

__all__ = ["StepNoise"]


class StepNoise:
    """Draws what a call needs, and keeps the Brownian path of a run where its noise is an increment of one."""

    def __init__(self) -> None:
        self._path: tuple[Any, BrownianTree] | None = None

    def draw(
        self,
        sampler: Sampler,
        plan: Plan,
        call: int,
        shape: tuple[int, ...],
        generator: NoiseStream | None,
        variance_noise: Float | None,
    ) -> Float | None:
        """Return the noise of a call, float[shape], or None where it takes none.

        Raises
        ------
        ConfigError : the call draws noise and neither source is passed, or both are
        """
        if not plan.draws[call]:
            return None
        if variance_noise is not None:
            if generator is not None:
                raise ConfigError("noise must come from generator or variance_noise, got both; pass one of them")
            return check_sample("variance_noise", variance_noise)
        fixed, generator = sampler.brownian_seed, None if generator is None else check_stream(generator)
        if plan.span is not None and (fixed is not None or generator is not None):
            seed = generator.seed if fixed is None and generator is not None else fixed
            return self._brownian(plan, shape, seed, sampler.numerics).normal_between(*plan.intervals[call])
        if generator is None:
            raise ConfigError(
                f"generator must be set for {sampler.name}, which draws noise in this step, got None; pass sdrt.rng.stream('torch', seed)"
            )
        return generator.normal(shape)

    def _brownian(self, plan: Plan, shape: tuple[int, ...], seed: Any, numerics: Numerics) -> BrownianTree:
        """Return the path of a plan that draws, the same one at every call."""
        key = (plan.span, shape, seed, numerics)
        if self._path is None or self._path[0] != key:
            path = plan.brownian(shape, seed, numerics)
            assert path is not None  # noqa: S101  # it draws
            self._path = key, path
        return self._path[1]
