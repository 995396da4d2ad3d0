"""The calls of samplers and their plans, by themselves."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sdrt import rng, schedulers
from sdrt.schedulers.catalogue import SAMPLERS
from tests.fuzz.drawing import Draw
from tests.fuzz.values import NUMBER, WHOLE_FLOAT, Declared, any_value, ascii_of, has_nan, near, wrong_kinds

_X = np.random.default_rng(5).standard_normal((1, 4, 4, 4)).astype(np.float32)
_ARRAYS: tuple[Any, ...] = (
    _X[0],
    _X[:, :2],
    _X.astype(np.float64),
    _X.astype(np.float16),
    _X.astype(np.int32),
    _X * np.nan,
    _X[:0],
    np.float32(3),
)
_GOOD: Mapping[str, Mapping[str, Any]] = {
    "plan": {"num_inference_steps": 4},
    "timesteps": {"timesteps": [900, 500, 100]},
    "sigmas": {"sigmas": [10.0, 1.0, 0.1]},
    "image_plan": {"num_inference_steps": 4, "strength": 0.5},
    "with_options": {"eta": 0.5},
    "with_compat": {"compat": "diffusers"},
    "start": {"latents": _X, "at": 0},
    "step": {"model_output": _X, "noise": None, "unconditional_output": None},
    "add_noise": {"x0": _X, "noise": _X, "at": 1},
    "start_at": {"strength": 0.5},
    "brownian": {"shape": (1, 4, 4, 4), "seed": 3},
}
_KINDS: Mapping[str, Declared] = {"num_inference_steps": WHOLE_FLOAT, "strength": NUMBER, "at": WHOLE_FLOAT, "eta": NUMBER}


def _sampler(draw: Draw) -> schedulers.Sampler:
    sampler = schedulers.sampler_from_config({"_class_name": draw.choice(sorted(SAMPLERS))}, draw.choice(("float32", "float64")))
    draw.note(type(sampler).__name__)
    return sampler


def _arguments(draw: Draw, call: str) -> dict[str, Any]:
    given = dict(_GOOD[call])
    for name in draw.some(list(given), 2):
        value = given[name]
        if isinstance(value, np.ndarray) and draw.chance(0.6):
            given[name] = draw.choice(_ARRAYS)
        else:
            given[name] = near(draw, value) if draw.chance(0.4) else any_value(draw) if draw.chance(0.8) else value
        draw.note(f"{call} {name} = {ascii_of(given[name])}")
    return given


def calls(draw: Draw) -> str | None:
    """One call of a sampler."""
    sampler = _sampler(draw)
    call = draw.choice(list(_GOOD))
    given = _arguments(draw, call)
    with np.errstate(all="ignore"):
        found = _called(sampler, call, given)
    if wrong := wrong_kinds(given, _KINDS):
        return wrong
    good = all(not isinstance(value, np.ndarray) or value.dtype.kind != "f" or np.isfinite(value).all() for value in given.values())
    return f"NaN from {call}" if good and has_nan(*found) else None


def _called(sampler: schedulers.Sampler, call: str, given: dict[str, Any]) -> list[Any]:
    """Return the arrays that a call gives."""
    if call in ("plan", "timesteps", "sigmas"):
        plan = sampler.plan(**given)
        return [plan.alphas, plan.sigmas, plan.timesteps]
    if call in ("with_options", "with_compat"):
        getattr(sampler, call)(**given)
        return []
    if call == "image_plan":
        plan, at = sampler.image_plan(**given)
        return [plan.alphas, plan.sigmas, at]
    plan = sampler.plan(4)
    if call == "start_at":
        return [plan.start_at(**given)]
    if call == "brownian":
        path = plan.brownian(**given)
        return [] if path is None else [path.increment(path.t0, path.t1)]
    if call == "add_noise":
        return [sampler.add_noise(plan, **given)]
    if call == "start":
        return [sampler.start(plan, **given).x]
    return [sampler.step(plan, sampler.start(plan, _X), **given).x]


def with_streams(draw: Draw) -> str | None:
    """The face's steps with generators that are none, over all classes."""
    scheduler = schedulers.DiffusersScheduler(_sampler(draw))
    scheduler.set_timesteps(draw.choice((1, 2, 3)))
    generator: Any = draw.choice((rng.stream("torch", 1), None, any_value(draw)))
    draw.note(ascii_of(generator))
    doubled = 2 if scheduler.sampler.doubled_output else 1
    x = _X
    with np.errstate(all="ignore"):
        for timestep in scheduler.timesteps:
            output = np.concatenate([scheduler.scale_model_input(x, timestep)] * doubled, axis=1)
            x = scheduler.step(output, timestep, x, generator=generator).prev_sample
    return "NaN in a sample" if has_nan(x) else None


GENERATORS = {"sampler-calls": calls, "sampler-streams": with_streams}
