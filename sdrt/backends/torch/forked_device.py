"""CUDA after a fork: the driver's state stays with the parent, and a child can neither use its networks nor open others."""

import torch

from sdrt.errors import BackendError

__all__ = ["check_forked_device"]


def check_forked_device(component: str, device: torch.device) -> None:
    """Check that a process may use a device.

    Raises
    ------
    BackendError : the device is a CUDA device, and the process was forked from one that had used CUDA
    """
    # torch has no public name for it, and asks itself so before it initialises CUDA
    if device.type == "cuda" and torch.cuda._is_in_bad_fork():
        raise BackendError(
            f"{component}: a CUDA device must be used by a process that was not forked from one that uses it, got a forked child; start "
            "worker processes by 'spawn', and load the pipeline in each"
        )
