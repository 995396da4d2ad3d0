"""What a model needs to know of its packages: their inputs and outputs. Who reads them is handed in, since backends stand above models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from sdrt.errors import ModelError

__all__ = ["FeatureLike", "InterfaceLike", "PackageReader", "Ports", "read_ports"]

Shape: TypeAlias = tuple[int, ...]


class FeatureLike(Protocol):
    """An input or output as `sdrt.models.mlpackage.features.Feature` describes it."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def choices(self) -> tuple[Shape, ...]: ...
    @property
    def ranges(self) -> tuple[tuple[int, int | None], ...]: ...


class InterfaceLike(Protocol):
    """All of a package's."""

    @property
    def inputs(self) -> Sequence[FeatureLike]: ...
    @property
    def outputs(self) -> Sequence[FeatureLike]: ...


PackageReader: TypeAlias = Callable[[Path], InterfaceLike]


@dataclass(frozen=True)
class Ports:
    """Inputs and outputs of one network by name: those of a package, or of two halves joined."""

    inputs: Mapping[str, FeatureLike]
    outputs: Mapping[str, FeatureLike]

    def shape(self, name: str) -> Shape:
        """The default shape of an input or output; empty where it is not there or not said."""
        feature = self.inputs.get(name) or self.outputs.get(name)
        if feature is None:
            return ()
        if feature.shape:
            return feature.shape
        return feature.choices[0] if feature.choices else tuple(low for low, _ in feature.ranges)


def read_ports(paths: Sequence[Path], reader: PackageReader) -> Ports:
    """Join the halves of a network: what one half gives the next, nobody else sees.

    Raises
    ------
    ModelError : a package is damaged, or the halves have nothing to hand over
    """
    inputs: dict[str, FeatureLike] = {}
    made: dict[str, FeatureLike] = {}
    outputs: dict[str, FeatureLike] = {}
    for index, path in enumerate(paths):
        interface = reader(path)
        names = {feature.name for feature in interface.inputs}
        if index and not names & made.keys():
            raise ModelError(
                f"{path}: takes {', '.join(sorted(names))}, and the first half gives {', '.join(made)}: they are of different conversions; "
                "convert both again"
            )
        inputs |= {feature.name: feature for feature in interface.inputs if feature.name not in made}
        outputs = {feature.name: feature for feature in interface.outputs}
        made |= outputs
    return Ports(inputs, outputs)
