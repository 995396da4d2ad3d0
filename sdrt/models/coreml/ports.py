"""Inputs and outputs of one network: those of its package, or of two halves joined."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.errors import ModelError

if TYPE_CHECKING:
    from sdrt.models.mlpackage.features import Feature

__all__ = ["Ports", "read_ports"]


@dataclass(frozen=True)
class Ports:
    """Inputs and outputs by name."""

    inputs: "Mapping[str, Feature]"
    outputs: "Mapping[str, Feature]"

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the default shape of an input or output; empty if it does not exist or has none."""
        feature = self.inputs.get(name) or self.outputs.get(name)
        if feature is None:
            return ()
        if feature.shape:
            return feature.shape
        return feature.choices[0] if feature.choices else tuple(low for low, _ in feature.ranges)


def read_ports(paths: Sequence[Path]) -> Ports:
    """Read a network's packages; what the first half hands to the second is no port.

    Raises
    ------
    ModelError : a package is damaged, or the halves have nothing to hand over
    """
    # imported here, since models in other layouts never read a package
    from sdrt.models.mlpackage.package import read_interface

    inputs: dict[str, Feature] = {}
    made: dict[str, Feature] = {}
    outputs: dict[str, Feature] = {}
    for index, path in enumerate(paths):
        interface = read_interface(path)
        names = {feature.name for feature in interface.inputs}
        if index and not names & made.keys():
            raise ModelError(
                f"{path}: must take some of what the first half gives ({', '.join(made)}), got inputs {', '.join(sorted(names))}; "
                "they are of different conversions: convert both again"
            )
        inputs |= {feature.name: feature for feature in interface.inputs if feature.name not in made}
        outputs = {feature.name: feature for feature in interface.outputs}
        made |= outputs
    return Ports(inputs, outputs)
