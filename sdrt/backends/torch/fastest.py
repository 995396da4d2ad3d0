"""The fastest settings of the torch backend for a machine, and why they are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sdrt.backends.torch.extra import import_packages
from sdrt.host import processor_flags, processor_name

__all__ = ["Fastest", "Machine", "fastest_options", "this_machine"]

_BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16")

_COMPILE = "compile=True is a little faster still from the second picture of a size on, after a minute or so of compiling"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What decides.

    Parameters
    ----------
    processor : str
        For the message.
    flags : frozenset of str
        The processor's features by Linux's names; those of bfloat16 are ``amx_bf16`` and ``avx512_bf16``.
    cuda : str or None
        The name of the first CUDA device.
    cuda_has_float16_units : bool
        Whether that device multiplies float16 in matrix units (compute capability 7 or more).
    mps : bool
        Whether there is a Metal device.
    """

    processor: str
    flags: frozenset[str] = frozenset()
    cuda: str | None = None
    cuda_has_float16_units: bool = True
    mps: bool = False


@dataclass(frozen=True, kw_only=True)
class Fastest:
    """Options for ``sdrt.load(..., backend="torch", **options)``, and the reason in one line."""

    options: Mapping[str, Any]
    reason: str


def fastest_options(machine: Machine) -> Fastest:
    """Choose the fastest settings for a machine, none of them with a long warm-up.

    >>> fastest_options(Machine(processor="a processor", flags=frozenset({"amx_bf16"}))).options["dtype"]
    'bfloat16'
    >>> print(fastest_options(Machine(processor="a processor")).reason)
    cpu, float32, channels last: a processor has no bfloat16 units, so that bfloat16 would be slower
    """
    if machine.cuda is not None and machine.cuda_has_float16_units:
        return _chosen("cuda", "float16", f"{machine.cuda} has matrix units for float16; {_COMPILE}")
    if machine.cuda is not None:
        return _chosen("cuda", "float32", f"{machine.cuda} has no matrix units for float16; {_COMPILE}")
    if machine.mps:
        return _chosen("mps", "float16", "Metal moves half the bytes in float16")
    if units := [flag for flag in _BFLOAT16_FLAGS if flag in machine.flags]:
        return _chosen("cpu", "bfloat16", f"{machine.processor} has bfloat16 units ({units[0]}); {_COMPILE}")
    return _chosen("cpu", "float32", f"{machine.processor} has no bfloat16 units, so that bfloat16 would be slower")


def this_machine() -> Machine:
    """Describe this machine.

    Raises
    ------
    MissingExtraError : torch, diffusers or transformers is not installed
    """
    import_packages()
    import torch

    here = Machine(processor=processor_name(), flags=_flags(), mps=torch.backends.mps.is_available())
    if not torch.cuda.is_available():
        return here
    units = torch.cuda.get_device_capability(0)[0] >= 7
    return replace(here, cuda=torch.cuda.get_device_name(0), cuda_has_float16_units=units)


def _chosen(device: str, dtype: str, reason: str) -> Fastest:
    channels_last = device != "mps"
    settings = ", ".join((device, dtype, *(["channels last"] if channels_last else [])))
    options = {"device": device, "dtype": dtype, "channels_last": channels_last, "compile": False}
    return Fastest(options=options, reason=f"{settings}: {reason}")


def _flags() -> frozenset[str]:
    """Ask torch for the processor's features, and Linux as well: torch before 2.12 or so does not know them."""
    import torch

    ask = getattr(torch.cpu, "get_capabilities", None)
    reported = {name for name, has in ask().items() if has is True} if ask is not None else set()
    return processor_flags() | reported
