"""The frame that every sampler fills: settings are frozen, a plan holds tables, a state holds what changes, a step is a pure function.

A run walks through *stops*. Stop i is where network call i happens, and the last stop is the end: n calls have n + 1 stops. At each the
sample is x = alpha * x0 + sigma * noise, in the model's own scale. Most samplers make one call a step; those that make more list in
``Plan.starts`` the calls at which a step begins.

::

    plan = sampler.plan(25)
    state = sampler.start(plan, noise * plan.init_scale)
    while state.position < plan.num_calls:
        i = state.position
        output = network(state.x * plan.input_scale[i], plan.timesteps[i])
        state = sampler.step(plan, state, output, stream.normal(state.x.shape) if plan.draws[i] else None)
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from sdrt.arrays import Float
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.schedulers.noise_schedule import NoiseSchedule, Numerics
from sdrt.schedulers.plan import Plan
from sdrt.schedulers.prediction import Prediction, check_alpha
from sdrt.schedulers.spacing import Spacing, check_num_inference_steps
from sdrt.schedulers.state import Seen, State

__all__ = ["Sampler"]


@dataclass(frozen=True, kw_only=True)
class Sampler(ABC):
    """One sampling algorithm with its settings.

    A subclass says how a plan is made and how one call moves the state; the checks, dtypes and what all share stand here. Samples may be
    float16 (computed in float32), float32 or float64, and keep their dtype.
    """

    name: ClassVar[str]  # the diffusers class that it answers to
    calls_per_step: ClassVar[int] = 1  # network calls in a step once it is under way

    schedule: NoiseSchedule = field(default_factory=NoiseSchedule)
    prediction_type: Prediction = "epsilon"
    timestep_spacing: Spacing = "leading"
    steps_offset: int = 0
    numerics: Numerics = "float32"

    @property
    def config(self) -> dict[str, Any]:
        """The settings as a diffusers ``scheduler_config.json``, every key written out; :func:`sampler_from_config` reads it back."""
        schedule = self.schedule
        return {
            "_class_name": self.name,
            "num_train_timesteps": schedule.num_train_timesteps,
            "beta_start": schedule.beta_start,
            "beta_end": schedule.beta_end,
            "beta_schedule": schedule.beta_schedule,
            "trained_betas": None if schedule.trained_betas is None else list(schedule.trained_betas),
            "prediction_type": self.prediction_type,
            "timestep_spacing": self.timestep_spacing,
            "steps_offset": self.steps_offset,
            **self._own_config(),
        }

    def with_eta(self, eta: float) -> Self:
        """Return this sampler with another share of fresh noise.

        Raises
        ------
        ConfigError : an eta other than 0 for a sampler that has no such share
        """
        if eta:
            raise ConfigError(f"eta is DDIM's share of fresh noise, and {self.name} has none; got {eta}: leave it 0, or use ddim")
        return self

    def plan(self, num_inference_steps: int) -> Plan:
        """Lay out a run of so many steps.

        Raises
        ------
        ConfigError : fewer than 1 or more than T steps, or more than this sampler can tell apart
        """
        check_num_inference_steps(num_inference_steps, self.schedule.num_train_timesteps)
        plan = self._plan(num_inference_steps)
        check_alpha(self.prediction_type, float(plan.alphas.min()))
        return plan

    def start(self, plan: Plan, latents: Float, at: int = 0) -> State:
        """Begin a run.

        Parameters
        ----------
        latents : float array
            The sample as it is at stop ``at``: noise times ``plan.init_scale`` at stop 0, :meth:`add_noise` at others.
        at : int
            A call that begins a step: one of ``plan.starts``.

        Raises
        ------
        ConfigError : no step begins there
        ArrayContractError : not an array of floats
        """
        if at not in plan.starts:
            raise ConfigError(f"a run starts where a step does, at one of {_list_text(plan.starts)}, got {at}; see Plan.start_at")
        return State(x=_floats("latents", latents), position=at)

    def step(self, plan: Plan, state: State, model_output: Float, noise: Float | None = None) -> State:
        """Move on by one network call.

        Parameters
        ----------
        model_output : float array of the sample's shape
            What the network said to ``state.x * plan.input_scale[i]`` at ``plan.timesteps[i]``, where i is ``state.position``.
        noise : float array of that shape, or None
            Fresh standard normal noise exactly where ``plan.draws[i]``: a step never draws.

        Returns
        -------
        State, which shares no memory with ``model_output`` except as remembered, and leaves ``state`` as it is
        """
        i = state.position
        if i >= plan.num_calls:
            raise ConfigError(f"this run is complete after {plan.num_calls} calls; start a new one")
        if plan.draws[i] != (noise is not None):
            raise ConfigError(f"call {i} of this plan takes {'an array of' if plan.draws[i] else 'no'} noise; follow plan.draws")
        dtype = state.x.dtype
        work = np.dtype(np.float32) if dtype == np.float16 else dtype
        output = _operand("model_output", model_output, state.x, work)
        fresh = None if noise is None else _operand("noise", noise, state.x, work)
        at_work = state if work == dtype else replace(state, x=state.x.astype(work))
        moved = self._advance(plan.coefficients[i], at_work, output, fresh)
        x = moved.x if work == dtype else moved.x.astype(dtype)
        seen = Seen(
            x=at_work.x,
            output=output,
            alpha=float(plan.alphas[i]),
            sigma=float(plan.sigmas[i]),
            prediction_type=self.prediction_type,
            limit=self._x0_limit(),
        )
        return replace(moved, x=x, seen=seen)

    def add_noise(self, plan: Plan, x0: Float, noise: Float, at: int) -> Float:
        """Return x0 as it looks at stop ``at``: alpha * x0 + sigma * noise, in x0's dtype."""
        clean = _floats("x0", x0)
        work = np.dtype(np.float32) if clean.dtype == np.float16 else clean.dtype
        mixed = clean.astype(work) * float(plan.alphas[at]) + _operand("noise", noise, clean, work) * float(plan.sigmas[at])
        return mixed.astype(clean.dtype, copy=False)

    def _x0_limit(self) -> float | None:
        """Return where the predicted x0 is clipped."""
        return None

    @abstractmethod
    def _own_config(self) -> dict[str, Any]:
        """Return the diffusers keys that not every sampler has."""

    @abstractmethod
    def _plan(self, n: int) -> Plan:
        """Lay out n steps, 1 <= n <= T."""

    @abstractmethod
    def _advance(self, c: Any, state: State, output: Float, noise: Float | None) -> State:
        """Move on by one call; all arrays are of one shape and dtype, float32 or float64."""


def _floats(name: str, x: object) -> Float:
    if not (isinstance(x, np.ndarray) and x.ndim and x.dtype in (np.float16, np.float32, np.float64)):
        got = f"{x.dtype}{list(x.shape)}" if isinstance(x, np.ndarray) else type(x).__name__
        raise ArrayContractError(f"{name}: expected a numpy array of float16, float32 or float64 with an axis, got {got}")
    return x


def _operand(name: str, array: object, x: Float, work: np.dtype[Any]) -> Float:
    """Check an operand against the sample, and return it in the dtype of the computation."""
    found = _floats(name, array)
    if found.shape != x.shape:
        raise ArrayContractError(f"{name}: expected the sample's shape {list(x.shape)}, got {list(found.shape)}")
    return found.astype(work, copy=False)


def _list_text(numbers: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, numbers[:12]))
    return shown if len(numbers) <= 12 else f"{shown}, ... {numbers[-1]}"
