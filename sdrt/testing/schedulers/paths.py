"""The path of a run: sdrt's own numbers call by call, along which a port, or a wrong sampler, is led step by step.

Every call gets the original's sample and the original's network output, so that errors do not add up: where a number is off, that call is
wrong.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sdrt.arrays import F64, Array
from sdrt.errors import SdrtError
from sdrt.rng import stream as make_stream
from sdrt.schedulers import Compat, DiffusersScheduler, Plan, from_config
from sdrt.testing.schedulers.cases import SchedulerCase, laid_out

__all__ = ["Path", "Transcript", "follow", "follow_timesteps", "retrace"]

# Of the largest value of a call: what float32 arithmetic in another order makes of it, with a margin.
CLOSE = 5e-5

# Runs that begin with more noise than this, as those of some schedules without signal do, lose all digits of the picture in float32.
_LARGEST_SIGMA = 5e3

_LARGEST_VALUE = 2e3

# Classes that make two calls at one timestep by design.
_VISITS_TWICE = {"PNDMScheduler"}

# How much more of its own rounding a port may have than sdrt's float32 has against its float64.
MARGIN = 16


@dataclass(frozen=True, eq=False)
class Transcript:
    """What a scheduler does along a path, in float64."""

    timesteps: F64
    init: float
    scaled: tuple[F64, ...]  # per call, what the network gets
    results: tuple[F64, ...]  # per call, the sample after it


@dataclass(frozen=True, eq=False)
class Path:
    """A run of sdrt's own scheduler."""

    case: SchedulerCase
    compat: Compat
    scheduler: DiffusersScheduler
    right: Transcript
    inputs: tuple[Array, ...]  # per call, f32 sample
    outputs: tuple[Array, ...]  # per call, f32 output of the network
    noises: tuple[Array, ...]  # per call, f32 noise; also where none is drawn
    draws: tuple[bool, ...]
    further: Mapping[str, Any]  # what else a step gets
    bounds: tuple[float, ...]  # per call, how far a result may be off
    brownian: bool  # whether noise is a Brownian path's, which no caller can pass
    cache: dict[Any, Any] = field(default_factory=dict)  # of transcripts of wrong samplers

    @property
    def skipped(self) -> tuple[int, ...]:
        """Per call, how many draws came before it."""
        return tuple(sum(self.draws[:i]) for i in range(len(self.draws)))


# Paths of this thread's last checks: a check of another port, or of the same one after a repair, goes over the same ones.
_KNOWN = threading.local()
_MOST_KNOWN = 500


def follow(case: SchedulerCase, compat: Compat) -> Path | None:
    """Run a case; None where sdrt refuses it, or its numbers overflow."""
    known: dict[Any, Path | None] = vars(_KNOWN).setdefault("paths", {})
    key = (repr(case.config), case.n, repr(case.step), repr(case.stops), case.seed, case.shape, compat)
    if key not in known:
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known[key] = _follow(case, compat)
    return known[key]


def _follow(case: SchedulerCase, compat: Compat) -> Path | None:
    scheduler = laid_out(case, compat)
    if scheduler is None or scheduler.init_noise_sigma > _LARGEST_SIGMA:
        return None
    return _followed(case, compat, scheduler, {"num_inference_steps": case.n, **case.stops})


def follow_timesteps(case: SchedulerCase, compat: Compat, timesteps: F64) -> Path | None:
    """Run a case over a port's own timesteps; None where sdrt cannot."""
    try:
        whole = [int(t) if float(t).is_integer() else float(t) for t in timesteps]
        scheduler = from_config(dict(case.config), compat=compat)
        scheduler.set_timesteps(timesteps=whole)
    except SdrtError:
        return None
    return _followed(case, compat, scheduler, {"timesteps": whole})


def _followed(case: SchedulerCase, compat: Compat, scheduler: DiffusersScheduler, request: Mapping[str, Any]) -> Path | None:
    sampler = scheduler.sampler
    try:
        plan = sampler.with_options(**case.step).plan(**request)
        makes_one_call = sampler.calls_per_step == 1 and case.name not in _VISITS_TWICE
        if makes_one_call and _stands_still(plan, case.config):
            return None
        with np.errstate(all="ignore"):
            return _run(case, compat, scheduler, plan)
    except SdrtError:
        return None


def _stands_still(plan: Plan, config: Mapping[str, Any]) -> bool:
    """Whether two timesteps are equal, which a loop cannot tell apart, or an order above the second divides by a step without length."""
    with np.errstate(divide="ignore"):
        ratios = plan.sigmas / plan.alphas
    order = max(config.get(key, 2) for key in ("solver_order", "predictor_order", "corrector_order"))
    return len(set(plan.timesteps.tolist())) < plan.num_calls or (order > 2 and bool((ratios[1:] == ratios[:-1]).any()))


def _run(case: SchedulerCase, compat: Compat, scheduler: DiffusersScheduler, plan: Plan) -> Path | None:
    stream, idle = make_stream("torch", case.seed), make_stream("torch", case.seed + 1000)
    brownian = plan.span is not None and any(plan.draws)
    noises = tuple(np.asarray((stream if draws and not brownian else idle).normal(case.shape)) for draws in plan.draws)
    timesteps = scheduler.timesteps
    x: Array = make_stream("torch", case.seed + 2000).normal(case.shape) * np.float32(scheduler.init_noise_sigma)
    inputs, scaled, outputs, results = [], [], [], []
    further = dict(case.step)
    if scheduler.sampler.needs_unconditional:
        further["unconditional_output"] = make_stream("torch", case.seed + 3000).normal(case.shape)
    for i, t in enumerate(timesteps):
        inputs.append(x)
        scaled.append(scheduler.scale_model_input(x, float(t)))
        outputs.append(_answer(scaled[i], float(t), doubled=scheduler.sampler.doubled_output))
        x = _step(scheduler, outputs[i], i, x, None if brownian else noises[i], further)
        results.append(x)
    if not all(np.abs(each).max() < max(_LARGEST_VALUE, 10 * scheduler.init_noise_sigma) for each in results):
        return None
    path = Path(
        case=case,
        compat=compat,
        scheduler=scheduler,
        right=_shown(scheduler, scaled, results),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        noises=noises,
        draws=plan.draws,
        further=further,
        bounds=(),
        brownian=brownian,
    )
    return _bounded(path)


def _bounded(path: Path) -> Path:
    """Add how far results may be off: a share of their size, and of what the same call in float64 gives."""
    wide = retrace(path, path.scheduler, dtype=np.float64)
    bounds = []
    for x, result, exact in zip(path.inputs, path.right.results, () if wide is None else wide.results, strict=True):
        size = max(float(np.abs(x).max()), float(np.abs(result).max()))
        bounds.append(CLOSE * size + MARGIN * float(np.abs(result - exact).max()))
    return replace(path, bounds=tuple(bounds))


def retrace(
    path: Path, scheduler: DiffusersScheduler, *, noises: Sequence[Array] | None = None, dtype: type[Any] = np.float32
) -> Transcript | None:
    """Lead another scheduler along a path: its own numbers for the original's samples and outputs; None where it makes other calls.

    Parameters
    ----------
    noises : sequence of arrays, optional
        In place of the path's.
    dtype : type
        Of the samples.
    """
    same_outputs = scheduler.sampler.doubled_output == path.scheduler.sampler.doubled_output
    if len(scheduler.timesteps) != len(path.inputs) or not same_outputs:
        return None
    scaled, results = [], []
    given = path.noises if noises is None else noises
    further = {key: value for key, value in path.further.items() if key in _taken(scheduler)}
    wide = {key: value.astype(dtype) if isinstance(value, np.ndarray) else value for key, value in further.items()}
    try:
        with np.errstate(all="ignore"):
            for i, (x, output) in enumerate(zip(path.inputs, path.outputs, strict=True)):
                noise = None if path.brownian and noises is None else given[i].astype(dtype)
                scaled.append(scheduler.scale_model_input(x, float(scheduler.timesteps[i])))
                results.append(_step(scheduler, output.astype(dtype), i, x.astype(dtype), noise, wide))
            return _shown(scheduler, scaled, results)
    except SdrtError:
        return None


def _taken(scheduler: DiffusersScheduler) -> tuple[str, ...]:
    unconditional = ("unconditional_output",) if scheduler.sampler.needs_unconditional else ()
    return (*scheduler.sampler.step_options, *unconditional)


def _step(scheduler: DiffusersScheduler, output: Array, i: int, x: Array, noise: Array | None, further: Mapping[str, Any]) -> Array:
    result = scheduler.step(output, float(scheduler.timesteps[i]), x, variance_noise=noise, **further)
    return np.asarray(result.prev_sample)


def _shown(scheduler: DiffusersScheduler, scaled: Sequence[Array], results: Sequence[Array]) -> Transcript:
    return Transcript(
        timesteps=scheduler.timesteps.astype(np.float64),
        init=scheduler.init_noise_sigma,
        scaled=tuple(each.astype(np.float64) for each in scaled),
        results=tuple(each.astype(np.float64) for each in results),
    )


def _answer(x: Array, t: float, *, doubled: bool) -> Array:
    """Answer as a network might, nonlinearly in x and t; with a variance in further channels, where one was learned."""
    output = (x * x * 0.3 - x * 0.2 + np.float32(t) * 5e-5) / (x * x * 0.5 + 1.0)
    whole = np.concatenate([output, x * 0.7 / (x * x + 1.0) + 0.4], 1) if doubled else output
    return whole.astype(np.float32)
