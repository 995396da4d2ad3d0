"""The noise levels of rectified flows: x = (1 - sigma) * x0 + sigma * noise (Lipman et al. 2023, arXiv:2210.02747).

Levels are spread evenly over those that were trained, and shifted towards noise as the model or the size of the picture asks.
"""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.errors import ConfigError
from sdrt.exact.sequences import linspace
from sdrt.schedulers.core.kinds import POSITIVE, whole
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Level, Request
from sdrt.schedulers.core.sampler import Grid
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.flow_shift import SHARE, TimeShiftType, check_sizes, dynamic_shift, mu_of_size, shift_sigmas
from sdrt.schedulers.grids.sigmas import SigmaSpacing
from sdrt.schedulers.steps.linear import LinearStep, Weights

__all__ = ["FlowGrid", "check_falling"]


@dataclass(frozen=True, kw_only=True)
class FlowGrid(Grid):
    """Levels from 1, pure noise, down to 0.

    Levels that a caller lays down (``sigmas``) are shifted too, since pipelines of diffusers pass them unshifted. Timesteps that a caller
    lays down are where the network is called.

    Raises
    ------
    ConfigError : a terminal level outside (0, 1), or sizes that do not rise
    """

    accepts: frozenset[str] = frozenset({"timesteps", "sigmas", "mu"})
    sigmas_include_final: bool = False
    num_train_timesteps: int = setting(1000, kind=whole(2))  # T; the network's timestep is sigma * T
    shift: float = setting(1.0, kind=POSITIVE)  # SD3 has 3
    use_dynamic_shifting: bool = setting(False)  # whether the shift follows the size of the picture (FLUX): plans then need mu
    base_shift: float | None = setting(0.5)
    max_shift: float | None = setting(1.15)
    base_image_seq_len: int = setting(256, kind=whole(1))
    max_image_seq_len: int = setting(4096, kind=whole(1))
    time_shift_type: TimeShiftType = setting("exponential")
    invert_sigmas: bool = setting(False)  # whether the network takes the share of signal and predicts x0 - noise (Mochi)
    shift_terminal: float | None = setting(None, read=lambda value: value or None, kind=SHARE)  # the last level but the end (LTX-Video)
    sigma_spacing: SigmaSpacing = group(SigmaSpacing, without=("use_ays_sigmas", "use_lu_lambdas", "sigma_min", "sigma_max"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shift_terminal is not None and not 0 < self.shift_terminal < 1:
            raise ConfigError(f"shift_terminal must lie between 0 and 1, got {self.shift_terminal}; leave it out for no stretching")
        check_sizes(self.base_image_seq_len, self.max_image_seq_len)

    def mu(self, image_seq_len: int) -> float:
        """Return the exponent of the dynamic shift for a picture of so many patches, linear between the two sizes of the settings.

        Raises
        ------
        ConfigError : the settings have no ``base_shift`` or ``max_shift``
        """
        return mu_of_size(image_seq_len, self.base_shift, self.max_shift, self.base_image_seq_len, self.max_image_seq_len)

    def levels(self, request: Request) -> tuple[Level, ...]:
        """Return the stops of a run, its end without noise the last."""
        shift = self._shift_of(request.mu)
        if request.sigmas is not None:
            sigmas = self._spread(shift_sigmas(check_falling("sigmas", np.array(request.sigmas)), shift))
        elif request.timesteps is not None:
            sigmas = self._at(np.array(request.timesteps) / self.num_train_timesteps, shift)
        else:
            sigmas = self._spread(shift_sigmas(linspace(1.0, self._lowest(), request.n), shift))
        if request.timesteps is not None:
            return self._stops(self._own_timesteps(np.array(request.timesteps), sigmas), sigmas)
        return self._stops(self.network_timesteps(sigmas), sigmas)

    def trained_levels(self) -> tuple[Level, ...]:
        """Return every trained level; a dynamic shift is not known yet."""
        every = np.arange(self.num_train_timesteps, 0, -1) / self.num_train_timesteps
        sigmas = every if self.use_dynamic_shifting else shift_sigmas(every, self.shift)
        return self._stops(self.network_timesteps(sigmas), sigmas)

    def network_timesteps(self, sigmas: F64) -> F64:
        """Return the network's timesteps at these levels: f64[n]."""
        real = real_type(self.numerics)
        rounded = sigmas.astype(real)
        timesteps: Float = (1 - rounded if self.invert_sigmas else rounded) * real(self.num_train_timesteps)
        return timesteps.astype(np.float64)

    def x0_weights(self, sigma: float) -> tuple[float, float]:
        """Return (a, b) with x0 = a * x + b * output: the network predicts noise - x0, or x0 - noise where levels are inverted."""
        return 1.0, sigma if self.invert_sigmas else -sigma

    def slope(self, sigma: float, sigma_next: float) -> float:
        """Return the weight of the network's output in a straight step: the flow's slope dx/dsigma is noise - x0."""
        return sigma - sigma_next if self.invert_sigmas else sigma_next - sigma

    def redraw(self, level: Level, level_next: Level) -> Weights:
        """Return the step to the predicted x0, and back with all fresh noise: x' = (1 - sigma') * x0_hat + sigma' * z."""
        return LinearStep(x0=level_next.alpha, noise=level_next.sigma).fold_x0(*self.x0_weights(level.sigma), level)

    def _stops(self, timesteps: F64, sigmas: F64) -> tuple[Level, ...]:
        """Return the levels of n timesteps and n noise levels, rounded to the numerics' type, and the end of the run."""
        real = real_type(self.numerics)
        shown, levels = [*timesteps.astype(real).tolist(), 0.0], [*sigmas.astype(real).tolist(), 0.0]
        return tuple(Level.of(timestep, 1 - sigma, sigma) for timestep, sigma in zip(shown, levels, strict=True))

    def _own_timesteps(self, timesteps: F64, sigmas: F64) -> F64:  # noqa: ARG002
        """Return the network's timesteps at the noise levels of a caller's timesteps: those themselves."""
        return timesteps

    def _at(self, shares: F64, shift: float) -> F64:  # noqa: ARG002
        """Return the noise levels of a caller's timesteps: those at which the network takes them."""
        return check_falling("noise levels of timesteps", 1 - shares if self.invert_sigmas else shares)

    def _shift_of(self, mu: float | None) -> float:
        """Return the shift of a run."""
        if not self.use_dynamic_shifting:
            return self._static_shift(mu)
        if mu is None:
            raise ConfigError("mu must be set where use_dynamic_shifting is on, got None; pass mu=sampler.grid.mu(image_seq_len)")
        return dynamic_shift(mu, self.time_shift_type, self.functions)

    def _static_shift(self, mu: float | None) -> float:
        """Return the settings' own shift."""
        if mu is not None:
            raise ConfigError(f"mu must be None unless use_dynamic_shifting is on, got {mu}; leave it out")
        return self.shift

    def _lowest(self) -> float:
        """Return the last level of a run before it is shifted: the smallest that was trained, 1 / T."""
        return 1 / self.num_train_timesteps

    def _spread(self, sigmas: F64) -> F64:
        """Stretch levels to ``shift_terminal``, and spread them by a formula between their ends, as the settings say."""
        levels = self._stretch(sigmas)
        if self.sigma_spacing.kind == "interpolated":
            return levels
        return self.sigma_spacing.spread(float(levels[0]), float(levels[-1]), len(levels), self.functions)

    def _stretch(self, sigmas: F64) -> F64:
        """Scale the shares of signal so that the last level is ``shift_terminal``: f64[n].

        Without any signal, as in a run of one step, nothing can be scaled: diffusers 0.42.1 divides 0 by 0.

        Source: Lightricks/LTX-Video@a01a171, ``ltx_video/schedulers/rf.py``.
        """
        signal = 1 - sigmas
        if self.shift_terminal is None or not signal[-1]:
            return sigmas
        stretched: F64 = 1 - signal * ((1 - self.shift_terminal) / signal[-1])
        return stretched


def check_falling(name: str, levels: F64) -> F64:
    """Return levels that a caller laid down, f64[n].

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
