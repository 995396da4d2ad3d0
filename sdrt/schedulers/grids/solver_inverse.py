"""The stops of DPM-Solver's family run backwards: from a picture to the noise that leads to it. They rise, and end at the noisiest."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F64, Array, float_dtype
from sdrt.errors import ConfigError
from sdrt.exact.sequences import interp, linspace
from sdrt.schedulers.core.prediction import Prediction
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.core.sampler import Grid
from sdrt.schedulers.core.settings import group
from sdrt.schedulers.grids.ratio import ratio_to_timestep, schedule_ratios
from sdrt.schedulers.grids.solver import SolverGrid, SolverLevels
from sdrt.schedulers.grids.timesteps import TimestepSpacing, round_timesteps

__all__ = ["InverseSolverGrid"]


@dataclass(frozen=True, kw_only=True)
class InverseSolverGrid(Grid):
    """The stops of a denoising run from its last to its first.

    Raises
    ------
    ConfigError : ``numerics`` that are not those of ``falling``
    """

    falling: SolverGrid = group(SolverGrid)  # the grid whose stops are visited backwards

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.numerics != self.falling.numerics:
            raise ConfigError(f"numerics must be those of the falling grid, {self.falling.numerics}, got {self.numerics}; pass both alike")

    @property
    def num_train_timesteps(self) -> int:
        """T, the length of the training schedule."""
        return self.falling.num_train_timesteps

    @property
    def is_flow(self) -> bool:
        """Whether the stops are a flow's."""
        return self.falling.is_flow

    @property
    def ends_at_zero(self) -> bool:
        """Whether a run ends without any noise: an inverse one ends with all of it."""
        return False

    def alpha_bar(self) -> F64:
        """Return the signal power at every trained timestep, f64[T]; :meth:`SolverGrid.alpha_bar`."""
        return self.falling.alpha_bar()

    def check_prediction(self, prediction: Prediction) -> None:
        """Raise ConfigError for a prediction that is not defined at these stops."""
        self.falling.check_prediction(prediction)

    def noise_scale(self, prediction: Prediction, alpha: float, sigma: float) -> float:
        """Return the noise scale that a prediction at a stop belongs to."""
        return self.falling.noise_scale(prediction, alpha, sigma)

    def levels(self, request: Request) -> SolverLevels:
        """Choose the stops of a run.

        Raises
        ------
        ConfigError : stops that it cannot visit
        """
        if self.is_flow:
            timesteps, sigmas = self._flow_stops(request)
        elif request.timesteps is not None or self.falling.sigma_spacing.kind == "interpolated":
            timesteps, sigmas = self._trained_stops(request)
        else:
            timesteps, sigmas = self._formula_stops(request.n)
        real = float_dtype(self.numerics)
        return SolverLevels(timesteps=timesteps, sigmas=sigmas.astype(real), is_flow=self.is_flow, functions=self.functions)

    def _trained_stops(self, request: Request) -> tuple[npt.NDArray[np.int64], F64]:
        """Return rising timesteps and their ratios, and the ratio of the noisiest, where the run ends."""
        ratios, usable = schedule_ratios(self.falling.schedule, self.falling.numerics), self.falling.num_usable_timesteps()
        asked = request.timesteps
        timesteps = self._place(usable, request.n) if asked is None else _check_rising(asked, len(ratios))
        own = interp(timesteps, np.arange(len(ratios)), ratios)
        return timesteps, np.append(own, max(float(ratios[usable - 1]), own[-1]))

    def _place(self, usable: int, n: int) -> npt.NDArray[np.int64]:
        """Place n timesteps, rising, among the usable ones."""
        spacing = self.falling.spacing
        match spacing.kind:
            case "linspace":
                return round_timesteps(linspace(0, usable - 1, n + 1)[-2::-1])[::-1]
            case "leading":
                return round_timesteps(np.arange(n - 1, -1, -1, dtype=np.float64) * (usable // (n + 1)) + spacing.steps_offset)[::-1]
            case _:
                return self._trailing(usable, n)

    def _trailing(self, usable: int, n: int) -> npt.NDArray[np.int64]:
        """Return 0, where the picture is, and the trailing timesteps but the noisiest, where the run ends."""
        falling = TimestepSpacing(kind="trailing").timesteps(Request(n=n), usable)
        return np.append(0, round_timesteps(falling)[:0:-1])

    def _formula_stops(self, n: int) -> tuple[npt.NDArray[np.int64], F64]:
        """Return timesteps and ratios of a formula: n + 1 of them, of which the last is the end."""
        trained, spacing = schedule_ratios(self.falling.schedule, self.falling.numerics), self.falling.sigma_spacing
        first, last = float(trained[-1]), float(trained[0])
        if spacing.kind == "ays":
            falling = np.append(spacing.spread(first, last, n, self.functions), last)
        else:
            falling = spacing.spread(first, last, n + 1, self.functions)
        ratios = falling[::-1]
        return self.falling.round_formula(ratio_to_timestep(ratios[:-1], trained, self.functions)), ratios

    def _flow_stops(self, request: Request) -> tuple[Array, F64]:
        """Return timesteps and levels of a flow, rising."""
        T = self.num_train_timesteps
        if request.timesteps is not None:
            own = np.array(request.timesteps)
            if own[0] <= 0 or own[-1] > T or np.any(np.diff(own) < 0):
                raise ConfigError(
                    f"timesteps of an inverse flow must lie in (0, {T}] and never fall, got {own[0]:g} to {own[-1]:g}; sort them"
                )
            return own, np.append(own / T, max(own[-1] / T, 1 - 1 / T))
        flow = self.falling.flow
        levels = self._rising(flow.from_lowest(request.n, T, flow.flow_shift), flow.lowest(T, flow.flow_shift))
        return self.falling.flow_timesteps(levels[:-1]), levels

    def _rising(self, levels: F64, lowest: float) -> F64:
        """Return the levels of a denoising flow from the lowest there is to the first."""
        return np.append(min(lowest, levels[-1]), levels[::-1])


def _check_rising(timesteps: tuple[float, ...], num_train_timesteps: int) -> npt.NDArray[np.int64]:
    """Return the timesteps that a caller laid down.

    Raises
    ------
    ConfigError : one outside [0, T - 1], or below the one before it
    """
    own = np.array(timesteps).astype(np.int64)
    if own.min() < 0 or own.max() > num_train_timesteps - 1 or np.any(np.diff(own) < 0):
        raise ConfigError(
            f"timesteps of an inverse run must lie in [0, {num_train_timesteps - 1}] and never fall, got {own[0]} to {own[-1]}; "
            "sort them from clean to noisy"
        )
    return own
