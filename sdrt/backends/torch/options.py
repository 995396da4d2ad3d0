"""The torch backend's own options, checked against what this machine has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from sdrt.backends.base import BackendOptions
from sdrt.backends.numerics import PLAIN_NUMERICS, check_numerics
from sdrt.backends.torch.compile_event import CompileEvent
from sdrt.errors import ConfigError
from sdrt.values import Flag, Function, Kind, Nullable, RefusedError, read_values

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
        ConfigError : a device that is not here, a dtype that the device or the numerics exclude, a value of another kind
        """
        check_numerics("torch", PLAIN_NUMERICS, options.numerics)
        own = read_values("", options.extra, _KINDS, "choose one of those")
        channels_last = own.get("channels_last")
        device = _present(own.get("device", torch.device("cpu")))
        return cls(
            device=device,
            dtype=_dtype(own.get("dtype"), options.numerics, device),
            compile=bool(own.get("compile")),
            # a copy of every convolution's weights is what low_memory avoids; mps has no kernels of this layout
            channels_last=device.type != "mps" and not options.low_memory if channels_last is None else channels_last,
            on_compile=own.get("on_compile"),
            threads=options.threads,
            low_memory=options.low_memory,
        )


class _Device(Kind[torch.device]):
    """One of torch's devices, by name or as its object."""

    def describe(self) -> str:
        return "cpu, cuda, cuda:<index> or mps"

    def convert(self, value: object) -> torch.device:
        if not isinstance(value, str | torch.device):
            raise RefusedError
        try:
            device = torch.device(value)
        except RuntimeError:
            raise RefusedError from None
        if device.type not in _DEVICES:
            raise RefusedError
        return device if device.type == "cuda" else torch.device(device.type)


class _DType(Kind[str]):
    """A dtype, by its name or as torch's or numpy's object; as its name."""

    def describe(self) -> str:
        return f"{', '.join(_DTYPES)}, or float64 with numerics='float64'"

    def convert(self, value: object) -> str:
        name = str(value).removeprefix("torch.") if isinstance(value, str | torch.dtype | np.dtype) else ""
        if name not in (*_DTYPES, "float64"):
            raise RefusedError
        return name


_KINDS: Mapping[str, Kind[Any]] = {
    "device": _Device(),
    "dtype": Nullable(_DType()),
    "compile": Nullable(Flag()),
    "channels_last": Nullable(Flag()),
    "on_compile": Nullable(Function()),
}


def _present(device: torch.device) -> torch.device:
    """Return the device if this machine has it."""
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device '{device}' is not available: torch {torch.__version__} finds no CUDA device; take device='cpu'")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device '{device}' is not available: this machine has {torch.cuda.device_count()} CUDA devices, counted from 0")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"device '{device}' is not available: torch {torch.__version__} finds no Metal device; take device='cpu'")
    return device


def _dtype(name: str | None, numerics: str, device: torch.device) -> torch.dtype:
    if numerics == "float64":
        if name not in (None, "float64"):
            raise ConfigError(f"numerics='float64' computes in float64; leave dtype out, got dtype={name!r}")
        if device.type == "mps":
            raise ConfigError("numerics='float64' runs on cpu and cuda; Metal has no float64, take device='cpu'")
        return torch.float64
    if name == "float64":
        raise ConfigError(f"dtype must be {', '.join(_DTYPES)}, got 'float64'; choose one of those, or numerics='float64'")
    if name == "float16" and device.type == "cpu":
        raise ConfigError("dtype 'float16' is for cuda and mps; on cpu take 'bfloat16' or 'float32'")
    return _DTYPES[name or "float32"]
