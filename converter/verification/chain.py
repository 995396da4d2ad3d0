"""Run one package, or the halves of one, as a single network: the outputs of one half are inputs of the next."""

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sdrt.arrays import Array
from sdrt.backends.coreml import MLProgram, OpResult, describe
from sdrt.backends.coreml.executor import Precision
from sdrt.models.mlpackage.features import Feature
from sdrt.models.mlpackage.mil import Operation

__all__ = ["Chain"]

# Weights of larger packages are widened again at each use, since all of them in float32 take twice the package's size.
_KEPT_PACKAGE_BYTES = 2**29


class Chain:
    """Packages in the order of execution.

    Parameters
    ----------
    packages : sequence of Path
        At least one.
    precision : "float32" or "float16"
        See `sdrt.backends.coreml.MLProgram`.
    fuse : bool
        False for walks that visit every operation.

    Raises
    ------
    ModelError : a damaged package
    """

    def __init__(self, packages: Sequence[Path], precision: Precision = "float32", *, fuse: bool = True) -> None:
        sizes = [describe(path).size_bytes for path in packages]
        keep = None if sum(sizes) <= _KEPT_PACKAGE_BYTES else 0
        self._programs = [MLProgram(path, precision=precision, fuse=fuse, keep_weights=keep) for path in packages]

    @property
    def inputs(self) -> tuple[Feature, ...]:
        """The inputs to pass: those of each package that no earlier one makes."""
        made: set[str] = set()
        inputs: dict[str, Feature] = {}
        for program in self._programs:
            for feature in program.inputs:
                if feature.name not in made:
                    inputs.setdefault(feature.name, feature)
            made |= {feature.name for feature in program.outputs}
        return tuple(inputs.values())

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs: those of each package that no later one takes."""
        names = [feature.name for program in self._programs for feature in program.outputs]
        taken = {feature.name for program in self._programs for feature in program.inputs}
        return tuple(name for name in names if name not in taken)

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations of all packages, including constants."""
        return tuple(operation for program in self._programs for operation in program.operations())

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return outputs by name."""
        values: dict[str, Any] = dict(inputs)
        for program in self._programs:
            values |= program.predict(_taken(program, values))
        return {name: values[name] for name in self.output_names}

    def walk(self, inputs: Mapping[str, Array]) -> Generator[OpResult, None, None]:
        """Yield the result of each computation, package by package."""
        values: dict[str, Any] = dict(inputs)
        for program in self._programs:
            values |= yield from program.walk(_taken(program, values))

    def close(self) -> None:
        """Release the memory."""
        for program in self._programs:
            program.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _taken(program: MLProgram, values: Mapping[str, Any]) -> dict[str, Any]:
    return {feature.name: values[feature.name] for feature in program.inputs if feature.name in values}
