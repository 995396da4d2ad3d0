"""Vectors of schedules, of every sampler's steps on given outputs, and of guidance."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdrt.arrays import F64, Array, Numerics
from sdrt.guidance import guidance_embedding, guide, rescale
from sdrt.schedulers import Sampler, names, sampler_from_name

__all__ = ["CONFIG", "guidance", "schedules", "steps"]

# Stable Diffusion's noise schedule, as its scheduler_config.json has it.
CONFIG: Mapping[str, Any] = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "epsilon",
}

_COUNTS = (4, 10)
_STEPS = 5
_SHAPE = (1, 2, 3, 4)
_CALLS = 40  # no sampler makes more in so many steps


def schedules() -> list[dict[str, Any]]:
    """Return what a run of each sampler is laid out as: timesteps, noise levels, scales, which calls draw noise."""
    rows = []
    for each in names():
        for count in _COUNTS:
            sampler = sampler_from_name(each.name, CONFIG, "float64")
            plan = sampler.plan(count)
            rows.append(
                {
                    "sampler": each.name,
                    "num_inference_steps": count,
                    "config": {key: value for key, value in sampler.config.items() if _is_plain(value)},
                    "timesteps": plan.timesteps.tolist(),
                    "alphas": plan.alphas.tolist(),
                    "sigmas": plan.sigmas.tolist(),
                    "init_scale": float(plan.init_scale),
                    "input_scale": [float(scale) for scale in plan.input_scale],
                    "draws": list(plan.draws),
                }
            )
    return rows


def steps() -> tuple[list[dict[str, Any]], Mapping[str, Array]]:
    """Return the samples of a run of each sampler, call by call, where the network's outputs and the noise are given numbers."""
    rows: list[dict[str, Any]] = []
    arrays: dict[str, Array] = {"start": _numbers("start")}
    for index in range(_CALLS):
        arrays |= {f"{kind}.{index}": _numbers(f"{kind} {index}") for kind in ("output", "noise", "unconditional")}
    for each in names():
        runs = {numerics: _run(sampler_from_name(each.name, CONFIG, numerics), arrays) for numerics in ("float32", "float64")}
        key = each.name.replace(" ", "_")
        for numerics, samples in runs.items():
            arrays[f"{key}.{numerics}"] = np.stack(samples).astype(numerics)
        sampler = sampler_from_name(each.name, CONFIG)
        rows.append(
            {
                "sampler": each.name,
                "num_inference_steps": _STEPS,
                "calls": len(runs["float64"]),
                "unconditional": sampler.needs_unconditional,
                "key": key,
            }
        )
    used = max(row["calls"] for row in rows)
    return rows, {name: x for name, x in arrays.items() if not name.partition(".")[2].isdigit() or int(name.partition(".")[2]) < used}


def guidance() -> tuple[list[dict[str, Any]], Mapping[str, Array]]:
    """Return two predictions, and what they are combined into."""
    cond, uncond = _numbers("cond").astype(np.float64), _numbers("uncond").astype(np.float64)
    guided = guide(uncond, cond, 7.5)
    arrays: dict[str, Array] = {
        "cond": cond,
        "uncond": uncond,
        "guided": guided,
        "rescaled": rescale(guided, cond, 0.7),
        "embedding": guidance_embedding(8.5, 16),
    }
    rows: list[dict[str, Any]] = [
        {"key": "guided", "formula": "uncond + guidance_scale * (cond - uncond)", "guidance_scale": 7.5},
        {"key": "rescaled", "formula": "guided brought to the deviation (ddof 1) of cond, by a share", "guidance_rescale": 0.7},
        {"key": "embedding", "formula": "sines, then cosines of 1000 * (guidance_scale - 1)", "guidance_scale": 8.5, "size": 16},
    ]
    return rows, arrays


def _run(sampler: Sampler, arrays: Mapping[str, Array]) -> list[Array]:
    dtype: Numerics = sampler.numerics
    plan = sampler.plan(_STEPS)
    state = sampler.start(plan, arrays["start"].astype(dtype))
    samples: list[Array] = []
    for index in range(plan.num_calls):
        output, noise, other = (arrays[f"{kind}.{index}"].astype(dtype) for kind in ("output", "noise", "unconditional"))
        state = sampler.step(
            plan,
            state,
            output,
            noise if plan.draws[index] else None,
            **({"unconditional_output": other} if sampler.needs_unconditional else {}),
        )
        samples.append(state.x)
    return samples


def _numbers(name: str) -> Array:
    """Numbers from -2 to 2 in steps of 1/64, which float32 holds exactly."""
    seed = [sum(name.encode()), len(name), *name.encode()]
    whole: F64 = np.random.RandomState(seed).randint(-128, 129, _SHAPE) / 64.0
    return whole.astype(np.float32)


def _is_plain(value: object) -> bool:
    """Whether JSON has it: an infinite s_tmax is left out, which is its default."""
    return value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))
