"""diffusers' schedulers beside ours, over one network: what every parity test here runs on."""

import copy
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import diffusers
import numpy as np
import torch
from torch.overrides import TorchFunctionMode

import sdrt.rng
import sdrt.schedulers
from sdrt.schedulers import DiffusersScheduler
from sdrt.schedulers.catalogue import sampler_class

SEED = 93
SHAPE = (1, 4, 8, 8)

# Stable Diffusion 1.x
SD: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}

# The configuration of a model on disk, as Stable Diffusion 1.x has it.
MODEL: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    **SD,
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "clip_sample": False,
}


@dataclass(frozen=True)
class Run:
    """A whole run: its tables, and the sample after each call."""

    scheduler: Any
    timesteps: np.ndarray
    samples: list[np.ndarray]


def network(x: Any, t: Any) -> Any:
    """Answer nonlinearly in x and t, with + - * / alone: the same bits from torch and numpy."""
    return (x * x * 0.3 - x * 0.2 + float(t) * 5e-5) / (x * x * 0.5 + 1.0)


def answer(config: Mapping[str, Any], x: Any, t: Any) -> Any:
    """Answer as the network of a configuration does: with a variance in further channels, where it learned one."""
    output = network(x, t)
    if config.get("variance_type") not in ("learned", "learned_range"):
        return output
    variance = x * 0.7 / (x * x + 1.0) + 0.4  # in (0, 1), of either kind
    return torch.cat([output, variance], 1) if isinstance(x, torch.Tensor) else np.concatenate([output, variance], 1)


def first_noise(dtype: type[Any] = np.float32) -> np.ndarray:
    return sdrt.rng.stream("numpy", SEED).normal(SHAPE).astype(dtype)


def known(class_name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of those values that the class has."""
    return {"_class_name": class_name, **{key: value for key, value in values.items() if key in sampler_class(class_name).keys}}


def is_of_diffusers(class_name: str) -> bool:
    """Whether diffusers has a class of this name: those of samplers that it lacks are named in its manner."""
    return hasattr(diffusers, class_name)


def peer(config: Mapping[str, Any]) -> Any:
    """diffusers' scheduler of a configuration."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls algorithm_type dpmsolver deprecated
        return getattr(diffusers, config["_class_name"])(**{key: value for key, value in config.items() if not key.startswith("_")})


def laid_out(config: Mapping[str, Any], n: int, stops: Mapping[str, Any] | None = None) -> Any:
    """diffusers' scheduler with its timesteps set: n of them, or where ``stops`` says."""
    if stops and config["_class_name"] == "EDMEulerScheduler" and "sigmas" in stops:
        stops = {"sigmas": torch.as_tensor(stops["sigmas"])}  # it takes tensors alone
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it copies tensors to numpy in a way that numpy 2 deprecates
        scheduler = peer(config)
        scheduler.set_timesteps(**stops) if stops else scheduler.set_timesteps(n)
    return scheduler


def run_peer(
    config: Mapping[str, Any],
    n: int,
    *,
    step: Mapping[str, Any] | None = None,
    stops: Mapping[str, Any] | None = None,
    dtype: type[Any] = np.float32,
    wide: bool = False,
) -> Run:
    """Run diffusers, with torch's generator and options of its ``step``; ``wide`` has it compute from its float32 sigmas in float64."""
    scheduler = laid_out(config, n, stops)
    if wide:
        scheduler.sigmas = scheduler.sigmas.double()
    options = dict(step or {})
    if "generator" in inspect.signature(scheduler.step).parameters:
        options["generator"] = torch.Generator().manual_seed(SEED)
    x = torch.from_numpy(first_noise(dtype)) * getattr(scheduler, "init_noise_sigma", 1.0)
    samples = []
    with warnings.catch_warnings(), _single_draws(scheduler):
        warnings.simplefilter("ignore")
        for t in scheduler.timesteps:
            output = answer(config, seen(scheduler, x, t), t)
            x = scheduler.step(output, t, x, **options).prev_sample
            samples.append(x.numpy())
    return Run(scheduler, scheduler.timesteps.numpy(), samples)


@contextmanager
def _single_draws(scheduler: Any) -> Iterator[None]:
    """Let a float64 run of diffusers see the noise of its float32 run: torch draws other normals in float64."""
    module = sys.modules[type(scheduler).__module__]
    draw = getattr(module, "randn_tensor", None)
    if draw is None:
        yield
        return

    def single(shape: Any, *, dtype: Any = None, **options: Any) -> torch.Tensor:
        noise: torch.Tensor = draw(shape, dtype=torch.float32, **options)
        return noise.to(dtype)

    with mock.patch.object(module, "randn_tensor", single):
        yield


def seen(scheduler: Any, x: torch.Tensor, t: Any) -> torch.Tensor:
    """What diffusers' network sees of a sample; its flow-matching classes have no word for it."""
    scaled: torch.Tensor = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
    return scaled


def noised(scheduler: Any, picture: np.ndarray, noise: np.ndarray, timesteps: torch.Tensor) -> np.ndarray:
    """What diffusers makes of pictures at some timesteps, one each; its flow-matching classes call it scale_noise and keep a cursor."""
    if hasattr(scheduler, "add_noise"):
        mixed: np.ndarray = scheduler.add_noise(torch.from_numpy(picture), torch.from_numpy(noise), timesteps).numpy()
        return mixed
    rows = zip(torch.from_numpy(picture).split(1), timesteps.split(1), torch.from_numpy(noise).split(1), strict=True)
    return np.concatenate([copy.deepcopy(scheduler).scale_noise(*row).numpy() for row in rows])


def run_face(
    config: Mapping[str, Any],
    n: int,
    *,
    step: Mapping[str, Any] | None = None,
    stops: Mapping[str, Any] | None = None,
    dtype: type[Any] = np.float32,
    numerics: Any = "float32",
    compat: Any = None,
) -> Run:
    """Run ours the same way, with the stream `torch`."""
    scheduler = sdrt.schedulers.from_config(config, numerics, compat)
    scheduler.set_timesteps(**stops) if stops else scheduler.set_timesteps(n)
    stream = sdrt.rng.stream("torch", SEED)
    x = first_noise(dtype) * np.dtype(dtype).type(scheduler.init_noise_sigma)
    samples = []
    for t in scheduler.timesteps:
        output = answer(config, scheduler.scale_model_input(x, t), t)
        x = scheduler.step(output, t, x, generator=stream, **(step or {})).prev_sample
        samples.append(x)
    return Run(scheduler, scheduler.timesteps, samples)


def distance(ours: Run, theirs: Run) -> float:
    """Return the largest difference of the last samples over the largest value."""
    a, b = ours.samples[-1], theirs.samples[-1]
    return float(np.abs(a.astype(np.float64) - b).max() / np.abs(b).max())


def drive(face: DiffusersScheduler, x: np.ndarray) -> np.ndarray:
    """Run a face over its timesteps."""
    stream = sdrt.rng.stream("torch", SEED)
    for t in face.timesteps:
        x = face.step(network(face.scale_model_input(x, t), t), t, x, generator=stream).prev_sample
    return x


class CorrectlyRounded(TorchFunctionMode):
    """Let torch round sqrt, log and exp correctly.

    Its own come from MKL, whose last bit differs from the nearest float32 in 0.7 % of square roots on one processor and in 20 % on another;
    everything else in a scheduler is exact arithmetic. Under this mode whole runs can be compared bit for bit on any machine.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        exact = _ROUNDED.get(func)
        if exact is not None:
            return exact(args[0])
        if func in _POWERS and args[1] == 0.5:
            return _ROUNDED[torch.sqrt](args[0])
        if func is torch.randn and (kwargs or {}).get("dtype") == torch.float64:  # which are other normals, not more exact ones
            return func(*args, **{**kwargs, "dtype": torch.float32}).double()
        return func(*args, **(kwargs or {}))


def _rounded(function: Callable[[Any], Any]) -> Callable[[torch.Tensor], torch.Tensor]:
    def exact(x: torch.Tensor) -> torch.Tensor:
        with np.errstate(divide="ignore"):
            return torch.from_numpy(np.asarray(function(x.numpy().astype(np.float64))).astype(x.numpy().dtype))

    return exact


_ROUNDED: dict[Any, Callable[[torch.Tensor], torch.Tensor]] = {
    f: exact
    for exact, functions in (
        (_rounded(np.sqrt), (torch.sqrt, torch.Tensor.sqrt)),
        (_rounded(np.log), (torch.log, torch.Tensor.log)),
        (_rounded(np.exp), (torch.exp, torch.Tensor.exp)),
    )
    for f in functions
}
_POWERS = (torch.pow, torch.Tensor.pow, torch.Tensor.__pow__)
