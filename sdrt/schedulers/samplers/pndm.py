"""PNDM: pseudo numerical methods for diffusion models (Liu et al. 2022, arXiv:2202.09778).

With ``skip_prk_steps`` (all Stable Diffusion configurations) this is what is called PLMS: an Adams-Bashforth method that repairs its first
step with a second call. Without, three Runge-Kutta steps of four calls each come first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.schedulers.noise_schedule import Real, real_type
from sdrt.schedulers.plan import Plan
from sdrt.schedulers.prediction import to_eps
from sdrt.schedulers.request import Request
from sdrt.schedulers.scheduled import SCHEDULE_KEYS, ScheduledSampler, with_final
from sdrt.schedulers.spacing import rounded
from sdrt.schedulers.state import State

__all__ = ["PNDM", "PNDMCall"]

Role = Literal["first", "repeat", "multistep", "stage", "join"]

_PRK_STEPS = 3  # Runge-Kutta steps that give the multistep method its history


@dataclass(frozen=True, kw_only=True)
class PNDMCall:
    """The numbers of one call: x' = sample * x - difference * eps / divisor (equation 11 of the paper)."""

    role: Role
    sample: float
    difference: float
    divisor: float
    alpha: float  # scales where the step starts, for a velocity
    sigma: float


@dataclass(frozen=True, kw_only=True)
class PNDM(ScheduledSampler):
    """Pseudo linear multistep, after an optional pseudo Runge-Kutta start.

    Scalars are computed in the numerics' own type, in diffusers' order of operations. As there, outputs are extrapolated as they are, and
    a velocity is turned into noise afterwards, which costs velocity models an order: measured 0.99, where a noise prediction has 1.9.

    Each call ends at the stop where the next call happens: see :class:`DDIM` for where diffusers 0.42.1 steps elsewhere. A Runge-Kutta
    midpoint too is the middle of two timesteps; diffusers goes T // n // 2 down and evaluates there, one off where T // n is odd.
    """

    name: ClassVar[str] = "PNDMScheduler"
    keys: ClassVar[Mapping[str, Any]] = SCHEDULE_KEYS | {"skip_prk_steps": False, "set_alpha_to_one": False, "timestep_spacing": "leading"}
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {"prediction_type": ("epsilon", "v_prediction")}

    skip_prk_steps: bool = False
    set_alpha_to_one: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prediction_type not in ("epsilon", "v_prediction"):
            raise ConfigError(f"PNDM takes prediction_type epsilon or v_prediction, got {self.prediction_type!r}; use DDIM for others")

    def _config(self) -> dict[str, Any]:
        return super()._config() | {"skip_prk_steps": self.skip_prk_steps, "set_alpha_to_one": self.set_alpha_to_one}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {key: values[key] for key in ("skip_prk_steps", "set_alpha_to_one")}

    def _plan(self, request: Request) -> Plan:
        steps = rounded(self._timesteps(request))
        timesteps, origins, roles = _plms_calls(steps) if self.skip_prk_steps else _prk_calls(steps)
        real = real_type(self.numerics)
        table = self.alpha_bar()
        alpha_bar = with_final(table, table[timesteps], self.set_alpha_to_one).astype(real)
        calls = tuple(_call(role, alpha_bar[origin], alpha_bar[i + 1]) for i, (role, origin) in enumerate(zip(roles, origins, strict=True)))
        return Plan(
            timesteps=timesteps,
            alphas=np.sqrt(alpha_bar).astype(np.float64),
            sigmas=np.sqrt(1 - alpha_bar).astype(np.float64),
            coefficients=calls,
            draws=(False,) * len(calls),
            starts=tuple(i for i, origin in enumerate(origins) if origin == i),
        )

    def _advance(self, c: PNDMCall, state: State, output: Float, noise: Float | None) -> State:  # noqa: ARG002
        x = state.x if state.anchor is None else state.anchor
        match c.role:
            case "first":  # to the next stop, from where the repeat looks back
                return state.moved(self._move(c, x, (output,), _newest), history=(output,), anchor=x)
            case "repeat":
                return state.moved(self._move(c, x, (output, *state.history), _mean), history=state.history)
            case "multistep":
                history = (*state.history[-3:], output)
                return state.moved(self._move(c, x, history[::-1], _adams_bashforth), history=history)
            case "stage":
                history = state.history if state.stages else (*state.history, output)
                return state.moved(self._move(c, x, (output,), _newest), history=history, stages=(*state.stages, output), anchor=x)
            case "join":
                return state.moved(self._move(c, x, (*state.stages, output), _runge_kutta), history=state.history)

    def _move(self, c: PNDMCall, x: Float, outputs: tuple[Float, ...], mix: Callable[..., Float]) -> Float:
        """Go to the call's end along a mix of network outputs."""
        eps: Float = mix(*outputs)
        if self.prediction_type == "v_prediction":
            eps = to_eps("v_prediction", x, eps, c.alpha, c.sigma)
        slope: Float = eps * c.difference
        np.divide(slope, c.divisor, out=slope)
        result: Float = x * c.sample
        return np.subtract(result, slope, out=result)


def _plms_calls(steps: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], list[int], list[Role]]:
    """Return timestep, origin and role of each call; the origin is the call at which the step began."""
    n = len(steps)
    if n == 1:
        return steps, [0], ["first"]
    timesteps = np.concatenate([steps[:2], steps[1:]])
    return timesteps, [0, 0, *range(2, n + 1)], ["first", "repeat", *_repeat("multistep", n - 1)]


def _prk_calls(steps: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], list[int], list[Role]]:
    """Return the same for a run that begins with Runge-Kutta steps: at the timestep, twice half-way to the next, and there."""
    n = len(steps)
    if n <= _PRK_STEPS:
        raise ConfigError(f"PNDM without skip_prk_steps takes at least {_PRK_STEPS + 1} steps, got {n}; take more, or set skip_prk_steps")
    timesteps = []
    for here, there in pairwise(steps[: _PRK_STEPS + 1]):
        middle = there + (here - there) // 2
        timesteps += [here, middle, middle, there]
    origins = [4 * (i // 4) for i in range(len(timesteps))]
    block: list[Role] = ["stage", "stage", "stage", "join"]
    rest = n - _PRK_STEPS
    return (
        np.concatenate([timesteps, steps[_PRK_STEPS:]]),
        origins + [len(origins) + i for i in range(rest)],
        block * _PRK_STEPS + _repeat("multistep", rest),
    )


def _repeat(role: Role, count: int) -> list[Role]:
    return [role] * count


def _call(role: Role, now: Real, then: Real) -> PNDMCall:
    """Return the numbers of a call between two values of alpha_bar, computed in their own type."""
    return PNDMCall(
        role=role,
        sample=float(np.sqrt(then / now)),
        difference=float(then - now),
        divisor=float(now * np.sqrt(1 - then) + np.sqrt(now * (1 - now) * then)),
        alpha=float(np.sqrt(now)),
        sigma=float(np.sqrt(1 - now)),
    )


def _newest(e: Float) -> Float:
    return e


def _mean(e: Float, before: Float) -> Float:
    """Trapezoidal rule: the repaired first step."""
    mixed = e + before
    return np.multiply(mixed, 0.5, out=mixed)


def _adams_bashforth(*e: Float) -> Float:
    """Extrapolate the newest output by those before it, newest first; the order grows with their number (equation 12, and its starts)."""
    match len(e):
        case 1:
            return e[0]
        case 2:
            mixed = _weighted((3, -1), e)
            return np.multiply(mixed, 0.5, out=mixed)
        case 3:
            mixed = _weighted((23, -16, 5), e)
            return np.divide(mixed, 12, out=mixed)
        case _:
            mixed = _weighted((55, -59, 37, -9), e)
            return np.multiply(mixed, 1 / 24, out=mixed)


def _runge_kutta(*e: Float) -> Float:
    """Join the four slopes of a classical Runge-Kutta step."""
    return _weighted((1 / 6, 1 / 3, 1 / 3, 1 / 6), e)


def _weighted(weights: tuple[float, ...], arrays: tuple[Float, ...]) -> Float:
    """Sum from left to right, each product and sum rounded."""
    total: Float = arrays[0] * weights[0]
    term = np.empty_like(total)
    for weight, array in zip(weights[1:], arrays[1:], strict=True):
        np.multiply(array, weight, out=term)
        np.add(total, term, out=total)
    return total
