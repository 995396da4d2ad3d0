"""The Core ML backend's own options."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from sdrt.backends.base import BackendOptions
from sdrt.errors import ConfigError
from sdrt.models.coreml.names import COMPUTE_UNITS, ComputeUnit
from sdrt.values import Choice, Function, Kind, Nullable, read_values

__all__ = ["CoreMLOptions", "LoadEvent"]

_KINDS: Mapping[str, Kind[Any]] = {
    "compute_unit": Choice(*COMPUTE_UNITS),
    "precision": Nullable(Choice("float32", "float16")),
    "on_load": Nullable(Function()),
}


@dataclass(frozen=True, kw_only=True)
class LoadEvent:
    """One package is being loaded, or has been.

    Parameters
    ----------
    path : Path
    seconds : float or None
        How long it took; None when it begins.
    """

    path: Path
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class CoreMLOptions:
    """How packages are to run.

    Parameters
    ----------
    compute_unit : str
        For Core ML itself; elsewhere it is recorded and changes nothing.
    precision : "float32", "float16" or None
        Of the executor, see `sdrt.backends.coreml.MLProgram`. On macOS None means Core ML itself, and a precision means the executor;
        elsewhere None is "float32".
    on_load : callable or None
        Told when a package begins to load and when it has.
    threads : int or None
        Of the executor.
    low_memory : bool
        Whether the executor widens weights at each use instead of keeping them.
    mmap : bool
        Whether the executor's weights are views of the disk.
    """

    compute_unit: ComputeUnit
    precision: Literal["float32", "float16"] | None
    on_load: Callable[[LoadEvent], None] | None
    threads: int | None
    low_memory: bool
    mmap: bool = True

    @classmethod
    def read(cls, options: BackendOptions) -> Self:
        """Settle what was left open.

        Raises
        ------
        ConfigError : an unknown compute unit or precision, or what no package can do: float64, leaving out layers of a text encoder
        """
        own = read_values("", options.extra, _KINDS, "choose one of those")
        if options.numerics != "float32":
            raise ConfigError(
                f"numerics={options.numerics!r} is for backends with weights; a Core ML package computes in the types that it was made in"
            )
        return cls(
            compute_unit=own.get("compute_unit", "ALL"),
            precision=own.get("precision"),
            on_load=own.get("on_load"),
            threads=options.threads,
            low_memory=options.low_memory,
        )

    @property
    def native(self) -> bool:
        """Whether Core ML itself predicts."""
        return sys.platform == "darwin" and self.precision is None


def recorded(given: BackendOptions) -> dict[str, str]:
    """Describe these options for the settings of a picture; ConfigError as of `CoreMLOptions.read`."""
    options = CoreMLOptions.read(given)
    runner = "Core ML" if options.native else f"executor, {options.precision or 'float32'}"
    return {"compute_unit": options.compute_unit, "runner": runner}
