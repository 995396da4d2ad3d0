"""PNDM: pseudo numerical methods for diffusion models (Liu et al. 2022, arXiv:2202.09778), equation 11.

    x' = sqrt(a' / a) * x - (a' - a) / (a * sqrt(1 - a') + sqrt(a * (1 - a) * a')) * eps,    a = alpha_bar

With ``skip_prk_steps`` (all Stable Diffusion configurations) this is PLMS: an Adams-Bashforth method that repairs its first
step with a second call. Without, three Runge-Kutta steps of four calls each come first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.errors import ConfigError
from sdrt.schedulers.core.numerics import Real
from sdrt.schedulers.core.prediction import to_eps
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.timestep_table import TimestepGrid
from sdrt.schedulers.steps.adams_bashforth import adams_bashforth
from sdrt.schedulers.steps.linear import linear_combination

__all__ = ["PNDM", "PRK_STEPS", "PNDMCall", "Role", "call_between", "plms_calls", "prk_ends", "prk_timesteps"]

Role = Literal["first", "repeat", "multistep", "stage", "join"]

PRK_STEPS = 3  # Runge-Kutta steps that give the multistep method its history


@dataclass(frozen=True, kw_only=True)
class PNDMCall:
    """The numbers of one call: x' = sample * x - difference * eps / divisor."""

    role: Role
    sample: float
    difference: float
    divisor: float
    alpha: float  # scales where the step starts, for a velocity
    sigma: float


def call_between(role: Role, now: Real, then: Real) -> PNDMCall:
    """Return the numbers of a call between two values of alpha_bar, computed in their own type and diffusers' order."""
    return PNDMCall(
        role=role,
        sample=float(np.sqrt(then / now)),
        difference=float(then - now),
        divisor=float(now * np.sqrt(1 - then) + np.sqrt(now * (1 - now) * then)),
        alpha=float(np.sqrt(now)),
        sigma=float(np.sqrt(1 - now)),
    )


@dataclass(frozen=True, kw_only=True)
class PNDM(Sampler):
    """Pseudo linear multistep, after an optional pseudo Runge-Kutta start.

    As in diffusers, outputs are extrapolated as they are, and a velocity is turned into noise afterwards, which costs velocity models an
    order: measured 0.99, where a noise prediction has 1.9. Each call ends at the stop where the next call happens, a Runge-Kutta midpoint
    is the middle of two timesteps.

    A run from a picture starts in the middle with a plain step, from the noise of its own first timestep, and makes as many calls as its
    strength asks for steps. diffusers leaves out the first of its list of calls, in which the second timestep stands twice: the run starts
    a step higher and makes one call more; its first two calls are one step, after which each call is told the timestep below that of its
    sample. So the noise of about one step stays in the picture; ``compat="diffusers"`` leaves it there.
    """

    name: ClassVar[str] = "PNDMScheduler"

    prediction_type: Literal["epsilon", "v_prediction"] = setting("epsilon")
    grid: TimestepGrid = group(TimestepGrid, without=["rescale_betas_zero_snr"], set_alpha_to_one=False)
    skip_prk_steps: bool = setting(False)

    def _plan(self, request: Request) -> Plan:
        steps = self.grid.timesteps(request)
        timesteps, origins, roles = plms_calls(steps) if self.skip_prk_steps else prk_calls(steps)
        alpha_bar = self.alpha_bars(timesteps)
        ends = zip(roles, origins, alpha_bar[1:], strict=True)
        calls = [call_between(role, alpha_bar[origin], then) for role, origin, then in ends]
        return self.tables(timesteps, alpha_bar, calls, [i for i, origin in enumerate(origins) if origin == i])

    def alpha_bars(self, timesteps: Array) -> Float:
        """Return alpha_bar at each call and at the end, f[calls + 1] of the numerics' own type."""
        return np.append(self.grid.alpha_bar_at_calls(timesteps), self.grid.alpha_bar_at(np.array([-1])))

    def tables(self, timesteps: Array, alpha_bar: Float, calls: Sequence[Any], starts: Sequence[int]) -> Plan:
        """Return the plan of these calls; a step may begin at those of ``starts``."""
        return Plan(
            timesteps=timesteps,
            alphas=np.sqrt(alpha_bar).astype(np.float64),
            sigmas=np.sqrt(1 - alpha_bar).astype(np.float64),
            coefficients=tuple(calls),
            draws=(False,) * len(calls),
            starts=tuple(starts),
        )

    def _advance(self, c: PNDMCall, state: State, output: Float, noise: Float | None) -> State:  # noqa: ARG002
        x = state.x if state.step_start is None else state.step_start
        match c.role:
            case "first":  # to the next stop, from where the repeat looks back
                return state.advance(self._move(c, x, (output,), _newest), history=(output,), step_start=x)
            case "repeat":
                return state.advance(self._move(c, x, (output, *state.history), _mean), history=state.history)
            case "multistep":
                history = (*state.history[-3:], output)
                return state.advance(self._move(c, x, history[::-1], adams_bashforth), history=history)
            case "stage":
                history = state.history if state.stage_outputs else (*state.history, output)
                return state.advance(
                    self._move(c, x, (output,), _newest), history=history, stage_outputs=(*state.stage_outputs, output), step_start=x
                )
            case "join":
                return state.advance(self._move(c, x, (*state.stage_outputs, output), _runge_kutta), history=state.history)

    def _move(self, c: PNDMCall, x: Float, outputs: tuple[Float, ...], mix: Callable[..., Float]) -> Float:
        """Go to the call's end along a mix of network outputs."""
        eps: Float = mix(*outputs)
        if self.prediction_type == "v_prediction":
            eps = to_eps("v_prediction", x, eps, c.alpha, c.sigma)
        slope: Float = eps * c.difference
        np.divide(slope, c.divisor, out=slope)
        result: Float = x * c.sample
        return np.subtract(result, slope, out=result)


def _newest(e: Float) -> Float:
    return e


def _mean(e: Float, before: Float) -> Float:
    """Trapezoidal rule: the repaired first step."""
    mixed = e + before
    return np.multiply(mixed, 0.5, out=mixed)


def _runge_kutta(*e: Float) -> Float:
    """Join the four slopes of a classical Runge-Kutta step."""
    return linear_combination((1 / 6, 1 / 3, 1 / 3, 1 / 6), e)


def plms_calls(steps: Array) -> tuple[Array, list[int], list[Role]]:
    """Return timestep, origin and role of each call; the origin is the call at which the step began."""
    n = len(steps)
    if n == 1:
        return steps, [0], ["first"]
    roles: list[Role] = ["first", "repeat", *_repeat("multistep", n - 1)]
    return np.concatenate([steps[:2], steps[1:]]), [0, 0, *range(2, n + 1)], roles


def prk_calls(steps: Array) -> tuple[Array, list[int], list[Role]]:
    """Return the same for a run that begins with Runge-Kutta steps: one call at the timestep, two half-way to the next, one there."""
    blocks = [(start, end + (start - end) // 2, end) for start, end in prk_ends(steps)]
    origins = [4 * (i // 4) for i in range(4 * PRK_STEPS)]
    block: list[Role] = ["stage", "stage", "stage", "join"]
    rest = len(steps) - PRK_STEPS
    return prk_timesteps(blocks, steps), origins + [len(origins) + i for i in range(rest)], block * PRK_STEPS + _repeat("multistep", rest)


def prk_ends(steps: Array) -> list[tuple[int, int]]:
    """Return the timesteps between which the Runge-Kutta steps lead.

    Raises
    ------
    ConfigError : too few steps
    """
    if len(steps) <= PRK_STEPS:
        raise ConfigError(
            f"num_inference_steps of PNDM without skip_prk_steps must be at least {PRK_STEPS + 1}, got {len(steps)}; take more, "
            "or set skip_prk_steps"
        )
    return list(pairwise(steps[: PRK_STEPS + 1]))


def prk_timesteps(blocks: list[tuple[int, int, int]], steps: Array) -> Array:
    """Return the timesteps of all calls, where each block calls at its start, twice at its middle, and at its end."""
    first = [timestep for start, middle, end in blocks for timestep in (start, middle, middle, end)]
    return np.concatenate([first, steps[PRK_STEPS:]])


def _repeat(role: Role, count: int) -> list[Role]:
    return [role] * count
