"""Memory that is not there: one error with the ways out, whichever allocator it was that failed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sdrt.errors import BackendError

__all__ = ["give_back", "is_out_of_memory", "oom_as_backend_error"]

# What the allocators of host memory and of Metal say in a plain RuntimeError.
_PHRASES = ("can't allocate memory", "not enough memory", "out of memory", "could not create a memory object")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _PHRASES)


@contextmanager
def oom_as_backend_error(component: str, device: torch.device) -> Iterator[None]:
    """Turn a lack of memory into one BackendError; every other error passes."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, BackendError) or not is_out_of_memory(error):
            raise
        raise BackendError(
            f"{component}: {device} has not enough memory ({_reason(error)}); what helps: {_ways_out(component, device)}"
        ) from error


def give_back(device: torch.device) -> None:
    """Hand a device's unused memory back to the system; torch keeps it for itself otherwise."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _reason(error: BaseException) -> str:
    lines = [line for line in str(error).strip().split("\n") if line]
    return lines[0].rstrip(".") if lines else type(error).__name__


def _ways_out(component: str, device: torch.device) -> str:
    half = "bfloat16" if device.type == "cpu" else "float16"
    general = f"fewer or smaller pictures at a time, dtype='{half}', reduce_memory=True (one network at a time, tiled decoding)"
    own = {
        "vae_decoder": "VAE tiling",
        "vae_encoder": "VAE tiling",
        "unet": "guidance_batching='sequential'",
        "controlnet": "guidance_batching='sequential'",
    }.get(component)
    return general if own is None else f"{own}, {general}"
