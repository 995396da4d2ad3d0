"""PNDM: pseudo numerical methods for diffusion models (Liu et al. 2022, arXiv:2202.09778).

With ``skip_prk_steps`` (all Stable Diffusion configurations) this is what is called PLMS: an Adams-Bashforth method that repairs its first
step with a second call. Without, three Runge-Kutta steps of four calls each come first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import F64, Array, Float
from sdrt.errors import ConfigError
from sdrt.schedulers.adams_bashforth import adams_bashforth, weighted
from sdrt.schedulers.apple import apple_alpha_bar
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.prediction import to_eps
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.core.settings import Compat
from sdrt.schedulers.samplers.pndm_calls import PRK_STEPS, CountedCall, Counter, PNDMCall, call_between, plms_calls, prk_calls
from sdrt.schedulers.scheduled import SCHEDULE_KEYS, ScheduledSampler, with_final
from sdrt.schedulers.spacing import rounded

__all__ = ["PNDM"]


@dataclass(frozen=True, kw_only=True)
class PNDM(ScheduledSampler):
    """Pseudo linear multistep, after an optional pseudo Runge-Kutta start.

    Scalars are computed in the numerics' own type, in diffusers' order of operations. As there, outputs are extrapolated as they are, and
    a velocity is turned into noise afterwards, which costs velocity models an order: measured 0.99, where a noise prediction has 1.9.

    Each call ends at the stop where the next call happens, a Runge-Kutta midpoint is the middle of two timesteps, and a run that starts in
    the middle starts with a plain step: see :class:`Counter` for what diffusers 0.42.1 does instead. Apple's package counts like it, is
    PLMS for noise predictions alone, and takes the x0 that the last call predicts for the result.
    """

    name: ClassVar[str] = "PNDMScheduler"
    keys: ClassVar[Mapping[str, Any]] = SCHEDULE_KEYS | {"skip_prk_steps": False, "set_alpha_to_one": False, "timestep_spacing": "leading"}
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {"prediction_type": ("epsilon", "v_prediction")}
    compats: ClassVar[tuple[Compat, ...]] = ("diffusers", "apple")

    skip_prk_steps: bool = False
    set_alpha_to_one: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prediction_type not in ("epsilon", "v_prediction"):
            raise ConfigError(f"PNDM takes prediction_type epsilon or v_prediction, got {self.prediction_type!r}; use DDIM for others")
        if self.compat == "apple":
            self._check_apple()

    def _check_apple(self) -> None:
        """Refuse what Apple's package, which reads no configuration, does not do."""
        does: dict[str, Any] = {
            "prediction_type": "epsilon",
            "skip_prk_steps": True,
            "timestep_spacing": "leading",
            "steps_offset": 1,
            "set_alpha_to_one": False,
        }
        if others := {key: getattr(self, key) for key, value in does.items() if getattr(self, key) != value}:
            raise ConfigError(
                f"Apple's PNDM has {', '.join(f'{key} {does[key]}' for key in others)}, got {', '.join(map(str, others.values()))}; "
                "set it so, or leave compat out"
            )
        apple_alpha_bar(self.schedule)

    def alpha_bar(self) -> F64:
        """The signal power at every trained timestep, f64[T]."""
        return apple_alpha_bar(self.schedule) if self.compat == "apple" and self.numerics == "float32" else super().alpha_bar()

    def _config(self) -> dict[str, Any]:
        return super()._config() | {"skip_prk_steps": self.skip_prk_steps, "set_alpha_to_one": self.set_alpha_to_one}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {key: values[key] for key in ("skip_prk_steps", "set_alpha_to_one")}

    def _plan(self, request: Request) -> Plan:
        steps = rounded(self._timesteps(request))
        if self.compat is not None and request.timesteps is None:
            return self._counted_plan(steps, request.n)
        timesteps, origins, roles = plms_calls(steps) if self.skip_prk_steps else prk_calls(steps)
        alpha_bar = self._levels(timesteps)
        ends = zip(roles, origins, alpha_bar[1:], strict=True)
        calls = tuple(call_between(role, alpha_bar[origin], then) for role, origin, then in ends)
        return self._tables(timesteps, alpha_bar, calls, tuple(i for i, origin in enumerate(origins) if origin == i))

    def _counted_plan(self, steps: Array, n: int) -> Plan:
        """Lay out a run as the packages of ``compat`` do. A step may start at any call: their pipelines leave out the first of the list."""
        stride = self.num_train_timesteps // n
        timesteps = Counter.timesteps(steps, stride, self.skip_prk_steps)
        alpha_bar = self._levels(timesteps)
        counter = Counter(
            alpha_bar=self.alpha_bar().astype(alpha_bar.dtype),
            final=alpha_bar[-1],
            stride=stride,
            prk_starts=() if self.skip_prk_steps else tuple(steps[:PRK_STEPS].tolist()),
        )
        calls = [CountedCall(timestep=timestep, counter=counter) for timestep in timesteps.tolist()]
        if self.compat == "apple":
            calls[-1] = replace(calls[-1], decodes=True)
            alpha_bar[-1] = 1
        return self._tables(timesteps, alpha_bar, tuple(calls), tuple(range(n)))

    def _levels(self, timesteps: Array) -> Float:
        """Return alpha_bar at each call and at the end, f[calls + 1] of the numerics' own type."""
        table = self.alpha_bar()
        return with_final(table, table[timesteps], self.set_alpha_to_one).astype(real_type(self.numerics))

    def _tables(self, timesteps: Array, alpha_bar: Float, calls: tuple[Any, ...], starts: tuple[int, ...]) -> Plan:
        return Plan(
            timesteps=timesteps,
            alphas=np.sqrt(alpha_bar).astype(np.float64),
            sigmas=np.sqrt(1 - alpha_bar).astype(np.float64),
            coefficients=calls,
            draws=(False,) * len(calls),
            starts=starts,
        )

    def _advance(self, call: PNDMCall | CountedCall, state: State, output: Float, noise: Float | None) -> State:  # noqa: ARG002
        c = call.after(state) if isinstance(call, CountedCall) else call
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
    return weighted((1 / 6, 1 / 3, 1 / 3, 1 / 6), e)
