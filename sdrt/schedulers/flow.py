"""Rectified flows: x = (1 - sigma) * x0 + sigma * noise, and a network that predicts noise - x0 (Lipman et al. 2023, arXiv:2210.02747).

Noise levels are spread evenly over those that were trained, and shifted towards noise as the model or the size of the picture asks.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.errors import ConfigError
from sdrt.schedulers.base import Sampler
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.prediction import Prediction, x0_weights
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.grids.sigmas import SigmaSpacing
from sdrt.schedulers.shift import shifted
from sdrt.schedulers.weighted_sum import Weights

__all__ = ["DYNAMIC_FLOW_KEYS", "FLOW_KEYS", "FlowSampler"]

FLOW_KEYS: dict[str, Any] = {"num_train_timesteps": 1000, "shift": 1.0}

DYNAMIC_FLOW_KEYS: dict[str, Any] = FLOW_KEYS | {
    "use_dynamic_shifting": False,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
    "invert_sigmas": False,
    "shift_terminal": None,
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "time_shift_type": "exponential",
}

_OWN = (*FLOW_KEYS, "use_dynamic_shifting", "base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len", "invert_sigmas")


@dataclass(frozen=True, kw_only=True)
class FlowSampler(Sampler):
    """What samplers of flows share: how the noise levels of a run are chosen.

    Levels that a caller gives (``sigmas``) are shifted too, since pipelines of diffusers pass them unshifted. Timesteps that a caller gives
    are where the network is called. diffusers 0.42.1 calls it there, but shifts the noise levels that belong to them once more.

    Raises
    ------
    ConfigError : a shift that is none
    """

    takes: ClassVar[frozenset[str]] = frozenset({"timesteps", "sigmas", "mu"})
    spare_sigmas: ClassVar[int] = 0
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {"time_shift_type": ("exponential", "linear")}

    prediction_type: Prediction = "flow_prediction"
    num_train_timesteps: int = 1000  # T; the network is told sigma * T
    shift: float = 1.0  # SD3 has 3
    use_dynamic_shifting: bool = False  # whether the shift follows the size of the picture (FLUX): plans then need mu, see :meth:`mu`
    base_shift: float | None = 0.5
    max_shift: float | None = 1.15
    base_image_seq_len: int = 256
    max_image_seq_len: int = 4096
    time_shift_type: Literal["exponential", "linear"] = "exponential"  # whether the shift is exp(mu), or mu
    invert_sigmas: bool = False  # whether the network is told the share of signal and predicts x0 - noise (Mochi)
    shift_terminal: float | None = None  # stretch the levels so that the last but the end is this (LTX-Video)
    sigma_spacing: SigmaSpacing = field(default_factory=SigmaSpacing)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.shift > 0:
            raise ConfigError(f"shift must be above 0, got {self.shift}; 1 shifts nothing")
        if self.shift_terminal is not None and not 0 < self.shift_terminal < 1:
            raise ConfigError(f"shift_terminal must lie between 0 and 1, got {self.shift_terminal}; leave it out for no stretching")
        if self.num_train_timesteps < 2:
            raise ConfigError(f"num_train_timesteps must be at least 2, got {self.num_train_timesteps}; flow models have 1000")

    def _config(self) -> dict[str, Any]:
        own = {key: getattr(self, key) for key in (*_OWN, "shift_terminal", "time_shift_type")}
        return own | self.sigma_spacing.config()

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        own = {key: values[key] for key in (*_OWN, "time_shift_type") if key in values}
        return own | {"shift_terminal": values.get("shift_terminal") or None, "sigma_spacing": SigmaSpacing.read(values)}

    def mu(self, image_seq_len: int) -> float:
        """Return the exponent of the dynamic shift for a picture of so many patches, linear between the two sizes of the settings.

        Raises
        ------
        ConfigError : the settings have no ``base_shift`` or ``max_shift``

        Source: Black Forest Labs' FLUX, ``get_lin_function``; diffusers 0.42.1 ``calculate_shift``.
        """
        if self.base_shift is None or self.max_shift is None:
            raise ConfigError("mu follows from base_shift and max_shift, got None; pass mu itself to plan")
        slope = (self.max_shift - self.base_shift) / (self.max_image_seq_len - self.base_image_seq_len)
        return self.base_shift + slope * (image_seq_len - self.base_image_seq_len)

    # ---- noise levels

    def _plan(self, request: Request) -> Plan:
        sigmas = self._levels(request)
        if request.timesteps is not None and not (self.invert_sigmas and self.compat == "diffusers"):
            return self._laid_out(np.array(request.timesteps), sigmas)
        return self._laid_out(self._told(sigmas), sigmas)

    def whole_plan(self) -> Plan:
        """Lay out a run through every trained noise level; a dynamic shift is not known yet."""
        every = np.arange(self.num_train_timesteps, 0, -1) / self.num_train_timesteps
        sigmas = every if self.use_dynamic_shifting else shifted(every, self.shift)
        return self._laid_out(self._told(sigmas), sigmas)

    def _laid_out(self, timesteps: F64, sigmas: F64) -> Plan:
        """Return the plan of these stops, in the numerics' precision; the end of the run is appended."""
        real = real_type(self.numerics)
        return self._of_stops(timesteps.astype(real).astype(np.float64), np.append(sigmas, 0.0).astype(real).astype(np.float64))

    def _told(self, sigmas: F64) -> F64:
        """Return what the network is told at each level."""
        real = real_type(self.numerics)
        rounded = sigmas.astype(real)
        found: Float = (1 - rounded if self.invert_sigmas else rounded) * real(self.num_train_timesteps)
        return found.astype(np.float64)

    def _levels(self, request: Request) -> F64:
        """Return the noise level at each step's beginning, f64[n], falling from at most 1 to above 0."""
        shift = self._shift_of(request.mu)
        if request.sigmas is not None:
            return self._spread(shifted(_falling("sigmas", np.array(request.sigmas)), shift))
        if request.timesteps is not None:
            return self._at(np.array(request.timesteps) / self.num_train_timesteps, shift)
        return self._spread(shifted(np.linspace(1.0, self._lowest(), request.n), shift))

    def _at(self, shares: F64, shift: float) -> F64:
        """Return the noise levels of timesteps that a caller gave: those at which the network is told them; see the class for diffusers."""
        if self.compat == "diffusers":
            return self._spread(shifted(_falling("timesteps / num_train_timesteps", shares), shift))
        return _falling("noise levels of timesteps", 1 - shares if self.invert_sigmas else shares)

    def _shift_of(self, mu: float | None) -> float:
        """Return the shift of a run. diffusers 0.42.1 takes a mu that means nothing."""
        if not self.use_dynamic_shifting:
            if mu is not None and self.compat != "diffusers":
                raise ConfigError(f"mu is for use_dynamic_shifting, which is off here, got {mu}; leave it out")
            return self.shift
        if mu is None:
            raise ConfigError("use_dynamic_shifting needs mu, got None; pass mu=sampler.mu(image_seq_len)")
        shift = math.exp(mu) if self.time_shift_type == "exponential" else mu
        if not shift > 0:
            raise ConfigError(f"mu is the shift itself where time_shift_type is linear, and above 0; got {mu}")
        return shift

    def _lowest(self) -> float:
        """Return the last level of a run before it is shifted: the smallest that was trained, 1 / T.

        diffusers 0.42.1 shifts it twice: a run of SD3 (shift 3) makes its last step from 0.0089, not from 0.0030, where training ends.
        """
        smallest = 1 / self.num_train_timesteps
        if self.compat == "diffusers" and not self.use_dynamic_shifting:
            return float(shifted(np.array(smallest), self.shift))
        return smallest

    def _spread(self, sigmas: F64) -> F64:
        """Stretch levels to ``shift_terminal``, and spread them by a formula between their ends, as the settings say."""
        stretched = self._stretched(sigmas)
        if self.sigma_spacing.kind == "interpolated":
            return stretched
        return self.sigma_spacing.spread(float(stretched[0]), float(stretched[-1]), len(stretched))

    def _stretched(self, sigmas: F64) -> F64:
        """Scale the shares of signal so that the last level is ``shift_terminal``.

        Without any signal, as in a run of one step, nothing can be scaled: diffusers 0.42.1 divides 0 by 0.

        Source: Lightricks/LTX-Video@a01a171, ``ltx_video/schedulers/rf.py``.
        """
        signal = 1 - sigmas
        if self.shift_terminal is None or not signal[-1]:
            return sigmas
        found: F64 = 1 - signal * ((1 - self.shift_terminal) / signal[-1])
        return found

    # ---- what the network says

    @property
    def _sign(self) -> float:
        """The sign of the network's noise - x0."""
        return -1.0 if self.invert_sigmas else 1.0

    def x0_weights(self, alpha: float, sigma: float) -> tuple[float, float]:
        sample, output = x0_weights("flow_prediction", alpha, sigma)
        return sample, self._sign * output

    def shown_sigmas(self, plan: Plan) -> Float:
        """f64[calls + 1]: the noise levels, or the shares of signal where they are inverted, as in diffusers."""
        return plan.alphas if self.invert_sigmas else plan.sigmas

    def _redrawn(self, sigmas: F64) -> tuple[Weights, ...]:
        """Return the steps that go to the predicted x0, and from there with all fresh noise to the next level.

        diffusers 0.42.1 takes inverted levels for noise levels here, and so ends such a run with pure noise.
        """
        inverted = self.compat == "diffusers" and self.invert_sigmas
        levels, sign = (1 - sigmas, 1.0) if inverted else (sigmas, self._sign)
        return tuple(
            Weights(sample=1 - then, output=-sign * now * (1 - then), noise=then)
            for now, then in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True)
        )

    @abstractmethod
    def _of_stops(self, timesteps: F64, sigmas: F64) -> Plan:
        """Return the plan of n timesteps and n + 1 noise levels."""


def _falling(name: str, levels: F64) -> F64:
    """Return levels that a caller gave, f64[n].

    Raises
    ------
    ConfigError : one outside (0, 1], or above the one before it
    """
    if levels.max() > 1 or levels.min() <= 0 or np.any(np.diff(levels) > 0):
        raise ConfigError(
            f"{name} must lie in (0, 1] and never rise, got {levels[0]:g} to {levels[-1]:g}; sort them from noisy to clean, "
            "without the 0 at which a run ends"
        )
    return levels
