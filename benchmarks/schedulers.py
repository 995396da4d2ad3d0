"""Time of a scheduler step: sdrt's samplers, and the diffusers-style face over them, beside diffusers, in one process.

A step is timed in the middle of a run of 25, including all its network calls, with prepared network outputs and noise. ``ratio`` is
diffusers' median over sdrt's: above 1, sdrt is faster. Both run on one thread: sdrt's steps always do, and torch's thread pool costs more
than it gains when other processes use the cores.

The cases are the names of `sdrt.schedulers.names`, one for each kind of step: names that differ only in their noise levels are one case.
"""

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import diffusers
import numpy as np
import torch

import sdrt.rng
import sdrt.schedulers
from benchmarks import report
from sdrt.schedulers import Plan, Sampler, State
from sdrt.schedulers.catalogue import sampler_class

_SHAPES = ((2, 4, 64, 64), (2, 16, 128, 128))
_STEPS = 25
_MIDDLE = 12
_MODEL = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
# Configuration that departs from a class's defaults: latents are not clipped.
_OWN: dict[str, dict[str, Any]] = {
    "CMStochasticIterativeScheduler": {"clip_denoised": False},
    "DDIMScheduler": {"clip_sample": False},
    "DDPMScheduler": {"clip_sample": False},
}
# Keys that choose noise levels, and do not change the step.
_STOPS_ONLY = frozenset(
    {"final_sigmas_type", "sigma_max", "sigma_min", "sigma_spacing", "timestep_spacing"}
    | {f"use_{kind}_sigmas" for kind in ("ays", "beta", "exponential", "karras")}
    | {"use_lu_lambdas"}
)
_BROWNIAN = "its noise is that of a Brownian path, which takes far longer than the step and is drawn in different ways"
_NO_PEER = "diffusers has no such class"


class _RepeatedArray:
    """A stream that returns one array repeatedly, so that a stochastic step is timed without its draw."""

    name, seed = "given", 0

    def __init__(self, noise: np.ndarray) -> None:
        self._noise = noise

    def normal(self, shape: object) -> np.ndarray:
        """Return the one array, whatever the shape."""
        del shape
        return self._noise


def cases() -> dict[str, dict[str, Any]]:
    """Return the configuration of each case by its name."""
    configs: dict[str, dict[str, Any]] = {}
    seen: list[dict[str, Any]] = []
    for row in sdrt.schedulers.names():
        keys = sampler_class(row.class_name).keys
        values = {**_MODEL, **_OWN.get(row.class_name, {}), **row.says}
        config = {"_class_name": row.class_name, **{key: value for key, value in values.items() if key in keys}}
        whole = sdrt.schedulers.sampler_from_config(config).config
        steps = {key: value for key, value in whole.items() if key not in _STOPS_ONLY}
        if steps not in seen:
            seen.append(steps)
            configs[row.name] = config
    return configs


def reason_to_skip(config: Mapping[str, Any]) -> str | None:
    """Return the reason for not measuring a case, or None."""
    if not hasattr(diffusers, config["_class_name"]):
        return _NO_PEER
    if sdrt.schedulers.sampler_from_config(config).plan(_STEPS).intervals:
        return _BROWNIAN
    return None


def core_step(config: Mapping[str, Any], shape: tuple[int, ...]) -> Callable[[], object]:
    """Return one step of the sampler, in the middle of its run; it is pure, so it can be repeated."""
    sampler = sdrt.schedulers.sampler_from_config(config)
    plan = sampler.plan(_STEPS)
    x, output, noise = (sdrt.rng.stream("numpy", k).normal(shape) for k in range(3))
    begin, end = plan.starts[_MIDDLE], plan.starts[_MIDDLE + 1]
    state = _advance(sampler, plan, sampler.start(plan, x), begin, output, noise)
    return lambda: _advance(sampler, plan, state, end, output, noise)


def _advance(sampler: Sampler, plan: Plan, state: State, end: int, output: np.ndarray, noise: np.ndarray) -> State:
    """Make the calls up to ``end``."""
    unguided = {"unconditional_output": output} if sampler.needs_unconditional else {}
    while state.position < end:
        state = sampler.step(plan, state, output, noise if plan.draws[state.position] else None, **unguided)
    return state


def face_run(config: Mapping[str, Any], shape: tuple[int, ...]) -> Callable[[], object]:
    """Return a whole run through the face, without the network."""
    scheduler = sdrt.schedulers.from_config(config)
    x, output, noise = (sdrt.rng.stream("numpy", k).normal(shape) for k in range(3))
    given = _RepeatedArray(noise)

    def run() -> None:
        scheduler.set_timesteps(_STEPS)
        sample = x
        for t in scheduler.timesteps:
            scheduler.scale_model_input(sample, t)
            sample = scheduler.step(output, t, sample, generator=given).prev_sample

    return run


def peer_of(config: Mapping[str, Any]) -> Any:
    """Return diffusers' scheduler; its flow-matching classes get the scale_model_input that they lack."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = getattr(diffusers, config["_class_name"])(**{k: v for k, v in config.items() if k != "_class_name"})
    if not hasattr(scheduler, "scale_model_input"):
        scheduler.scale_model_input = lambda sample, timestep: sample  # noqa: ARG005
    return scheduler


def _set_timesteps(scheduler: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it copies tensors to numpy in a way that numpy 2 deprecates
        scheduler.set_timesteps(_STEPS)


def peer_run(config: Mapping[str, Any], shape: tuple[int, ...]) -> Callable[[], object]:
    """Return a whole run through diffusers, without the network."""
    scheduler = peer_of(config)
    x, output = (torch.from_numpy(sdrt.rng.stream("numpy", k).normal(shape)) for k in range(2))

    def run() -> None:
        _set_timesteps(scheduler)
        sample = x
        for t in scheduler.timesteps:
            scheduler.scale_model_input(sample, t)
            sample = scheduler.step(output, t, sample).prev_sample

    return run


def peer_step(config: Mapping[str, Any], shape: tuple[int, ...]) -> Callable[[], object]:
    """Return the same step of diffusers, which resets its cursor each time."""
    plan = sdrt.schedulers.sampler_from_config(config).plan(_STEPS)
    begin, end = plan.starts[_MIDDLE], plan.starts[_MIDDLE + 1]
    scheduler = peer_of(config)
    _set_timesteps(scheduler)
    x, output = (torch.from_numpy(sdrt.rng.stream("numpy", k).normal(shape)) for k in range(2))
    for t in scheduler.timesteps[:begin]:
        scheduler.scale_model_input(x, t)
        scheduler.step(output, t, x)
    timesteps = list(scheduler.timesteps[begin:end])

    def step() -> None:
        if getattr(scheduler, "_step_index", None) is not None:
            scheduler._step_index = begin
        for t in timesteps:
            scheduler.step(output, t, x)

    return step


@contextmanager
def _with_noise(class_name: str, shape: tuple[int, ...]) -> Iterator[None]:
    """Make a stochastic class of diffusers use this noise instead of drawing."""
    noise = torch.from_numpy(sdrt.rng.stream("numpy", 2).normal(shape))
    module = sys.modules[getattr(diffusers, class_name).__module__]
    if not hasattr(module, "randn_tensor"):  # a class without noise
        yield
        return
    with mock.patch.object(module, "randn_tensor", return_value=noise):
        yield


def compare(config: Mapping[str, Any], shape: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """Measure seconds of one step and of one run on both sides, and the ratio of diffusers' to sdrt's."""
    with _with_noise(config["_class_name"], shape):
        configs: dict[str, Any] = {
            "sdrt step": report.timed(core_step(config, shape), repeats, warm_up=5),
            "diffusers step": report.timed(peer_step(config, shape), repeats, warm_up=5),
            f"sdrt face, {_STEPS} steps": report.timed(face_run(config, shape), 5),
            f"diffusers, {_STEPS} steps": report.timed(peer_run(config, shape), 5),
        }
    configs["ratio of a step"] = configs["diffusers step"]["median"] / configs["sdrt step"]["median"]
    configs["ratio of a run"] = configs[f"diffusers, {_STEPS} steps"]["median"] / configs[f"sdrt face, {_STEPS} steps"]["median"]
    return configs


def measure(repeats: int = 60) -> dict[str, Any]:
    """Measure seconds of one step and of one run, by sampler and shape; report skipped cases with the reason."""
    results: dict[str, Any] = {}
    omitted: dict[str, str] = {}
    torch.set_num_threads(1)
    with torch.inference_mode():
        for name, config in cases().items():
            if (reason := reason_to_skip(config)) is not None:
                omitted[name] = reason
                continue
            for shape in _SHAPES:
                results[f"{name} {'x'.join(map(str, shape))}"] = compare(config, shape, repeats)
    return {**results, "left out": omitted}


if __name__ == "__main__":
    report.main("schedulers", measure)
