"""Schedulers: the plan of each, and its steps on outputs that no network made."""

from collections.abc import Iterator
from functools import partial
from typing import Any, get_args

import numpy as np

from sdrt import rng
from sdrt.schedulers import Sampler, class_names, names, sampler_from_config, sampler_from_name
from sdrt.schedulers.grids.noise_schedule import BetaSchedule, NoiseSchedule
from sdrt.verification.check import Check, Stages
from sdrt.verification.digests import digest, numbers

__all__ = ["schedules"]

_MODEL: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_STEPS = 9
_SHAPE = (2, 4, 6, 5)
_ENDINGS = ("karras", "exponential", "beta", "ays", "sgm_uniform")
# Grids whose formulas no name chooses.
_SPACED = ("euler", "dpm++ 2m", "heun", "unipc", "deis", "lms")


def schedules() -> Iterator[Check]:
    """Yield a check of every named scheduler, of every class that has no name, and of other ways to choose noise levels."""
    yield Check("schedulers", "noise schedules", _noise_schedules)
    named, used = set(), set()
    for row in names():
        named.add(row.class_name)
        used.add(row.name)
        yield Check("schedulers", row.name, partial(_named, row.name))
    for class_name in class_names():
        if class_name not in named:
            yield Check("schedulers", class_name, partial(_of_class, class_name))
    for name in (f"{base} {ending}" for base in _SPACED for ending in _ENDINGS):
        if name not in used:
            yield Check("schedulers", name, partial(_named, name))


def _noise_schedules() -> Stages:
    for kind in get_args(BetaSchedule):
        yield kind, digest(NoiseSchedule(beta_schedule=kind).alpha_bar("exact"))
    yield "zero SNR", digest(NoiseSchedule(beta_schedule="scaled_linear", rescale_betas_zero_snr=True).alpha_bar("exact"))


def _named(name: str) -> Stages:
    yield from _run(sampler_from_name(name, _MODEL, "exact"))


def _of_class(class_name: str) -> Stages:
    yield from _run(sampler_from_config({**_MODEL, "_class_name": class_name}, "exact"))


def _run(sampler: Sampler) -> Stages:
    plan = sampler.plan(min(_STEPS, sampler.max_inference_steps))
    scales = np.asarray(plan.input_scale), np.asarray(plan.init_scale)
    yield "plan", digest(np.asarray(plan.timesteps, np.float64), plan.alphas, plan.sigmas, *scales, plan.draws, plan.starts)
    yield "coefficients", digest(*plan.coefficients)
    state = sampler.start(plan, numbers(_SHAPE, 1) * np.float32(plan.init_scale))
    paths = plan.brownian(_SHAPE, 7 if sampler.brownian_seed is None else sampler.brownian_seed, "exact")
    stream = rng.stream("torch", 7, numerics="exact")
    for i in range(plan.num_calls):
        output = numbers(_SHAPE, 2 + i)
        doubled = np.concatenate([output, output * np.float32(0.25)], axis=1) if sampler.doubled_output else output
        noise = None
        if plan.draws[i]:
            noise = stream.normal(_SHAPE) if paths is None else paths.normal_between(*plan.intervals[i])
        unguided = output * np.float32(0.9) if sampler.needs_unconditional else None
        state = sampler.step(plan, state, doubled, noise, unconditional_output=unguided)
        yield f"call {i + 1}", digest(state.x)
