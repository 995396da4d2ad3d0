"""Inner values of packages, computed by the executor on any system."""

from collections.abc import Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.executor import OpResult, Precision
from sdrt.backends.coreml.program import MLProgram
from sdrt.errors import ConfigError
from sdrt.models.coreml.traced_values import TracedValue

__all__ = ["TraceablePackages"]


@dataclass(frozen=True)
class TraceablePackages:
    """The packages of one network, opened anew for each trace: what is fused for speed is taken apart for it.

    Parameters
    ----------
    paths : tuple of Path
        One, or the halves in their order.
    mapped : mapping
        What ``sdrt.json`` says of diffusers' module paths; empty for packages of other converters, whose values have the programs' names.
    precision : "float32" or "float16"
    threads : int or None
    mmap : bool
    """

    paths: tuple[Path, ...]
    mapped: Mapping[str, TracedValue] = field(default_factory=dict)
    precision: Precision = "float32"
    threads: int | None = None
    mmap: bool = True

    @cached_property
    def values(self) -> Mapping[str, TracedValue]:
        """The values that `trace` gives, by the names that it knows."""
        if self.mapped:
            return self.mapped
        operations = [operation for path in self.paths for operation in self._open(path).operations()]
        computed = [operation for operation in operations if not operation.type.startswith("const")]
        return {output.name: TracedValue(output.name) for operation in computed for output in operation.outputs}

    def trace(self, calls: Iterable[Mapping[str, Array]], names: Collection[str]) -> dict[str, Array]:
        """Run once for each group of rows, and put the values of all groups together.

        Parameters
        ----------
        calls : iterable of mappings
            What the packages take, by their own names.
        names : collection of str
            Of `values`.

        Raises
        ------
        ConfigError : a value that these packages do not compute
        """
        if unknown := [name for name in names if name not in self.values]:
            raise ConfigError(f"{self.paths[0]}: names must be of values that this package computes, got {unknown[0]!r}; trace another")
        wanted = {self.values[name].name for name in names}
        programs = [self._open(path) for path in self.paths]
        try:
            found = [_run(programs, call, wanted) for call in calls]
        finally:
            for program in programs:
                program.close()
        order = {value: index for index, value in enumerate(found[0])}
        if missing := [name for name in names if self.values[name].name not in order]:
            raise ConfigError(
                f"{self.paths[0]}: must compute the value of {missing[0]!r}, got a program without it; convert the model again"
            )
        return {
            name: np.concatenate([self.values[name].to_diffusers(values[self.values[name].name]) for values in found])
            for name in sorted(names, key=lambda name: order[self.values[name].name])
        }

    def _open(self, path: Path) -> MLProgram:
        return MLProgram(path, precision=self.precision, threads=self.threads, keep_weights=0, fuse=False, mmap=self.mmap)


def _run(programs: Iterable[MLProgram], inputs: Mapping[str, Array], wanted: Collection[str]) -> dict[str, Array]:
    """Run programs one after the other, and keep copies of the values that are wanted, in the order in which they are made."""
    values, kept = dict(inputs), dict[str, Array]()
    for program in programs:
        own = {feature.name: values[feature.name] for feature in program.inputs if feature.name in values}
        values |= _watch(program.walk(own), wanted, kept)
    return kept


def _watch(walk: Generator[OpResult, None, dict[str, Array]], wanted: Collection[str], kept: dict[str, Array]) -> dict[str, Array]:
    while True:
        try:
            result = next(walk)
        except StopIteration as end:
            outputs: dict[str, Array] = end.value
            return outputs
        for output, value in zip(result.operation.outputs, result.values, strict=True):
            if output.name in wanted:
                kept[output.name] = np.array(value, order="C")
