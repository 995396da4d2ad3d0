"""The habits of a diffusers scheduler over any sampler: ``set_timesteps``, ``scale_model_input``, ``step(...).prev_sample``, in numpy.

Sampler and plan speak x = alpha * x0 + sigma * noise. The Euler classes of diffusers speak x / alpha, "variance exploding": there the
face converts, so that samples, ``sigmas`` and ``init_noise_sigma`` are theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F32, Array, Float
from sdrt.errors import ConfigError
from sdrt.rng import NoiseStream
from sdrt.schedulers.base import Sampler
from sdrt.schedulers.config import sampler_from_config
from sdrt.schedulers.euler import Euler
from sdrt.schedulers.euler_ancestral import EulerAncestral
from sdrt.schedulers.noise_schedule import Numerics
from sdrt.schedulers.plan import Plan
from sdrt.schedulers.state import State

__all__ = ["DiffusersScheduler", "StepOutput", "from_config"]

_VARIANCE_EXPLODING = frozenset({Euler.name, EulerAncestral.name})


@dataclass(frozen=True, eq=False)
class StepOutput:
    """What a step gives back."""

    prev_sample: Float  # the sample for the next step
    _state: State

    @cached_property
    def pred_original_sample(self) -> Float:
        """The predicted x0, computed when read."""
        return self._state.x0


class DiffusersScheduler:
    """A numpy stand-in for a diffusers scheduler, over one sampler.

    Unlike the sampler it has a cursor: a loop that passes ``timesteps`` in order is followed call by call, and any other timestep of the
    plan begins anew there. Not for use by two threads at once.

    Parameters
    ----------
    sampler : Sampler
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler
        self._plans: dict[float, Plan] = {}
        self._num_inference_steps = 0
        self._state: State | None = None
        self._begin_index: int | None = None

    @property
    def config(self) -> dict[str, Any]:
        """The settings under diffusers' keys."""
        return self.sampler.config

    @property
    def order(self) -> int:
        """Network calls per step: what image-to-image pipelines of diffusers multiply with."""
        return self.sampler.calls_per_step

    # ---- tables

    def set_timesteps(self, num_inference_steps: int) -> None:
        """Lay out a run; errors as :meth:`Sampler.plan`."""
        self._plans = {0.0: self.sampler.plan(num_inference_steps)}
        self._num_inference_steps = num_inference_steps
        self._state = self._begin_index = None

    @property
    def timesteps(self) -> npt.NDArray[np.int64] | F32:
        """i64[calls], or f32[calls] for the classes with fractional timesteps."""
        timesteps = self._plan.timesteps
        return timesteps if timesteps.dtype == np.int64 else timesteps.astype(np.float32)

    @property
    def sigmas(self) -> F32:
        """f32[calls + 1]: noise-to-signal ratio at each stop."""
        return (self._plan.sigmas / self._plan.alphas).astype(np.float32)

    @property
    def init_noise_sigma(self) -> float:
        """What the initial noise is multiplied with."""
        return self._plan.init_scale / self._unit(0)

    # ---- a run

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Say with which of the timesteps the next run begins; only needed where two are equal."""
        self._begin_index = begin_index

    def scale_model_input(self, sample: Float, timestep: float | None = None) -> Float:
        """Return what the network gets for this sample, f of the same shape and dtype."""
        if not self._exploding:
            return sample
        i = self._locate(timestep)
        return _scaled(sample, self._unit(i) * self._plan.input_scale[i])

    def step(
        self, model_output: Float, timestep: float, sample: Float, *, eta: float = 0.0, generator: NoiseStream | None = None
    ) -> StepOutput:
        """Move the sample on by one network call.

        Parameters
        ----------
        model_output, sample : float arrays of one shape
        timestep : number
            One of :attr:`timesteps`.
        eta : float in [0, 1]
            DDIM's share of fresh noise.
        generator : noise stream of :mod:`sdrt.rng`
            Where fresh noise comes from; required by stochastic samplers.

        Raises
        ------
        ConfigError : no plan, a timestep that is not in it, noise without a generator
        """
        i = self._locate(timestep)
        plan, sampler = self._with_eta(eta)
        x = _scaled(sample, self._unit(i))
        state = replace(self._state, x=x) if self._state is not None and self._state.position == i else State(x=x, position=i)
        noise = None
        if plan.draws[i]:
            if generator is None:
                raise ConfigError(f"{sampler.name} draws noise in this step; pass generator=sdrt.rng.stream('torch', seed)")
            noise = generator.normal(sample.shape)
        self._state = sampler.step(plan, state, model_output, noise)
        self._begin_index = None
        return StepOutput(_scaled(self._state.x, 1 / self._unit(i + 1)), self._state)

    def add_noise(self, original_samples: Float, noise: Float, timesteps: npt.ArrayLike) -> Float:
        """Return the samples as they look at some timesteps, one each, or one for all.

        Parameters
        ----------
        original_samples, noise : float[n, ...]
        timesteps : number, or array of 1 or n numbers
            Of the plan, or any trained timestep: a whole number in [0, T). Needs no plan for the latter.

        Raises
        ------
        ConfigError : a timestep that is neither
        """
        column = (-1,) + (1,) * (original_samples.ndim - 1)
        dtype = original_samples.dtype
        levels = np.array([self._level(float(t)) for t in np.atleast_1d(np.asarray(timesteps))])
        alpha, sigma = levels.T.astype(dtype).reshape(2, *column)
        mixed: Float = original_samples * alpha + noise.astype(dtype, copy=False) * sigma
        return mixed

    def _level(self, timestep: float) -> tuple[float, float]:
        """Return the signal and noise scale of a timestep, in the face's own units."""
        if self._plans and (i := self._find(timestep)) is not None:
            alpha, sigma = float(self._plan.alphas[i]), float(self._plan.sigmas[i])
        else:
            alpha_bar = self.sampler.schedule.alpha_bar(self.sampler.numerics)
            if not (timestep.is_integer() and 0 <= timestep < len(alpha_bar)):
                raise ConfigError(f"noise is added at a timestep of the plan or a whole one in [0, {len(alpha_bar)}), got {timestep:g}")
            alpha, sigma = (float(np.sqrt(power)) for power in (alpha_bar[int(timestep)], 1 - alpha_bar[int(timestep)]))
        return (1.0, sigma / alpha) if self._exploding else (alpha, sigma)

    # ---- the cursor

    @property
    def _plan(self) -> Plan:
        if not self._plans:
            raise ConfigError("there are no timesteps yet; call set_timesteps first")
        return self._plans[0.0]

    def _with_eta(self, eta: float) -> tuple[Plan, Sampler]:
        if not eta:
            return self._plan, self.sampler
        sampler = self.sampler.with_eta(eta)
        if eta not in self._plans:
            self._plans[eta] = sampler.plan(self._num_inference_steps)
        return self._plans[eta], sampler

    def _locate(self, timestep: float | None) -> int:
        """Return the call of a timestep: the next one in a loop that goes on, else where it stands in the plan."""
        here = self._state.position if self._state is not None else self._begin_index
        if here is not None and here < self._plan.num_calls and (timestep is None or self._told(here) == timestep):
            return here
        return 0 if timestep is None else self._search(float(timestep))

    def _search(self, timestep: float) -> int:
        """Return the first call that begins a step at this timestep."""
        if (i := self._find(timestep)) is not None:
            return i
        raise ConfigError(f"timestep {timestep:g} is not in this plan; pass one of scheduler.timesteps: {_ends(self.timesteps)}")

    def _find(self, timestep: float) -> int | None:
        """Return the same, or None if no step begins there."""
        return next((i for i in self._plan.starts if self._told(i) == timestep), None)

    def _told(self, i: int) -> float:
        """Return the timestep of a call as :attr:`timesteps` shows it."""
        return float(self.timesteps[i])

    # ---- the two scales

    @property
    def _exploding(self) -> bool:
        return self.sampler.name in _VARIANCE_EXPLODING

    def _unit(self, i: int) -> float:
        """Return the sampler's x at stop i over the face's."""
        return float(self._plan.alphas[i]) if self._exploding else 1.0


def _scaled(x: Float, factor: float) -> Float:
    """Multiply, computing float16 in float32; by 1 it is the array itself."""
    if factor == 1.0:
        return x
    if x.dtype == np.float16:
        return (x.astype(np.float32) * factor).astype(np.float16)
    result: Float = x * factor
    return result


def _ends(timesteps: Array) -> str:
    shown = [f"{t:g}" for t in timesteps.tolist()]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:4], "...", *shown[-2:]])


def from_config(config: Mapping[str, Any], numerics: Numerics = "float32") -> DiffusersScheduler:
    """Build the stand-in of a diffusers configuration; parameters and errors as :func:`sampler_from_config`."""
    return DiffusersScheduler(sampler_from_config(config, numerics))
