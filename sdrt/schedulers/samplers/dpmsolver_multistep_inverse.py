"""DPM-Solver(++) run backwards: from a picture to the noise that leads to it (Lu et al. 2022, arXiv:2211.01095)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F64, Array
from sdrt.errors import ConfigError
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.core.settings import Compat
from sdrt.schedulers.dpm_update import is_stochastic
from sdrt.schedulers.grids.ratio import interpolated, ratio_to_timestep
from sdrt.schedulers.grids.sigmas import FinalSigma
from sdrt.schedulers.samplers.dpmsolver_multistep import DPM_CHOICES, DPM_KEYS, DPMSolverMultistep
from sdrt.schedulers.scheduled import ScheduledSampler
from sdrt.schedulers.solver_stops import SolverStops, flow_timesteps, training_levels, usable_timesteps, whole
from sdrt.schedulers.spacing import place, rounded

__all__ = ["DPMSolverMultistepInverse"]


@dataclass(frozen=True, kw_only=True)
class DPMSolverMultistepInverse(DPMSolverMultistep):
    """The stops of a denoising run from its last to its first, and the same updates between them.

    A run ends at the noisiest timestep. Deterministic alone: where noise grows there is none to draw, and diffusers 0.42.1 gives NaN.
    """

    name: ClassVar[str] = "DPMSolverMultistepInverseScheduler"
    keys: ClassVar[Mapping[str, Any]] = DPM_KEYS | {"euler_at_final": False}
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = DPM_CHOICES | {"algorithm_type": ("dpmsolver++", "dpmsolver", "deis")}
    inverse: ClassVar[bool] = True
    cuts_cosine: ClassVar[bool] = False
    takes: ClassVar[frozenset[str]] = frozenset({"timesteps"})
    terminal_alpha_bar: ClassVar[float] = ScheduledSampler.terminal_alpha_bar
    compats: ClassVar[tuple[Compat, ...]] = ("diffusers",)

    final_sigma: FinalSigma = "sigma_min"

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_stochastic(self.algorithm_type):
            raise ConfigError(f"an inverse run draws no noise, got algorithm_type {self.algorithm_type}; take the one without sde")

    @property
    def ends_at_zero(self) -> bool:
        """Whether a run ends without any noise: an inverse one ends with all of it."""
        return False

    def _plan(self, request: Request) -> Plan:
        if self.flow.use_flow_sigmas:
            timesteps, levels = _flow_stops(self, request)
        elif request.timesteps is not None or self.sigma_spacing.kind == "interpolated":
            timesteps, levels = _trained_stops(self, request)
        else:
            timesteps, levels = _formula_stops(self, request.n)
        real = real_type(self.numerics)
        return self._planned(SolverStops(timesteps=timesteps, levels=levels.astype(real), flow=self.flow.use_flow_sigmas))


def _trained_stops(sampler: DPMSolverMultistepInverse, request: Request) -> tuple[npt.NDArray[np.int64], F64]:
    """Return rising timesteps and their levels, and the level of the noisiest, where the run ends."""
    training = training_levels(sampler)
    usable = usable_timesteps(sampler)
    timesteps = _given(request.timesteps, len(training)) if request.timesteps is not None else _placed(sampler, usable, request.n)
    levels = interpolated(training, timesteps.astype(np.float64))
    return timesteps, np.append(levels, max(float(training[usable - 1]), levels[-1]))


def _given(timesteps: tuple[float, ...], num_train_timesteps: int) -> npt.NDArray[np.int64]:
    """Return the timesteps that a caller laid down."""
    found = np.array(timesteps).astype(np.int64)
    if found.min() < 0 or found.max() > num_train_timesteps - 1 or np.any(np.diff(found) < 0):
        raise ConfigError(
            f"timesteps of an inverse run must lie in [0, {num_train_timesteps - 1}] and never fall, got {found[0]} to {found[-1]}; "
            "sort them from clean to noisy"
        )
    return found


def _placed(sampler: DPMSolverMultistepInverse, usable: int, n: int) -> npt.NDArray[np.int64]:
    """Place n timesteps, rising."""
    match sampler.timestep_spacing:
        case "linspace":
            return rounded(np.linspace(0, usable - 1, n + 1)[-2::-1])[::-1]
        case "leading":
            return rounded(np.arange(n - 1, -1, -1, dtype=np.float64) * (usable // (n + 1)) + sampler.steps_offset)[::-1]
        case _:
            return _trailing(sampler, usable, n)


def _trailing(sampler: DPMSolverMultistepInverse, usable: int, n: int) -> npt.NDArray[np.int64]:
    """Return 0, where the picture is, and the trailing timesteps but the noisiest, where the run ends.

    diffusers 0.42.1 calls the network at the noisiest too, for a step of no length, and takes the picture for one at
    the first of them.
    """
    if sampler.compat == "diffusers":
        return np.round(np.arange(usable, 0, -sampler.num_train_timesteps / n))[::-1].astype(np.int64) - 1
    return np.append(0, rounded(place("trailing", usable, n))[:0:-1])


def _formula_stops(sampler: DPMSolverMultistepInverse, n: int) -> tuple[npt.NDArray[np.int64], F64]:
    """Return timesteps and ratios of a formula: n + 1 of them, of which the last is the end.

    diffusers 0.42.1 takes n, and the last of them again, for a step of no length. It makes fewer calls where two timesteps are equal, whose
    levels then no longer belong to them.
    """
    training = training_levels(sampler)
    first, last, spread = float(training[0]), float(training[-1]), sampler.sigma_spacing.spread
    if sampler.compat != "diffusers":
        falling = np.append(spread(last, first, n), first) if sampler.sigma_spacing.kind == "ays" else spread(last, first, n + 1)
        levels = falling[::-1]
        return whole(sampler, ratio_to_timestep(levels[:-1], training)), levels
    levels = spread(first, last, n)
    fractional = ratio_to_timestep(levels, training)
    kept: F64 = np.unique(np.round(fractional) if sampler.sigma_spacing.kind == "karras" else fractional)
    return whole(sampler, kept), np.append(levels, levels[-1])[: len(kept) + 1]


def _flow_stops(sampler: DPMSolverMultistepInverse, request: Request) -> tuple[Array, F64]:
    """Return timesteps and levels of a flow, rising; diffusers 0.42.1 lets them fall, as if to denoise, and repeats the last."""
    flow, T = sampler.flow, sampler.num_train_timesteps
    if request.timesteps is not None:
        own = np.array(request.timesteps)
        if own[0] <= 0 or own[-1] > T or np.any(np.diff(own) < 0):
            raise ConfigError(f"timesteps of an inverse flow must lie in (0, {T}] and never fall, got {own[0]:g} to {own[-1]:g}; sort them")
        return own, np.append(own / T, max(own[-1] / T, 1 - 1 / T))
    falling = flow.from_lowest(request.n, T, flow.flow_shift)
    if sampler.compat == "diffusers":
        levels = np.append(falling, falling[-1])
    else:
        levels = np.append(min(flow.least(T, flow.flow_shift), falling[-1]), falling[::-1])
    return flow_timesteps(sampler, levels[:-1]), levels
