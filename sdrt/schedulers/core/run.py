"""The values of a run: its request, its plan of immutable tables, and its state.

They are in one file because every run uses all of them; :mod:`sdrt.schedulers.core.sampler` shows how.
"""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import Any, NamedTuple, Protocol, SupportsFloat

import numpy as np

from sdrt.arrays import Array, Float, Numerics
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.printable import shown
from sdrt.rng import BrownianTree
from sdrt.values import Either, Integer, ListOf, Nullable, Number

__all__ = ["LastCall", "Level", "Plan", "Request", "Scales", "State", "computed", "not_of_run", "stop_numbers"]

_STEPS = Nullable(Integer(whole_floats=True))
_STOPS = ListOf(Number(0), minimum=1)
_MU = Nullable(Number())
_SHARE = Number(0, 1, above=True)
_SEEDS = Either(Integer(), ListOf(Integer(), minimum=1))

# No weight of a usable run comes near this, and float32 samples times it stay finite.
_HUGE = 1e30


class Level(NamedTuple):
    """One stop of a run, as Python floats: numpy scalars would promote float32 samples."""

    timestep: float  # the network's input there
    ratio: float  # of noise to signal, sigma / alpha
    alpha: float
    sigma: float

    @classmethod
    def of(cls, timestep: float, alpha: float, sigma: float) -> "Level":
        """Return the level of these scales; without signal, the ratio is infinite."""
        return cls(timestep, sigma / alpha if alpha else math.inf, alpha, sigma)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scales:
    """Three numbers at each stop of a run, from which the weights of exponential integrators follow, in the type of those.

    float32 ones are numpy scalars, whose arithmetic rounds as diffusers' does; float64 ones are Python floats: the same, and faster.
    """

    alphas: tuple[Any, ...]  # signal scale
    sigmas: tuple[Any, ...]  # noise scale
    lambdas: tuple[Any, ...]  # log(alpha / sigma), infinite where there is no noise
    functions: Functions = PLATFORM  # that weights are computed with

    @classmethod
    def of(cls, alphas: Float, sigmas: Float, functions: Functions = PLATFORM) -> "Scales":
        """Add the lambdas; logarithms are taken in double precision, and rounded to the type."""
        real = np.float32 if alphas.dtype == np.float32 else float
        scales = alphas.tolist(), sigmas.tolist()
        log_alphas, log_sigmas = ([real(functions.log(x) if x else -math.inf) for x in numbers] for numbers in scales)
        a, s = (tuple(map(real, numbers)) for numbers in scales)
        return cls(alphas=a, sigmas=s, lambdas=tuple(map(operator.sub, log_alphas, log_sigmas)), functions=functions)

    def history(self, i: int) -> int:
        """Return how many stops before stop i lie apart from each other: differences over others cannot be taken."""
        count = 0
        while count < i and self.lambdas[i - count] != self.lambdas[i - count - 1]:
            count += 1
        return count

    def num_differences(self, i: int) -> int:
        """Return how many differences the step from stop i can take: none where it has no length, or ends where there is no noise.

        A formula's last ratio can be the final one. There, and where timesteps of a caller are equal, diffusers 0.42.1 gives NaN.
        """
        h = self.lambdas[i + 1] - self.lambdas[i]
        return self.history(i) if h and math.isfinite(h) else 0


@dataclass(frozen=True, kw_only=True)
class Request:
    """The request for a run's layout; :meth:`Request.of` checks it.

    Parameters
    ----------
    n : int
        Steps.
    timesteps : tuple of float, or None
        Timesteps of the network calls, in place of a spacing.
    sigmas : tuple of float, or None
        The noise levels of the stops, in place of a spacing and its formula, in the units in which the sampler's class of diffusers takes
        them. Whether the last is the end of the run is that class's habit too.
    mu : float or None
        Exponent of the dynamic time shift, for models whose schedule depends on the size of the picture.
    """

    n: int
    timesteps: tuple[float, ...] | None = None
    sigmas: tuple[float, ...] | None = None
    mu: float | None = None

    @classmethod
    def of(
        cls,
        num_inference_steps: int | None,
        timesteps: Iterable[SupportsFloat] | None,
        sigmas: Iterable[SupportsFloat] | None,
        mu: float | None,
        sigmas_include_final: bool,
    ) -> "Request":
        """Check the arguments of a caller.

        Parameters
        ----------
        sigmas_include_final : bool
            Whether the last of the sigmas is the level at which the run ends, so that there is one more than steps.

        Raises
        ------
        ConfigError : an argument of another kind, nothing says how many steps, or two lists do not agree with it
        """
        num_inference_steps, mu = _STEPS.check("num_inference_steps", num_inference_steps), _MU.check("mu", mu)
        own_timesteps = None if timesteps is None else stop_numbers("timesteps", timesteps)
        own_sigmas = None if sigmas is None else stop_numbers("sigmas", sigmas)
        counts = [] if own_timesteps is None else [len(own_timesteps)]
        counts += [] if own_sigmas is None else [len(own_sigmas) - sigmas_include_final]
        counts += [] if num_inference_steps is None else [num_inference_steps]
        if not counts:
            raise ConfigError("num_inference_steps, timesteps or sigmas must be set, got none of them; pass one")
        if len(set(counts)) > 1:
            raise ConfigError(f"num_inference_steps, timesteps and sigmas must agree, got {counts} steps; pass one of them")
        return cls(n=counts[0], timesteps=own_timesteps, sigmas=own_sigmas, mu=mu)


def stop_numbers(name: str, values: Iterable[SupportsFloat]) -> tuple[float, ...]:
    """Return a caller's numbers, all finite and none below 0; any iterable may hold them."""
    listed = values if hasattr(values, "__len__") or not isinstance(values, Iterable) else list(values)
    return tuple(map(float, _STOPS.check(name, listed, "correct them")))


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The immutable tables of a run. All arrays are read-only."""

    timesteps: Array  # i64[calls] or f64[calls]: the network's timestep at each call
    alphas: Float  # f64[calls + 1]: signal scale at each stop
    sigmas: Float  # f64[calls + 1]: noise scale at each stop; sigmas / alphas are the "sigmas" of variance-exploding tools
    coefficients: tuple[Any, ...]  # per call, the sampler's own numbers
    draws: tuple[bool, ...]  # per call, whether step needs fresh noise
    starts: tuple[int, ...]  # per inference step, its first call: a run may begin at these
    init_scale: float = 1.0  # the first sample is noise times this
    input_scale: tuple[float, ...] = field(default=())  # per call, what the sample is multiplied with for the network
    intervals: tuple[tuple[float, float], ...] = field(default=())  # per call, where noise is a Brownian path's increment
    unreached: tuple[float, ...] = field(default=())  # noise levels that diffusers lists behind the end
    span: tuple[float, float] | None = None  # the smallest and the largest noise level of that path
    num_calls: int = field(init=False)  # how often the network is called

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_calls", len(self.timesteps))
        for table in (self.timesteps, self.alphas, self.sigmas):
            table.setflags(write=False)
        if not self.input_scale:
            object.__setattr__(self, "input_scale", (1.0,) * self.num_calls)

    def brownian(self, shape: Iterable[int], seed: int | Sequence[int], numerics: Numerics = "float32") -> BrownianTree | None:
        """Return the Brownian path whose increments are this plan's noise; None where it draws plain noise, or none.

        Parameters
        ----------
        shape : ints
            Of the sample.
        seed : int, or ints
            One for the whole batch, or one for each of its samples; taken modulo 2**64, as torch's generators do.
        numerics : "float32", "float64" or "exact"
            As for `sdrt.rng.stream`.

        Raises
        ------
        ConfigError : no seed, or not one for each sample
        """
        seeds = _SEEDS.check("seed", seed)
        if self.span is None or not any(self.draws):
            return None
        own = seeds % 2**64 if isinstance(seeds, int) else [each % 2**64 for each in seeds]
        return BrownianTree(shape, *self.span, own, numerics=numerics)

    @property
    def num_inference_steps(self) -> int:
        """The number of steps."""
        return len(self.starts)

    def start_at(self, strength: float) -> int:
        """Return the call at which an image-to-image run of this strength begins: strength 1 is all of the plan.

        Raises
        ------
        ConfigError : a strength that leaves no step to do, or more than all

        Source: diffusers 0.42.1 ``StableDiffusionImg2ImgPipeline.get_timesteps``.
        """
        strength = _SHARE.check("strength", strength)
        steps = int(self.num_inference_steps * strength)
        if not steps:
            raise ConfigError(
                f"strength must leave at least one step of {self.num_inference_steps}, got {strength}; "
                f"take at least {1 / self.num_inference_steps:.3g}, or more steps"
            )
        return self.starts[-steps]


# A level's ratio may be infinite.
_NOT_WEIGHTS = frozenset({bool, int, str, type(None), Level})


def computed(name: str, build: Callable[[], Plan]) -> Plan:
    """Return the plan that a function lays out, whose numbers are all such that float32 samples can be weighted by them.

    Settings that pass their kinds one by one can still overflow, underflow or cancel together.

    Raises
    ------
    ConfigError : they do
    """
    try:
        with np.errstate(all="ignore"):
            plan = build()
    except ArithmeticError as error:
        raise _uncomputable(name) from error
    total = plan.init_scale + sum(float(np.abs(table).max()) for table in (plan.alphas, plan.sigmas, plan.timesteps))
    records: list[Iterable[Any]] = [plan.coefficients]
    while records:
        for value in records.pop():
            kind = type(value)
            if kind is float:
                total += abs(value)
            elif kind in _NOT_WEIGHTS:
                continue
            elif isinstance(value, tuple):
                records.append(value)
            elif is_dataclass(value):
                records.append(vars(value).values())
            elif isinstance(value, np.floating):
                total += abs(float(value))
    if not total < _HUGE:  # as a NaN is not either
        raise _uncomputable(name)
    return plan


def _uncomputable(name: str) -> ConfigError:
    return ConfigError(
        f"the settings of {name} must give finite noise levels, got some that overflow, vanish or cancel; set the schedule's keys "
        "(betas, sigmas, shifts) as the model's configuration has them"
    )


def not_of_run(name: str, value: object) -> ConfigError:
    """Return the error for something else in the place of a plan or a state."""
    repair = "lay out a plan with Sampler.plan" if name == "plan" else "begin with Sampler.start"
    return ConfigError(f"{name} must be a {name.capitalize()}, got {shown(value)}; {repair}")


class _Predicts(Protocol):
    """The part of a sampler that a state uses."""

    def predicted_x0(self, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the clean sample that an output amounts to."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LastCall:
    """The input and output of the last network call."""

    sampler: _Predicts
    x: Float
    output: Float
    alpha: float  # the scales of x
    sigma: float

    def x0(self) -> Float:
        """Compute the clean sample that follows from the network's output."""
        return self.sampler.predicted_x0(self.x, self.output, self.alpha, self.sigma)


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """Where a run is. A value: it can be copied, pickled, compared, and gone on from more than once."""

    x: Float  # the sample, at stop ``position``
    position: int  # the next call
    history: tuple[Float, ...] = ()  # what a multistep sampler remembers of earlier steps, newest last
    stage_outputs: tuple[Float, ...] = ()  # of the step under way, where a step takes several calls
    step_start: Float | None = None  # the sample at which that step began
    last_call: LastCall | None = None

    @property
    def x0(self) -> Float:
        """The clean sample that the last call predicted, of x's shape and dtype; computed when read.

        Raises
        ------
        ConfigError : no call has been made
        """
        if self.last_call is None:
            raise ConfigError("no x0 is predicted before the first step; make a step")
        return self.last_call.x0().astype(self.x.dtype, copy=False)

    def advance(
        self, x: Float, *, history: tuple[Float, ...] = (), stage_outputs: tuple[Float, ...] = (), step_start: Float | None = None
    ) -> "State":
        """Return the state after one call."""
        return State(x=x, position=self.position + 1, history=history, stage_outputs=stage_outputs, step_start=step_start)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        return self.position == other.position and _same(self._parts(), other._parts())

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    def _parts(self) -> tuple[Any, ...]:
        last = None if self.last_call is None else (self.last_call.x, self.last_call.output)
        return (self.x, self.history, self.stage_outputs, self.step_start, last)


def _same(a: Any, b: Any) -> bool:
    """Compare two trees of tuples, arrays and None."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_same(p, q) for p, q in zip(a, b, strict=True))
    if a is None or b is None:
        return a is b
    return bool(a.dtype == b.dtype and np.array_equal(a, b))
