"""The noise that a scheduler puts on pictures: which scales it has, and which it should have."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.errors import SdrtError
from sdrt.rng import stream as make_stream
from sdrt.schedulers import Compat
from sdrt.testing.explain import Hypothesis, explain
from sdrt.testing.fault import Fault
from sdrt.testing.schedulers.cases import laid_out
from sdrt.testing.schedulers.paths import Path
from sdrt.testing.schedulers.port import Maker, SchedulerPort

__all__ = ["add_noise_faults"]

# Of a scale: what float32 makes of a root.
_CLOSE = 2e-4

# Runs that are looked at.
_MOST = 8


@dataclass(frozen=True, eq=False)
class _Mixed:
    """A picture with noise: the scales of both in a port's result."""

    path: Path
    call: int
    signal: float
    noise: float
    rights: tuple[tuple[float, float], ...]  # the original's, and where it corrects diffusers that of diffusers
    rest: float  # what neither explains

    @property
    def wanted(self) -> tuple[float, float]:
        """The original's scales."""
        return self.rights[0]

    @property
    def is_right(self) -> bool:
        """Whether the port's scales are the original's."""
        return any(self.matches(*right) for right in self.rights)

    def matches(self, signal: float, noise: float) -> bool:
        """Whether the port's scales are these."""
        near = abs(self.signal - signal) <= _CLOSE * max(1, abs(signal)) and abs(self.noise - noise) <= _CLOSE * max(1, abs(noise))
        return near and self.rest <= _CLOSE * max(1, abs(signal), abs(noise))

    def __str__(self) -> str:
        t = self.path.right.timesteps[self.call]
        alpha, sigma = self.wanted
        return (
            f"{self.path.case}: add_noise at timestep {t:g} must be {alpha:.5g} of the picture and {sigma:.5g} of the noise, "
            f"got {self.signal:.5g} and {self.noise:.5g}"
        )


def add_noise_faults(maker: Maker, fixed: Mapping[str, Any], paths: Sequence[Path], compats: Sequence[Compat]) -> list[Fault]:
    """Compare ``add_noise`` at the first, a middle and the last timestep of some runs."""
    mixed: list[_Mixed] = []
    for path in paths[:_MOST]:
        passed = {key: value for key, value in path.case.config.items() if key != "_class_name" and key not in fixed}
        try:
            mixed += _mixtures(path, maker.open(passed, path.case.n, path.case.stops, path.scheduler.timesteps), compats)
        except Exception as error:  # noqa: BLE001  # whatever the port raises is what is reported
            return [Fault("raises", f"{path.case}, add_noise: {type(error).__name__}: {error}")]
    return explain([each for each in mixed if not each.is_right], [each for each in mixed if each.is_right], _MISTAKES, str)


def _mixtures(path: Path, port: SchedulerPort, compats: Sequence[Compat]) -> Iterator[_Mixed]:
    config = path.case.config
    # diffusers' own add_noise disagrees with its step here: it exchanges picture and noise, or takes a flow's share for a ratio
    if config.get("invert_sigmas") or (path.case.name == "SASolverScheduler" and config.get("use_flow_sigmas")):
        return
    if port.timesteps is None or not _are_those_of(path, port.timesteps):
        return
    stream = make_stream("torch", path.case.seed + 4000)
    picture, noise = stream.normal(path.case.shape), stream.normal(path.case.shape)
    for call in sorted({0, len(path.inputs) // 2, len(path.inputs) - 1}):
        wanted = [scales for compat in compats if (scales := _wanted(path, call, compat, picture, noise)) is not None]
        result = port.add_noise(picture, noise, call) if wanted else None
        if result is not None:
            signal, share, rest = _scales(result, picture, noise)
            yield _Mixed(path, call, signal, share, tuple(wanted), rest)


def _are_those_of(path: Path, timesteps: F64) -> bool:
    return timesteps.shape == path.right.timesteps.shape and np.allclose(timesteps, path.right.timesteps, atol=0.02)


def _wanted(path: Path, call: int, compat: Compat, picture: Float, noise: Float) -> tuple[float, float] | None:
    scheduler = laid_out(path.case, compat)
    if scheduler is None or len(scheduler.timesteps) != len(path.inputs):
        return None
    try:
        right = scheduler.add_noise(picture, noise, scheduler.timesteps[call]).astype(np.float64)
    except SdrtError:
        return None
    return _scales(right, picture, noise)[:2]


def _scales(mixed: F64, picture: Float, noise: Float) -> tuple[float, float, float]:
    """Return how much of each is in a mixture, and the largest value that neither explains."""
    parts = np.stack([picture.ravel(), noise.ravel()], 1).astype(np.float64)
    found, *_ = np.linalg.lstsq(parts, mixed.ravel(), rcond=None)
    return float(found[0]), float(found[1]), float(np.abs(mixed.ravel() - parts @ found).max())


def _swapped(each: _Mixed) -> bool:
    return each.matches(*each.wanted[::-1])


def _without_roots(each: _Mixed) -> bool:
    return each.matches(each.wanted[0] ** 2, each.wanted[1] ** 2)


def _of_ratio(each: _Mixed) -> bool:
    """Whether the noise has the ratio sigma / alpha and the picture is left whole, or the other way round."""
    alpha, sigma = each.wanted
    norm = float(np.hypot(alpha, sigma))
    return each.matches(1.0, sigma / alpha if alpha else np.inf) or each.matches(alpha / norm, sigma / norm) or each.matches(1.0, sigma)


def _alpha_bar(path: Path) -> F64 | None:
    try:
        return path.scheduler.sampler.alpha_bar()
    except SdrtError:  # a solver over a flow
        return None


def _at_another_timestep(each: _Mixed) -> bool | None:
    """Whether the scales are those of another trained timestep, or of another call."""
    table = _alpha_bar(each.path)
    if table is None or each.rest > _CLOSE * max(1, abs(each.noise)):
        return None
    exploding = abs(each.wanted[0] - 1) < _CLOSE and each.wanted[1] > _CLOSE
    alphas = np.sqrt(table)
    sigmas = np.sqrt(1 - table)
    pairs = np.stack([np.ones_like(alphas), sigmas / alphas] if exploding else [alphas, sigmas], 1)
    near = np.abs(pairs - [each.signal, each.noise]) <= _CLOSE * np.maximum(1, pairs)
    return bool(near.all(1).any())


_MISTAKES: list[Hypothesis[_Mixed]] = [
    Hypothesis("add_noise_swaps_its_scales", "the picture has the noise's scale, and the noise the picture's", _swapped),
    Hypothesis("add_noise_without_roots", "the scales are the powers alpha_bar and 1 - alpha_bar, without their roots", _without_roots),
    Hypothesis("add_noise_in_other_units", "the scales belong to the other of x and x / alpha", _of_ratio),
    Hypothesis("add_noise_at_the_wrong_timestep", "the scales are those of another timestep", _at_another_timestep),
]
