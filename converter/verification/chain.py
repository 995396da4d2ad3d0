"""One package, or the halves of one, as a single network: what one half gives, the next one takes."""

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sdrt.arrays import Array
from sdrt.backends.coreml import Given, MLProgram, describe
from sdrt.backends.coreml.executor import Precision
from sdrt.models.mlpackage.features import Feature
from sdrt.models.mlpackage.mil import Operation

__all__ = ["Chain"]

# Weights of larger packages are widened again at each use: what all of them take as float32 is twice the package.
_KEPT_PACKAGE_BYTES = 2**29


class Chain:
    """Packages in the order in which they run.

    Parameters
    ----------
    packages : sequence of Path
        At least one.
    precision : "float32" or "float16"
        See `sdrt.backends.coreml.MLProgram`.
    fuse : bool
        False for walks over every operation.

    Raises
    ------
    ModelError : a package is damaged
    """

    def __init__(self, packages: Sequence[Path], precision: Precision = "float32", *, fuse: bool = True) -> None:
        sizes = [describe(path).size_bytes for path in packages]
        keep = None if sum(sizes) <= _KEPT_PACKAGE_BYTES else 0
        self._programs = [MLProgram(path, precision=precision, fuse=fuse, keep_weights=keep) for path in packages]

    @property
    def inputs(self) -> tuple[Feature, ...]:
        """What has to be given: all that a package takes and none before it gives."""
        made: set[str] = set()
        found: dict[str, Feature] = {}
        for program in self._programs:
            for feature in program.inputs:
                if feature.name not in made:
                    found.setdefault(feature.name, feature)
            made |= {feature.name for feature in program.outputs}
        return tuple(found.values())

    @property
    def output_names(self) -> tuple[str, ...]:
        """What comes out: all that a package gives and none after it takes."""
        names = [feature.name for program in self._programs for feature in program.outputs]
        taken = {feature.name for program in self._programs for feature in program.inputs}
        return tuple(name for name in names if name not in taken)

    def operations(self) -> tuple[Operation, ...]:
        """Those of all packages, constants included."""
        return tuple(operation for program in self._programs for operation in program.operations())

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name."""
        values: dict[str, Any] = dict(inputs)
        for program in self._programs:
            values |= program.predict(_taken(program, values))
        return {name: values[name] for name in self.output_names}

    def walk(self, inputs: Mapping[str, Array]) -> Generator[Given, None, None]:
        """What each computation gives, package after package."""
        values: dict[str, Any] = dict(inputs)
        for program in self._programs:
            values |= yield from program.walk(_taken(program, values))

    def close(self) -> None:
        """Give the memory back."""
        for program in self._programs:
            program.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _taken(program: MLProgram, values: Mapping[str, Any]) -> dict[str, Any]:
    return {feature.name: values[feature.name] for feature in program.inputs if feature.name in values}
