"""A scheduler to be checked, in any of the forms that a port may have, with numpy arrays or torch tensors."""

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sdrt.arrays import F64, Array
from sdrt.errors import ConfigError
from sdrt.printable import shown
from sdrt.testing.foreign_arrays import as_numpy, is_torch, like_torch

__all__ = ["Maker", "Noise", "SchedulerPort", "step_parameters"]

# What a plain function of a step takes: the sample, the timestep, the network's output, and the noise where there is some.
_STEP_ARGUMENTS = 3


class SchedulerPort:
    """One run of a port: what it shows, and its steps."""

    timesteps: F64 | None = None  # None where it shows none
    sigmas: F64 | None = None
    init_noise_sigma: float | None = None
    changes_input = False  # whether a step changed an array that it was passed

    def scale(self, x: Array, i: int) -> F64 | None:  # noqa: ARG002
        """Return what the network gets in call i; None where the port leaves that to its caller."""
        return None

    def step(self, output: Array, i: int, x: Array, noise: "Noise") -> F64:
        """Return the sample after call i."""
        raise NotImplementedError

    def add_noise(self, x0: Array, noise: Array, i: int) -> F64 | None:  # noqa: ARG002
        """Return a picture with noise as at call i; None where the port has no such function."""
        return None


class Noise:
    """The noise of one call, in the form that a port takes it.

    Parameters
    ----------
    values : array
        What a draw at this place gives.
    seed : int
        Of the stream.
    skipped : int
        How many draws of this size were made before from the stream.
    further : mapping
        What else a step gets: its options, the network's unconditional output.
    """

    def __init__(self, values: Array, seed: int, skipped: int, further: Mapping[str, Any]) -> None:
        self.values = values
        self.seed = seed
        self.skipped = skipped
        self.further = further
        self.drawn: bool | None = None  # whether the port drew; None where that cannot be seen


class _Recorder:
    """A numpy source of noise with the habits of sdrt's streams and of ``numpy.random.Generator``, which notes that it was asked."""

    name = "torch"

    def __init__(self, noise: Noise) -> None:
        self._noise, self.seed = noise, noise.seed
        noise.drawn = False

    def normal(self, shape: Any, dtype: Any = np.float32) -> Array:
        """Return the noise of this call."""
        self._noise.drawn = True
        return self._noise.values.reshape(shape).astype(dtype)

    def standard_normal(self, size: Any = None, dtype: Any = np.float64) -> Array:
        """Return the noise of this call, as numpy's generators are asked for it."""
        return self.normal(self._noise.values.shape if size is None else size, dtype)


class ObjectPort(SchedulerPort):
    """An object with diffusers' habit.

    Parameters
    ----------
    scheduler : object
        With ``set_timesteps``, ``timesteps`` and ``step``, and what diffusers has beside them.
    n : int
        Steps.
    stops : mapping
        Further arguments of ``set_timesteps``.
    """

    def __init__(self, scheduler: Any, n: int, stops: Mapping[str, Any]) -> None:
        self.scheduler = scheduler
        scheduler.set_timesteps(n, **stops)
        self._shown = scheduler.timesteps
        self._torch = is_torch(self._shown)
        self._parameters = _parameters(scheduler.step)
        self.timesteps = as_numpy(self._shown).astype(np.float64)
        sigmas = getattr(scheduler, "sigmas", None)
        self.sigmas = None if sigmas is None else as_numpy(sigmas).astype(np.float64)
        self.init_noise_sigma = float(getattr(scheduler, "init_noise_sigma", 1.0))

    def scale(self, x: Array, i: int) -> F64 | None:
        """See the base class; an object without ``scale_model_input`` leaves the sample as it is."""
        scale = getattr(self.scheduler, "scale_model_input", None)
        return x.astype(np.float64) if scale is None else _float64(scale(self._own(x), self._shown[i]))

    def step(self, output: Array, i: int, x: Array, noise: Noise) -> F64:
        """See the base class."""
        options = {key: value if isinstance(value, int | float) else self._own(value) for key, value in noise.further.items()}
        generator = None
        if "generator" in self._parameters:
            generator = options["generator"] = self._generator(noise)
        else:
            for key in ("variance_noise", "noise"):
                if key in self._parameters:
                    options[key] = self._own(noise.values)
                    break
        before = generator.get_state().clone() if self._torch and generator is not None else None
        own_output, own_x = self._own(output), self._own(x)
        result = self.scheduler.step(own_output, self._shown[i], own_x, **options)
        self.changes_input |= not (np.array_equal(as_numpy(own_x), x) and np.array_equal(as_numpy(own_output), output))
        if before is not None and generator is not None:
            noise.drawn = not bool((generator.get_state() == before).all())
        if isinstance(result, tuple | list):
            result = result[0]
        return _float64(getattr(result, "prev_sample", result))

    def add_noise(self, x0: Array, noise: Array, i: int) -> F64 | None:
        """See the base class; flow-matching classes call it ``scale_noise``, and read a cursor there: each call is a new one's."""
        timesteps = self._shown[i : i + 1]
        if hasattr(self.scheduler, "add_noise"):
            return _float64(self.scheduler.add_noise(self._own(x0), self._own(noise), timesteps))
        if hasattr(self.scheduler, "scale_noise"):
            return _float64(copy.deepcopy(self.scheduler).scale_noise(self._own(x0), timesteps, self._own(noise)))
        return None

    def _generator(self, noise: Noise) -> Any:
        if not self._torch:
            return _Recorder(noise)
        import torch

        generator = torch.Generator().manual_seed(noise.seed)
        for _ in range(noise.skipped):
            torch.randn(noise.values.shape, generator=generator)
        return generator

    def _own(self, array: Array) -> Any:
        """Return an array of the port's library, which it may do with as it likes."""
        return like_torch(array) if self._torch else np.array(array)


class FunctionPort(SchedulerPort):
    """A plain function of (x, t, output), or of (x, t, output, noise); its caller knows the timesteps."""

    def __init__(self, function: Callable[..., Any], timesteps: Array) -> None:
        self._function = function
        self._timesteps = timesteps
        self._takes_noise = len(_parameters(function)) > _STEP_ARGUMENTS

    def step(self, output: Array, i: int, x: Array, noise: Noise) -> F64:
        """See the base class."""
        further = (np.array(noise.values),) if self._takes_noise else ()
        return _float64(self._function(np.array(x), self._timesteps[i], np.array(output), *further))


class Maker:
    """What a caller passes as ``make``: it knows which settings and which options of a step the port takes.

    Parameters
    ----------
    make : callable or object
        A class, or a function of settings as keywords, that gives an object with diffusers' habit or a plain function of a step; or one of
        these two itself.

    Raises
    ------
    ConfigError : none of these
    """

    def __init__(self, make: Any) -> None:
        if not callable(make) and not hasattr(make, "set_timesteps"):
            raise ConfigError(f"make must give a scheduler, or be one, got {shown(make)}; pass the class, or a function of its settings")
        self._make = make
        self.is_made = not inspect.isclass(make) and (hasattr(make, "set_timesteps") or _is_step(make))
        parameters = {} if self.is_made else _parameters(make)
        self.takes_steps = "num_inference_steps" in parameters and not inspect.isclass(make)
        takes_all = any(each.kind == each.VAR_KEYWORD for each in parameters.values())
        self.settings = None if takes_all else frozenset(parameters)

    def build(self, settings: Mapping[str, Any], n: int) -> Any:
        """Return a port's object or function for these settings."""
        if self.is_made:
            return self._make
        return self._make(**settings, **({"num_inference_steps": n} if self.takes_steps else {}))

    def open(self, settings: Mapping[str, Any], n: int, stops: Mapping[str, Any], timesteps: Array) -> SchedulerPort:
        """Build a port and lay out a run; ``timesteps`` are for a plain function, which has none."""
        return self.run(self.build(settings, n), n, stops, timesteps)

    def run(self, built: Any, n: int, stops: Mapping[str, Any], timesteps: Array) -> SchedulerPort:
        """Lay out a run of a port that has been built."""
        return ObjectPort(built, n, stops) if hasattr(built, "set_timesteps") else FunctionPort(built, timesteps)


def step_parameters(built: Any) -> frozenset[str] | None:
    """Return the options that a port's step takes; None if it takes any."""
    parameters = _parameters(built.step if hasattr(built, "set_timesteps") else built)
    return None if any(each.kind == each.VAR_KEYWORD for each in parameters.values()) else frozenset(parameters)


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _is_step(function: Any) -> bool:
    """Whether a function needs three arguments or more: a step, and no maker of schedulers."""
    needed = [each for each in _parameters(function).values() if each.default is each.empty and each.kind < each.VAR_POSITIONAL]
    return len(needed) >= _STEP_ARGUMENTS


def _float64(value: Any) -> F64:
    return as_numpy(value).astype(np.float64)
