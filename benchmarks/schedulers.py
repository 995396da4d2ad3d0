"""What a scheduler step costs: sdrt's samplers, and the diffusers-style face over them, beside diffusers, in one process.

A step is timed in the middle of a run of 25, with the network output and fresh noise given. ``ratio`` is diffusers' median over sdrt's:
above 1 sdrt is faster. Both run on one thread: sdrt's steps always do, and torch's thread pool costs more than it gives where others use
the cores.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import diffusers
import numpy as np
import torch

import sdrt.rng
import sdrt.schedulers
from benchmarks import report
from sdrt.schedulers.config import sampler_class

_SHAPES = ((2, 4, 64, 64), (2, 16, 128, 128))
_STEPS = 25
_MIDDLE = 12
_MODEL: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "ddim inverse": ("DDIMInverseScheduler", {"clip_sample": False}),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}),
    "iplms": ("IPNDMScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
    "unclip": ("UnCLIPScheduler", {"clip_sample": False}),
    "plms": ("PNDMScheduler", {"skip_prk_steps": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler a": ("EulerAncestralDiscreteScheduler", {}),
    "dpm++ 2m": ("DPMSolverMultistepScheduler", {}),
    "dpm++ 3m": ("DPMSolverMultistepScheduler", {"solver_order": 3}),
}


class _Given:
    """A stream that hands out one array again and again, so that a stochastic step is timed without its draw."""

    name, seed = "given", 0

    def __init__(self, noise: np.ndarray) -> None:
        self._noise = noise

    def normal(self, shape: object) -> np.ndarray:
        """Return the one array, whatever the shape."""
        del shape
        return self._noise


def core_step(config: dict[str, Any], shape: tuple[int, ...]) -> Callable[[], object]:
    """One step of the sampler, in the middle of its run: pure, so that it can be repeated as it is."""
    sampler = sdrt.schedulers.sampler_from_config(config)
    plan = sampler.plan(_STEPS)
    x, output, noise = (sdrt.rng.stream("numpy", k).normal(shape) for k in range(3))
    state = sampler.start(plan, x)
    while state.position < _MIDDLE:
        state = sampler.step(plan, state, output, noise if plan.draws[state.position] else None)
    return lambda: sampler.step(plan, state, output, noise if plan.draws[_MIDDLE] else None)


def face_run(config: dict[str, Any], shape: tuple[int, ...]) -> Callable[[], object]:
    """A whole run through the face, network left out."""
    scheduler = sdrt.schedulers.from_config(config)
    x, output, noise = (sdrt.rng.stream("numpy", k).normal(shape) for k in range(3))
    given = _Given(noise)

    def run() -> None:
        scheduler.set_timesteps(_STEPS)
        sample = x
        for t in scheduler.timesteps:
            scheduler.scale_model_input(sample, t)
            sample = scheduler.step(output, t, sample, generator=given).prev_sample

    return run


def peer_run(config: dict[str, Any], shape: tuple[int, ...]) -> Callable[[], object]:
    """A whole run through diffusers, network left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = getattr(diffusers, config["_class_name"])(**{k: v for k, v in config.items() if k != "_class_name"})
    x, output = (torch.from_numpy(sdrt.rng.stream("numpy", k).normal(shape)) for k in range(2))

    def run() -> None:
        scheduler.set_timesteps(_STEPS)
        sample = x
        for t in scheduler.timesteps:
            scheduler.scale_model_input(sample, t)
            sample = scheduler.step(output, t, sample).prev_sample

    return run


def peer_step(config: dict[str, Any], shape: tuple[int, ...]) -> Callable[[], object]:
    """One step of diffusers, in the middle of its run: its cursor is set back each time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = getattr(diffusers, config["_class_name"])(**{k: v for k, v in config.items() if k != "_class_name"})
    scheduler.set_timesteps(_STEPS)
    x, output = (torch.from_numpy(sdrt.rng.stream("numpy", k).normal(shape)) for k in range(2))
    for t in scheduler.timesteps[:_MIDDLE]:
        scheduler.scale_model_input(x, t)
        scheduler.step(output, t, x)
    t = scheduler.timesteps[_MIDDLE]

    def step() -> None:
        if getattr(scheduler, "_step_index", None) is not None:
            scheduler._step_index = _MIDDLE
        scheduler.step(output, t, x)

    return step


@contextmanager
def _noise_given(class_name: str, shape: tuple[int, ...]) -> Iterator[None]:
    """Let a stochastic scheduler of diffusers find its noise instead of drawing it."""
    noise = torch.from_numpy(sdrt.rng.stream("numpy", 2).normal(shape))
    module = sys.modules[getattr(diffusers, class_name).__module__]
    with mock.patch.object(module, "randn_tensor", return_value=noise, create=True):
        yield


def _config(class_name: str, extra: dict[str, Any]) -> dict[str, Any]:
    """Return a case's configuration: of the model's schedule what its class takes."""
    sampler = sampler_class(class_name)
    model = {key: value for key, value in _MODEL.items() if key in sampler.keys and value in sampler.choices.get(key, (value,))}
    return {"_class_name": class_name, **model, **extra}


def measure(repeats: int = 60) -> dict[str, Any]:
    """Seconds of one step and of one run, by sampler and shape."""
    results: dict[str, Any] = {}
    torch.set_num_threads(1)
    with torch.inference_mode():
        for name, (class_name, extra) in _CASES.items():
            config = _config(class_name, extra)
            for shape in _SHAPES:
                step, peer = core_step(config, shape), peer_step(config, shape)
                with _noise_given(class_name, shape):
                    found: dict[str, Any] = {
                        "sdrt step": report.timed(step, repeats, warm_up=5),
                        "diffusers step": report.timed(peer, repeats, warm_up=5),
                        f"sdrt face, {_STEPS} steps": report.timed(face_run(config, shape), 5),
                        f"diffusers, {_STEPS} steps": report.timed(peer_run(config, shape), 5),
                    }
                found["ratio of a step"] = found["diffusers step"]["median"] / found["sdrt step"]["median"]
                found["ratio of a run"] = found[f"diffusers, {_STEPS} steps"]["median"] / found[f"sdrt face, {_STEPS} steps"]["median"]
                results[f"{name} {'x'.join(map(str, shape))}"] = found
    return results


if __name__ == "__main__":
    report.main("schedulers", measure)
