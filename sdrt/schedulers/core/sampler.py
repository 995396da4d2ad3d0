"""The base of every sampler: settings are frozen, a plan holds tables, a state holds what changes, a step is a pure function.

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

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, SupportsFloat

import numpy as np

from sdrt.arrays import F64, Float, Numerics
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.exact.mathematics import Functions, functions_of
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.printable import shown
from sdrt.schedulers.core.prediction import Prediction, check_alpha, x0_weights
from sdrt.schedulers.core.run import LastCall, Plan, Request, State, computed, not_of_run
from sdrt.schedulers.core.settings import (
    Compat,
    Declared,
    check_compat,
    check_fields,
    choices_of,
    config_of,
    keys_of,
    kinds_of,
    read,
    standard,
)
from sdrt.schedulers.steps.bounds import NO_BOUND
from sdrt.schedulers.steps.linear import linear_combination
from sdrt.values import Choice, Integer, Kind

__all__ = ["Grid", "Sampler", "check_floats"]

# Step options that change nothing: a sampler without the option accepts these values and no other.
_NEUTRAL = {"eta": 0.0, "s_churn": 0.0, "s_tmin": 0.0, "s_tmax": math.inf, "s_noise": 1.0, "use_clipped_model_output": False}

_NUMERICS = Choice("float32", "float64", "exact")


@dataclass(frozen=True, kw_only=True)
class Grid(ABC):
    """The noise levels at which a sampler's runs stop. Each kind of grid returns them in its own way; this is their common interface."""

    numerics: Numerics = "float32"
    accepts: frozenset[str] = frozenset({"timesteps"})  # which stops a caller may lay down: timesteps, sigmas, mu
    sigmas_include_final: bool = True  # whether the last of a caller's sigmas is the level at which the run ends

    def __post_init__(self) -> None:
        _NUMERICS.check("numerics", self.numerics)
        check_fields(self)

    @property
    @abstractmethod
    def num_train_timesteps(self) -> int:
        """T, the length of the training schedule."""

    @property
    def functions(self) -> Functions:
        """The elementary functions that tables and coefficients are computed with."""
        return functions_of(self.numerics)

    def alpha_bar(self) -> F64 | None:
        """Return the signal power at every trained timestep, f64[T]; None where there is no such schedule (EDM, flow matching)."""
        return None

    @property
    def is_flow(self) -> bool:
        """Whether alpha and sigma of a stop add up to 1, so that sigma is a share of noise."""
        return False

    def noise_scale(self, prediction: Prediction, alpha: float, sigma: float) -> float:  # noqa: ARG002
        """Return the noise scale that a prediction at a stop of these scales belongs to: the stop's own."""
        return sigma


@dataclass(frozen=True, kw_only=True)
class Sampler(ABC):
    """One sampling algorithm with its settings.

    A subclass defines how a plan is made and how one call advances the state; checks, dtypes and shared behaviour are here. Samples may be
    float16 (computed in float32), float32 or float64, and keep their dtype.
    """

    name: ClassVar[str]  # the diffusers class that it answers to, or a name of the same form where diffusers has none
    calls_per_step: ClassVar[int] = 1  # network calls in a step once it is under way
    inverse: ClassVar[bool] = False  # whether it leads from a picture to noise
    needs_unconditional: ClassVar[bool] = False  # whether a step looks at the unconditional output too (CFG++)
    step_options: ClassVar[tuple[str, ...]] = ()  # settings that diffusers passes to ``step``: fields of the sampler, or of a part of it

    if TYPE_CHECKING:
        keys: ClassVar[Mapping[str, Any]]
        kinds: ClassVar[Mapping[str, Kind[Any]]]
        choices: ClassVar[Mapping[str, tuple[Any, ...]]]

        @property
        def doubled_output(self) -> bool:
            """Whether the network's output has twice the sample's channels, a prediction and a variance."""
    else:  # without annotations, which @dataclass would read before there are fields
        keys = Declared(keys_of)  # every key of the class's configuration with its default
        kinds = Declared(kinds_of)  # what each of these keys may hold
        choices = Declared(choices_of)  # the values of keys that allow a few alone
        doubled_output = False  # a property of the samplers whose network may predict a variance

    bound = NO_BOUND  # how far the predicted x0 may go: a field of those samplers that have such a setting

    prediction_type: Prediction
    grid: Grid
    compat: Compat = None  # the implementation whose bugs it was built with; only recorded here

    def __post_init__(self) -> None:
        check_fields(self)

    # ---- configuration

    @property
    def config(self) -> dict[str, Any]:
        """The settings as a diffusers ``scheduler_config.json``, every key written out; :func:`sampler_from_config` reads it back.

        A subclass from outside the catalogue stands under a name of its own, which nothing reads back.
        """
        cls = standard(type(self))
        return {"_class_name": self.name if "name" in vars(cls) else cls.__name__, **config_of(self)}

    @classmethod
    def read(cls, values: Mapping[str, Any], numerics: Numerics = "float32", compat: Compat = None) -> Self:
        """Build the sampler of a complete set of :attr:`keys`; :func:`sampler_from_config` completes and checks one.

        Raises
        ------
        ConfigError : a value that it cannot have, or a ``compat`` whose defects it cannot reproduce
        """
        check_compat(cls.name, cls, compat)
        return read(cls, values, numerics, compat)

    def with_compat(self, compat: Compat) -> "Sampler":
        """Return this sampler with the defects of another tool, or of none; its step options stay as they are.

        Raises
        ------
        ConfigError : an unknown tool, or one whose defects this sampler cannot reproduce
        """
        values = {key: value for key, value in self.config.items() if key in self.keys}
        other = standard(type(self)).read({**self.keys, **values}, self.numerics, compat)
        return replace(other, **other._fields_of(self.step_option_values()))

    @property
    def numerics(self) -> Numerics:
        """How tables and coefficients are computed."""
        return self.grid.numerics

    @property
    def functions(self) -> Functions:
        """The elementary functions that tables and coefficients are computed with."""
        return functions_of(self.numerics)

    @property
    def num_train_timesteps(self) -> int:
        """T, the length of the training schedule."""
        return self.grid.num_train_timesteps

    @property
    def max_inference_steps(self) -> int:
        """The most steps that a run can be spread over; stops that a caller lays down may be more."""
        return self.num_train_timesteps

    @property
    def brownian_seed(self) -> int | tuple[int, ...] | None:
        """The seed of the Brownian path that its noise comes from, where the settings fix one: see ``Plan.intervals``."""
        return None

    def with_options(self, **options: Any) -> Self:
        """Return this sampler with other values of its :attr:`step_options`.

        Raises
        ------
        ConfigError : an option that the sampler does not have, unless its value is the one that changes nothing
        """
        own = {key: value for key, value in options.items() if key in self.step_options}
        for key, value in options.items():
            if key not in own and not (key in _NEUTRAL and isinstance(value, int | float) and _NEUTRAL[key] == value):
                has = f"it has {', '.join(self.step_options)}" if self.step_options else "it has none"
                raise ConfigError(f"{self.name} has no step option {key}, got {shown(value)}; leave it out ({has})")
        return replace(self, **self._fields_of(own)) if own else self

    def step_option_values(self) -> dict[str, Any]:
        """Return the :attr:`step_options` as they are set."""
        holders = [self, *(getattr(self, each.name) for each in fields(self))]
        return {option: next(getattr(holder, option) for holder in holders if hasattr(holder, option)) for option in self.step_options}

    def _fields_of(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the fields that these step options mean: of the sampler itself, or of a part of it that has such options."""
        parts = {each.name: getattr(self, each.name) for each in fields(self)}
        changes = {option: value for option, value in options.items() if option in parts}
        for name, part in parts.items():
            if inner := {option: options[option] for option in getattr(part, "step_options", ()) if option in options}:
                changes[name] = replace(part, **inner)
        return changes

    # ---- a run

    def plan(
        self,
        num_inference_steps: int | None = None,
        *,
        timesteps: Iterable[SupportsFloat] | None = None,
        sigmas: Iterable[SupportsFloat] | None = None,
        mu: float | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> Plan:
        """Lay out a run of this number of steps, or one through the caller's stops: see :class:`Request`.

        Raises
        ------
        ConfigError : fewer than 1 or more steps than this sampler can tell apart, or than ``limits`` has; stops that it cannot visit; or
            settings from which no finite noise levels or weights follow
        """
        own_stops = {"timesteps": timesteps, "sigmas": sigmas, "mu": mu}
        if foreign := [key for key, value in own_stops.items() if value is not None and key not in self.grid.accepts]:
            has = " or ".join(("num_inference_steps", *sorted(self.grid.accepts)))
            raise ConfigError(f"a run of {self.name} must be laid out by {has}, got {', '.join(foreign)}; pass one of those")
        request = Request.of(num_inference_steps, timesteps, sigmas, mu, self.grid.sigmas_include_final)
        if num_inference_steps is not None:
            limits.check("steps", "num_inference_steps", request.n)
        most = self.grid.num_train_timesteps
        if not 1 <= request.n <= most:
            raise ConfigError(f"num_inference_steps must be in [1, {most}], got {shown(request.n)}; choose a number in that range")
        plan = computed(self.name, lambda: self._plan(request))
        if not plan.alphas[: plan.num_calls].all():
            check_alpha(self.prediction_type, 0.0)
        return plan

    def image_plan(
        self, num_inference_steps: int, strength: float, *, mu: float | None = None, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[Plan, int]:
        """Lay out a run that begins from a picture, and return its plan and the call at which it begins.

        Parameters
        ----------
        num_inference_steps : int
            Steps of the whole plan, of which the share ``strength`` is made.
        strength : float in (0, 1]
            1 makes all steps.
        mu : float, optional
        limits : Limits
            As for :meth:`plan`.

        Raises
        ------
        ConfigError : as :meth:`plan` and :meth:`Plan.start_at`
        """
        plan = self.plan(num_inference_steps, mu=mu, limits=limits)
        return plan, plan.start_at(strength)

    def whole_plan(self) -> Plan:
        """Lay out a run through every trained timestep, or for a flow through those above 0."""
        return computed(self.name, self._whole_plan)

    def _whole_plan(self) -> Plan:
        falling = range(self.num_train_timesteps - 1, 0 if self.grid.is_flow else -1, -1)
        return self.plan(timesteps=falling[::-1] if self.inverse else falling)

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
        if not isinstance(plan, Plan):
            raise not_of_run("plan", plan)
        if Integer().check("at", at) not in plan.starts:
            raise ConfigError(
                f"a run must start at the first call of a step, one of {_list_text(plan.starts)}, got {at}; see Plan.start_at"
            )
        return State(x=check_floats("latents", latents), position=at)

    def step(
        self, plan: Plan, state: State, model_output: Float, noise: Float | None = None, *, unconditional_output: Float | None = None
    ) -> State:
        """Move on by one network call.

        Parameters
        ----------
        model_output : float array of the sample's shape
            The network's output for ``state.x * plan.input_scale[i]`` at ``plan.timesteps[i]``, where i is ``state.position``.
        noise : float array of that shape, or None
            Fresh standard normal noise exactly where ``plan.draws[i]``: a step never draws.
        unconditional_output : float array of that shape, or None
            The network's output without the prompt, before guidance: for samplers with ``needs_unconditional``, whose ``model_output`` it
            is where there is no guidance.

        Returns
        -------
        State, which shares no memory with ``model_output`` except as remembered, and leaves ``state`` as it is
        """
        if not isinstance(plan, Plan):
            raise not_of_run("plan", plan)
        if not isinstance(state, State):
            raise not_of_run("state", state)
        i = state.position
        if i >= plan.num_calls:
            raise ConfigError(f"this run is complete after {plan.num_calls} calls; start a new one")
        if plan.draws[i] != (noise is not None):
            due, got = ("an array", "None") if plan.draws[i] else ("None", "an array")
            raise ConfigError(f"noise must be {due} in call {i} of this plan, got {got}; follow plan.draws")
        dtype = state.x.dtype
        work = np.dtype(np.float32) if dtype == np.float16 else dtype
        output = _operand("model_output", model_output, state.x, work, doubled=self.doubled_output)
        fresh = None if noise is None else _operand("noise", noise, state.x, work)
        at_work = state if work == dtype else replace(state, x=state.x.astype(work))
        unguided = None if unconditional_output is None else _operand("unconditional_output", unconditional_output, state.x, work)
        c = plan.coefficients[i]
        moved = self._advance(c, at_work, output, fresh) if unguided is None else self._advance_guided(c, at_work, output, unguided, fresh)
        x = moved.x if work == dtype else moved.x.astype(dtype)
        last_call = LastCall(
            sampler=self,
            x=at_work.x,
            output=output[:, : output.shape[1] // 2] if self.doubled_output else output,
            alpha=float(plan.alphas[i]),
            sigma=float(plan.sigmas[i]),
        )
        return replace(moved, x=x, last_call=last_call)

    def add_noise(self, plan: Plan, x0: Float, noise: Float, at: int) -> Float:
        """Return x0 as it looks at stop ``at``: alpha * x0 + sigma * noise, in x0's dtype."""
        if not isinstance(plan, Plan):
            raise not_of_run("plan", plan)
        at = Integer(0, plan.num_calls).check("at", at, "pass a call of the plan, or the number of calls for its end")
        clean = check_floats("x0", x0)
        work = np.dtype(np.float32) if clean.dtype == np.float16 else clean.dtype
        mixed = clean.astype(work) * float(plan.alphas[at]) + _operand("noise", noise, clean, work) * float(plan.sigmas[at])
        return mixed.astype(clean.dtype, copy=False)

    def predicted_x0(self, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the clean sample that an output at these scales amounts to, within its bound where there is one: f of x's shape and dtype.

        What :attr:`State.x0` reads; a step computes its own.
        """
        return self.bound(self.unbounded_x0(x, output, alpha, sigma))

    def unbounded_x0(self, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the same before any bound."""
        a, b = self.x0_weights(alpha, sigma)
        return x * a + output * b if a else output * b

    def x0_weights(self, alpha: float, sigma: float) -> tuple[float, float]:
        """Return (a, b) with x0 = a * x + b * output at these scales, before any bound."""
        return x0_weights(self.prediction_type, alpha, self.grid.noise_scale(self.prediction_type, alpha, sigma))

    def alpha_bar(self) -> F64 | None:
        """Return the signal power at every trained timestep, f64[T]; None for a sampler that knows none (EDM, flow matching)."""
        return self.grid.alpha_bar()

    @abstractmethod
    def _plan(self, request: Request) -> Plan:
        """Lay out a run; ``request.n`` is in [1, T]."""

    def _advance(self, c: Any, state: State, output: Float, noise: Float | None) -> State:
        """Move on by one call; all arrays are of one shape and dtype, float32 or float64.

        ``c`` is the call's entry of ``plan.coefficients``: :class:`Weights`, unless the sampler overrides this.
        """
        start = state.x if state.step_start is None else state.step_start
        x = linear_combination((c.x, c.start, *c.stages, c.output, c.noise), (state.x, start, *state.stage_outputs, output, noise))
        return state.advance(x) if c.ends else state.advance(x, stage_outputs=(*state.stage_outputs, output), step_start=start)

    def _advance_guided(self, c: Any, state: State, output: Float, unconditional: Float, noise: Float | None) -> State:  # noqa: ARG002
        """Do the same where the unconditional output is known too; samplers with :attr:`needs_unconditional` override this."""
        raise ConfigError(f"unconditional_output must be None for {self.name}, got an array; pass model_output alone")


def check_floats(name: str, x: object) -> Float:
    """Return an array of floats that has an axis and a value, or raise ArrayContractError for anything else."""
    if not (isinstance(x, np.ndarray) and x.ndim and x.size and x.dtype in (np.float16, np.float32, np.float64)):
        got = f"{x.dtype}{list(x.shape)}" if isinstance(x, np.ndarray) else type(x).__name__
        raise ArrayContractError(f"{name}: expected a numpy array of float16, float32 or float64 with an axis and a value, got {got}")
    return x


def _operand(name: str, array: object, x: Float, work: np.dtype[Any], *, doubled: bool = False) -> Float:
    """Check an operand against the sample, and return it in the dtype of the computation."""
    operand = check_floats(name, array)
    if doubled and x.ndim < 2:
        raise ArrayContractError(
            f"{name}: the sample must have a channel axis for the variance, got the shape {list(x.shape)}; give it two axes"
        )
    expected = (*x.shape[:1], 2 * x.shape[1], *x.shape[2:]) if doubled else x.shape
    if operand.shape != expected:
        twice = " with twice its channels" if doubled else ""
        raise ArrayContractError(f"{name}: expected the sample's shape{twice}, {list(expected)}, got {list(operand.shape)}")
    return operand.astype(work, copy=False)


def _list_text(numbers: tuple[int, ...]) -> str:
    first = ", ".join(map(str, numbers[:12]))
    return first if len(numbers) <= 12 else f"{first}, ... {numbers[-1]}"
