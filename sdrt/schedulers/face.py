"""The habits of a diffusers scheduler over any sampler: ``set_timesteps``, ``scale_model_input``, ``step(...).prev_sample``, in numpy.

Sampler and plan speak x = alpha * x0 + sigma * noise. Some classes of diffusers speak x / alpha, "variance exploding": there the face
converts, so that samples, ``sigmas`` and ``init_noise_sigma`` are theirs.
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
from sdrt.schedulers.core.run import Plan, State, stop_numbers
from sdrt.schedulers.core.sampler import Sampler, check_floats
from sdrt.schedulers.cursor import Cursor
from sdrt.schedulers.face_habits import SHARES_BEGIN_INDEX, VARIANCE_EXPLODING, shown_sigmas, shown_timesteps
from sdrt.schedulers.face_inputs import (
    check_flag,
    check_noise,
    check_sample,
    check_sampler,
    one_timestep,
    several_timesteps,
)
from sdrt.schedulers.step_noise import StepNoise

__all__ = ["DiffusersScheduler", "StepOutput"]

Options = tuple[tuple[str, Any], ...]


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
    plan begins anew there. Before :meth:`set_timesteps` the plan visits every trained timestep. Not for use by two threads at once.

    Parameters
    ----------
    sampler : Sampler
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = check_sampler(sampler)
        self._request: dict[str, Any] = {}
        self._plans: dict[Options, tuple[Sampler, Plan]] = {}
        self._started: Cursor | None = None
        self._noise = StepNoise()

    @property
    def config(self) -> dict[str, Any]:
        """The settings under diffusers' keys."""
        return self.sampler.config

    @property
    def order(self) -> int:
        """Network calls per step: what image-to-image pipelines of diffusers multiply with."""
        return self.sampler.calls_per_step

    def __repr__(self) -> str:
        return f"DiffusersScheduler({self.sampler!r})"

    def __len__(self) -> int:
        """Return the length of the training schedule."""
        return self.sampler.num_train_timesteps

    # ---- tables

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        *,
        timesteps: npt.ArrayLike | None = None,
        sigmas: npt.ArrayLike | None = None,
        mu: float | None = None,
        **options: Any,
    ) -> None:
        """Lay out a run, and begin it anew.

        Parameters
        ----------
        num_inference_steps, timesteps, sigmas, mu
            One of the first three, as :meth:`Sampler.plan` takes them.
        **options
            What the class of diffusers takes here beside them (``original_inference_steps``, ``strength`` of LCM), and any of the sampler's
            ``step_options``, for the whole run: those that move the stops (``s_churn``) belong here.

        Raises
        ------
        ConfigError : as :meth:`Sampler.plan` and :meth:`Sampler.with_options`
        """
        lists: dict[str, Any] = {"timesteps": timesteps, "sigmas": sigmas}
        stops = {key: None if value is None else stop_numbers(key, value) for key, value in lists.items()}
        sampler = self.sampler.with_options(**{key: value for key, value in options.items() if value is not None})
        request: dict[str, Any] = {"num_inference_steps": num_inference_steps, "mu": mu, **stops}
        self._plans = {(): (sampler, sampler.plan(**request))}
        self._request = request
        self._started = None

    @property
    def num_inference_steps(self) -> int | None:
        """The number of steps; None before :meth:`set_timesteps`."""
        return self._plan.num_inference_steps if self._request else None

    @property
    def timesteps(self) -> Array:
        """i64[calls], or f32[calls] for the classes with fractional timesteps; f64[calls] where diffusers' own come so."""
        return shown_timesteps(self.sampler, self._plan)

    @property
    def sigmas(self) -> F32:
        """f32[calls + 1]: the noise level at each stop, as the class of diffusers counts it."""
        return shown_sigmas(self.sampler, self._plan).astype(np.float32)

    @property
    def alphas_cumprod(self) -> F32:
        """f32[T]: the signal power at every trained timestep.

        Raises
        ------
        ConfigError : a sampler without a trained schedule
        """
        alpha_bar = self.sampler.alpha_bar()
        if alpha_bar is None:
            raise ConfigError(f"{self.sampler.name} has no alphas_cumprod; its noise levels are scheduler.sigmas")
        return alpha_bar.astype(np.float32)

    @property
    def init_noise_sigma(self) -> float:
        """What the initial noise is multiplied with."""
        return self._plan.init_scale / self._unit(0)

    # ---- a run

    @property
    def begin_index(self) -> int | None:
        """The index of the timestep at which the next run begins, if it was set."""
        return self._cursor.begin_index

    @property
    def step_index(self) -> int | None:
        """Which of the timesteps the next step of the run under way is at; None before its first."""
        return None if self._cursor.state is None else self._cursor.state.position

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Say with which of the timesteps the next run begins; only needed where two are equal.

        Raises
        ------
        ConfigError : no step begins there
        """
        self._cursor.begin_at(begin_index)

    def scale_model_input(self, sample: Float, timestep: float | None = None) -> Float:
        """Return what the network gets for this sample, f of the same shape and dtype."""
        sample = check_floats("sample", sample)
        at = None if timestep is None else one_timestep("timestep", timestep)
        if not self._exploding and not self._scales_input:
            return sample
        i = self._cursor.locate(at)
        return _scaled(sample, self._unit(i) * self._plan.input_scale[i])

    def step(
        self,
        model_output: Float,
        timestep: float,
        sample: Float,
        *,
        generator: NoiseStream | None = None,
        variance_noise: Float | None = None,
        prev_timestep: float | None = None,
        unconditional_output: Float | None = None,
        return_dict: bool = True,
        **options: Any,
    ) -> StepOutput | Any:
        """Move the sample on by one network call.

        Parameters
        ----------
        model_output, sample : float arrays of one shape
        timestep : number
            One of :attr:`timesteps`; an array or a list of one is that one.
        generator : noise stream of :mod:`sdrt.rng`
            Where fresh noise comes from; required by stochastic samplers. One that takes it from a Brownian path reads the seed only, and
            needs none where its configuration has a ``noise_sampler_seed``.
        variance_noise : float array of the sample's shape
            Fresh noise, in place of a generator.
        prev_timestep : number
            Where the step ends, in place of the next of :attr:`timesteps`.
        unconditional_output : float array of the sample's shape
            The network's output without the prompt, for CFG++.
        return_dict : bool
            False gives the tuple (prev_sample, pred_original_sample).
        **options
            Of the sampler's ``step_options``: ``eta``; ``s_churn``, ``s_tmin``, ``s_tmax``, ``s_noise``; ``use_clipped_model_output``.

        Raises
        ------
        ConfigError : a timestep that is not in the plan, noise without a generator, an option that the sampler does not have
        ArrayContractError : an array of another shape or dtype, or with a NaN or an infinity
        """
        return_dict, t = check_flag("return_dict", return_dict), one_timestep("timestep", timestep)
        sample, model_output = check_sample("sample", sample), check_sample("model_output", model_output)
        i = self._cursor.locate(t)
        sampler, plan = self._with_options(options)
        at = i
        if prev_timestep is not None:
            plan, at = sampler.plan(timesteps=(t, one_timestep("prev_timestep", prev_timestep))), 0
        x, state = _scaled(sample, self._unit(i)), self._cursor.state
        state = replace(state, x=x, position=at) if state is not None and state.position == i else State(x=x, position=at)
        noise = self._noise.draw(sampler, plan, at, sample.shape, generator, variance_noise)
        moved = sampler.step(plan, state, model_output, noise, unconditional_output=unconditional_output)
        prev_sample = _scaled(moved.x, 1 / (float(plan.alphas[at + 1]) if self._exploding else 1.0))
        self._cursor.state = moved if at == i else replace(moved, position=i + 1)
        self._cursor.begin_index = None
        result = StepOutput(prev_sample, moved)
        return result if return_dict else (result.prev_sample, result.pred_original_sample)

    # ---- noise on pictures

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
        ArrayContractError : arrays that are not of floats, not finite, or of other shapes
        """
        alpha, sigma = self._levels(check_sample("original_samples", original_samples), timesteps)
        mixed: Float = original_samples * alpha + check_noise(original_samples, noise) * sigma
        return mixed

    def scale_noise(self, sample: Float, timestep: npt.ArrayLike, noise: Float) -> Float:
        """Do as :meth:`add_noise`, in the order in which diffusers' flow-matching classes take it."""
        return self.add_noise(sample, noise, timestep)

    def get_velocity(self, sample: Float, noise: Float, timesteps: npt.ArrayLike) -> Float:
        """Return what a network of velocities should answer: alpha * noise - sigma * sample; parameters as :meth:`add_noise`."""
        if self.sampler.alpha_bar() is None:
            raise ConfigError(f"{self.sampler.name} has no get_velocity, which is for velocities over a trained schedule; got none")
        alpha, sigma = self._levels(check_sample("sample", sample), timesteps)
        if self._exploding:
            alpha = 1 / np.sqrt(1 + sigma * sigma)
            sigma = sigma * alpha
        velocity: Float = check_noise(sample, noise) * alpha - sample * sigma
        return velocity

    def _levels(self, samples: Float, timesteps: npt.ArrayLike) -> Float:
        """Return the two scales of each timestep, in the face's own units and shaped to multiply samples."""
        levels = np.array([self._level(t) for t in several_timesteps("timesteps", timesteps, len(samples))])
        return levels.T.astype(samples.dtype).reshape(2, -1, *(1,) * (samples.ndim - 1))

    def _level(self, timestep: float) -> tuple[float, float]:
        """Return the signal and noise scale of a timestep, in the face's own units."""
        if (i := self._call_at(timestep)) is None:
            return self._trained_level(timestep)
        if self._exploding and self.sampler.compat == "diffusers":  # whose list has no levels of midpoints
            return 1.0, float(shown_sigmas(self.sampler, self._plan)[i])
        alpha, sigma = float(self._plan.alphas[i]), float(self._plan.sigmas[i])
        return (1.0, sigma / alpha) if self._exploding else (alpha, sigma)

    def _call_at(self, timestep: float) -> int | None:
        """Return the call whose level is that of a timestep; None for one of the trained schedule."""
        if (shared := self._shared_index()) is not None:
            return shared
        if self.sampler.inverse or not (self._request or self.sampler.alpha_bar() is None):
            return None
        if (start := self._cursor.find(timestep)) is not None:
            return start
        middles_first = self.sampler.compat == "diffusers" and self._exploding
        return self._cursor.find_call(timestep) if middles_first or not self._is_trained(timestep) else None

    def _is_trained(self, timestep: float) -> bool:
        table = self.sampler.alpha_bar()
        return table is not None and timestep.is_integer() and 0 <= timestep < len(table)

    def _trained_level(self, timestep: float) -> tuple[float, float]:
        """Return the scales of a whole timestep of the trained schedule."""
        table = self.sampler.alpha_bar()
        if table is None or not self._is_trained(timestep):
            others = "" if table is None else f" or a whole one in [0, {len(table)})"
            raise ConfigError(f"noise must be added at a timestep of the plan{others}, got {timestep:g}; pass one of scheduler.timesteps")
        alpha, sigma = (float(np.sqrt(power)) for power in (table[int(timestep)], 1 - table[int(timestep)]))
        return (1.0, sigma / alpha) if self._exploding else (alpha, sigma)

    def _shared_index(self) -> int | None:
        """Return the stop for which noise is added whatever the timestep is: diffusers' habit once a begin index was set."""
        cursor = self._cursor
        if self.sampler.compat != "diffusers" or cursor.was_set is None or self.sampler.name not in SHARES_BEGIN_INDEX:
            return None
        return cursor.was_set if self.step_index is None else self.step_index

    # ---- the plan

    @property
    def _cursor(self) -> Cursor:
        if self._started is None:
            self._started = Cursor(self.timesteps, self._plan.starts, takes_second=self.sampler.compat == "diffusers")
        return self._started

    @property
    def _plan(self) -> Plan:
        return self._planned()[1]

    def _planned(self) -> tuple[Sampler, Plan]:
        """Return the sampler and its current plan; before :meth:`set_timesteps`, a plan of every trained timestep."""
        if not self._plans:
            self._plans = {(): (self.sampler, self.sampler.whole_plan())}
        return self._plans[()]

    def _with_options(self, options: Mapping[str, Any]) -> tuple[Sampler, Plan]:
        """Return the sampler with a step's options, and its plan."""
        step_options = {key: value for key, value in options.items() if value is not None}
        sampler, plan = self._planned()
        changed = sampler.with_options(**step_options)
        if changed == sampler:
            return sampler, plan
        key = tuple(sorted(changed.step_option_values().items()))
        if key not in self._plans:
            other = changed.plan(**self._request) if self._request else changed.whole_plan()
            if not np.array_equal(other.sigmas, plan.sigmas):
                names = ", ".join(step_options)
                raise ConfigError(
                    f"{names} of {sampler.name} must go to set_timesteps, as the noise levels depend on them, got them in step; move them"
                )
            self._plans[key] = (changed, other)
        return self._plans[key]

    # ---- the two scales

    @property
    def _exploding(self) -> bool:
        """Whether this class of diffusers speaks x / alpha."""
        return self.sampler.name in VARIANCE_EXPLODING

    @property
    def _scales_input(self) -> bool:
        return any(scale != 1.0 for scale in self._plan.input_scale)

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
