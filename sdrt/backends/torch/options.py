"""The torch backend's own options, checked against what this machine has."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch

from sdrt.backends.base import BackendOptions
from sdrt.backends.torch.compile_event import CompileEvent
from sdrt.errors import ConfigError

__all__ = ["TorchOptions"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_DEVICES = ("cpu", "cuda", "mps")


@dataclass(frozen=True, kw_only=True)
class TorchOptions:
    """How a network is to run.

    Parameters
    ----------
    device : torch.device
        cpu, cuda, cuda:<index> or mps.
    dtype : torch.dtype
        Of weights and products; the seam stays float32, or float64 with ``numerics="float64"``.
    compile : bool
        Whether ``torch.compile`` makes kernels of denoisers and autoencoders at the first call of each shape.
    channels_last : bool
        Whether convolutions keep channels innermost.
    on_compile : callable or None
        Told when a compilation begins and when it ends, in the thread that waits for it.
    threads : int or None
        Of torch's own pool, during a call.
    low_memory : bool
        Weights stay mapped where they need no conversion; autoencoders take one picture at a time.
    """

    device: torch.device
    dtype: torch.dtype
    compile: bool
    channels_last: bool
    on_compile: Callable[[CompileEvent], None] | None
    threads: int | None
    low_memory: bool

    @classmethod
    def read(cls, options: BackendOptions) -> Self:
        """Settle what was left open.

        Raises
        ------
        ConfigError : a device that is not here, a dtype that the device or the numerics exclude, a switch that is no bool
        """
        given = options.extra
        device = _device(given.get("device", "cpu"))
        dtype = _dtype(given.get("dtype"), options.numerics, device)
        channels_last = _switch(given, "channels_last")
        return cls(
            device=device,
            dtype=dtype,
            compile=bool(_switch(given, "compile")),
            # a copy of every convolution's weights is what low_memory avoids; mps has no kernels of this layout
            channels_last=device.type != "mps" and not options.low_memory if channels_last is None else channels_last,
            on_compile=_callback(given.get("on_compile")),
            threads=options.threads,
            low_memory=options.low_memory,
        )


def _device(value: Any) -> torch.device:
    try:
        device = torch.device(value)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f"device must be cpu, cuda, cuda:<index> or mps, got {value!r}; choose one of those") from error
    if device.type not in _DEVICES:
        raise ConfigError(f"device must be cpu, cuda, cuda:<index> or mps, got {value!r}; choose one of those")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {value!r} is not here: torch {torch.__version__} finds no CUDA device; take device='cpu'")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {value!r} is not here: this machine has {torch.cuda.device_count()} CUDA devices, counted from 0")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"device {value!r} is not here: torch {torch.__version__} finds no Metal device; take device='cpu'")
    return device


def _dtype(value: Any, numerics: str, device: torch.device) -> torch.dtype:
    name = str(value).removeprefix("torch.") if value is not None else None
    if numerics == "float64":
        if name not in (None, "float64"):
            raise ConfigError(f"numerics='float64' computes in float64; leave dtype out, got dtype={value!r}")
        if device.type == "mps":
            raise ConfigError("numerics='float64' runs on cpu and cuda; Metal has no float64, take device='cpu'")
        return torch.float64
    if name is None:
        return torch.float32
    if name not in _DTYPES:
        raise ConfigError(f"dtype must be {', '.join(_DTYPES)}, got {value!r}; choose one of those, or numerics='float64'")
    if name == "float16" and device.type == "cpu":
        raise ConfigError("dtype 'float16' is for cuda and mps; on cpu take 'bfloat16' or 'float32'")
    return _DTYPES[name]


def _switch(given: Any, name: str) -> bool | None:
    value: bool | None = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise ConfigError(f"{name} must be True, False or None, got {value!r}; None leaves it to the backend")
    return value


def _callback(value: Any) -> Callable[[CompileEvent], None] | None:
    if value is not None and not callable(value):
        raise ConfigError(f"on_compile must be a function of one CompileEvent or None, got {value!r}; pass a callable")
    callback: Callable[[CompileEvent], None] | None = value
    return callback
