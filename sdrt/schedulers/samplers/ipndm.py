"""IPNDM: pseudo linear multistep over a schedule of its own, as k-diffusion's forerunner v-diffusion has it (``iplms``).

Not the sampler of that name in k-diffusion's descendants, which runs over noise-to-signal ratios.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.schedulers.adams_bashforth import adams_bashforth
from sdrt.schedulers.base import Sampler
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.prediction import Prediction, to_eps, to_x0
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.grids.noise_schedule import linspace
from sdrt.schedulers.one_step import one_call_plan

__all__ = ["IPNDM", "IPNDMStep"]

_HISTORY = 3  # slopes that the fourth-order formula takes beside the newest
_LEAST_ALPHA = 1e-8  # by which diffusers divides at a stop without signal


@dataclass(frozen=True, kw_only=True)
class IPNDMStep:
    """Scales where a step starts and where it ends."""

    alpha: float
    sigma: float
    alpha_next: float
    sigma_next: float


@dataclass(frozen=True, kw_only=True)
class IPNDM(Sampler):
    """For networks of velocities, whose timestep is a share of the way in [0, 1]: sigma is the squared sine of that much of a right angle.

    The noise that is predicted at each step is extrapolated from those before it. The first step starts from pure noise, where x0 comes
    from the velocity alone: diffusers 0.42.1 divides nothing by next to nothing instead, and takes x0 to be 0.
    """

    name: ClassVar[str] = "IPNDMScheduler"
    keys: ClassVar[Mapping[str, Any]] = {"num_train_timesteps": 1000, "trained_betas": None}
    takes: ClassVar[frozenset[str]] = frozenset()

    prediction_type: Prediction = "v_prediction"
    train_timesteps: int = 1000
    trained_betas: tuple[float, ...] | None = None  # sigma at each stop, from noisy to clean, in place of the schedule

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prediction_type != "v_prediction":
            raise ConfigError(f"IPNDM takes prediction_type v_prediction, got {self.prediction_type!r}; use PNDM for others")
        if self.trained_betas is not None and not (len(self.trained_betas) > 1 and all(0 <= beta <= 1 for beta in self.trained_betas)):
            raise ConfigError("trained_betas must hold two or more values in [0, 1], the noise scale of each stop; check the configuration")

    @property
    def num_train_timesteps(self) -> int:
        """T, how many steps diffusers makes before it is asked for others."""
        return self.train_timesteps

    def whole_plan(self) -> Plan:
        """Lay out what there is before anything is asked for: T steps."""
        return self.plan(len(self.trained_betas) - 1 if self.trained_betas else self.num_train_timesteps)

    def _plan(self, request: Request) -> Plan:
        sigmas = self._sigmas(request.n)
        alphas = np.sqrt(1 - sigmas**2)
        real = sigmas.dtype.type
        timesteps = np.arctan2(sigmas, alphas).astype(real) / real(np.pi) * real(2)
        rows = (alphas[:-1], sigmas[:-1], alphas[1:], sigmas[1:])
        steps = tuple(
            IPNDMStep(alpha=alpha, sigma=sigma, alpha_next=alpha_next, sigma_next=sigma_next)
            for alpha, sigma, alpha_next, sigma_next in zip(*(row.tolist() for row in rows), strict=True)
        )
        return one_call_plan(timesteps[:-1].astype(np.float64), alphas.astype(np.float64), sigmas.astype(np.float64), steps)

    def _sigmas(self, n: int) -> Float:
        """Return the noise scale at each stop, f[n + 1] of the numerics' own type.

        With ``trained_betas``, diffusers 0.42.1 makes as many steps as they have, whatever is asked for.
        """
        real = real_type(self.numerics)
        if self.trained_betas is None:
            angles = linspace(1, 0, n + 1, self.numerics) * real(np.pi) / real(2)
            sines: Float = np.sin(angles.astype(np.float64)).astype(real)
            return sines * sines
        if n != len(self.trained_betas) - 1 and self.compat != "diffusers":
            raise ConfigError(f"trained_betas lay down {len(self.trained_betas) - 1} steps, got {n}; take so many, or leave them out")
        return np.array(self.trained_betas, real)

    def _advance(self, c: IPNDMStep, state: State, output: Float, noise: Float | None) -> State:  # noqa: ARG002
        eps = to_eps("v_prediction", state.x, output, c.alpha, c.sigma)
        history = (*state.history[-_HISTORY:], eps)
        slope = adams_bashforth(*history[::-1])
        x = self._x0(c, state.x, output, slope) if len(history) == 1 or not c.alpha else to_x0("epsilon", state.x, slope, c.alpha, c.sigma)
        np.multiply(x, c.alpha_next, out=x)
        np.add(x, slope * c.sigma_next, out=x)
        return state.advance(x, history=history)

    def _x0(self, c: IPNDMStep, x: Float, output: Float, slope: Float) -> Float:
        """Return the x0 of a step without a history, or without signal."""
        if self.compat == "diffusers":
            return to_x0("epsilon", x, slope, max(c.alpha, _LEAST_ALPHA), c.sigma)
        return to_x0("v_prediction", x, output, c.alpha, c.sigma)

    def _config(self) -> dict[str, Any]:
        return super()._config() | {"trained_betas": None if self.trained_betas is None else list(self.trained_betas)}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        betas = values["trained_betas"]
        return {"train_timesteps": values["num_train_timesteps"], "trained_betas": None if betas is None else tuple(map(float, betas))}
