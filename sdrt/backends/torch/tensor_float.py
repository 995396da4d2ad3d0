"""Keep float32 on CUDA devices float32: cuDNN's convolutions round their inputs to TensorFloat-32 (10 bits) unless they are told not to.

torch has that on by default for convolutions, and a program may switch it on for products too. One flag of the process decides, so calls at
the same time share it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch

from sdrt.forking import ForkLock

__all__ = ["full_float32"]

_Flag: TypeAlias = tuple[Any, str, object]  # owner, name, value

_lock = ForkLock()
_calls = 0
_outside: list[_Flag] = []


@contextmanager
def full_float32(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Compute in whole float32 while a call of that dtype runs on a CUDA device; the last of several calls at once restores the flags."""
    global _calls  # flags of the process, one count for the process
    if device.type != "cuda" or dtype != torch.float32:
        yield
        return
    with _lock:
        if _calls == 0:
            exact = _exact_flags()
            _outside[:] = [(owner, name, getattr(owner, name)) for owner, name, _ in exact]
            _set(exact)
        _calls += 1
    try:
        yield
    finally:
        with _lock:
            _calls -= 1
            if _calls == 0:
                _set(_outside)


def _exact_flags() -> list[_Flag]:
    """Return the flags that keep float32, in the older or the newer of torch's two forms: the one that this process uses."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    try:
        _ = cudnn.allow_tf32, matmul.allow_tf32
    except RuntimeError:
        # the older flags cannot be read once the newer ones, of torch 2.9, were set one by one
        return [(owner, "fp32_precision", "ieee") for owner in (cudnn.conv, matmul)]  # type: ignore[attr-defined]
    return [(owner, "allow_tf32", False) for owner in (cudnn, matmul)]


def _set(flags: list[_Flag]) -> None:
    for owner, name, value in flags:
        setattr(owner, name, value)
