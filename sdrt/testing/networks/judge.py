"""The two networks of a case: the one under test, and the numpy backend in float64, which is right; and how far apart results are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sdrt.arrays import F64, Array, Signature, check_array
from sdrt.backends import BackendOptions, Network
from sdrt.backends.numpy import NumpyBackend
from sdrt.backends.numpy.network import NumpyNetwork
from sdrt.backends.numpy.program import Program
from sdrt.errors import ArrayContractError
from sdrt.models import ComponentName, StoredModel
from sdrt.testing.networks.settings import Inputs

__all__ = ["Examinee", "Judge", "Outputs", "largest_error", "row_errors"]

Outputs = Mapping[str, Array]


@dataclass(frozen=True)
class Judge:
    """The numpy backend's network in float64, and networks that differ from it by one mistake."""

    network: NumpyNetwork
    _mistaken: dict[str, "Judge"] = field(default_factory=dict)

    @classmethod
    def open(cls, component: ComponentName, model: StoredModel) -> "Judge":
        """Open a component."""
        return cls(NumpyBackend().open(component, model, BackendOptions(numerics="float64")))

    def run(self, inputs: Inputs) -> Outputs:
        """Compute the outputs."""
        return self.network(**inputs)

    def mistaken(self, name: str, mistake: Callable[[Program], Program]) -> "Judge":
        """Return a judge that makes a mistake; the same one for each name. It is open as long as this one."""
        if name not in self._mistaken:
            self._mistaken[name] = Judge(self.network.changed(mistake))
        return self._mistaken[name]


@dataclass(frozen=True)
class Examinee:
    """The network under test.

    Parameters
    ----------
    network : Network
    dtype : float32 or float64
        Of floating arrays on its seam.
    """

    network: Network
    dtype: np.dtype[np.floating]

    def cast(self, inputs: Inputs) -> dict[str, Array]:
        """Return the inputs in the dtypes of the seam, in arrays of their own."""
        return {name: x.astype(np.int32 if x.dtype == np.int32 else self.dtype) for name, x in inputs.items()}

    def run(self, inputs: Inputs) -> Outputs:
        """Compute the outputs, as copies: a bad network may write over them at its next call."""
        return {name: x.copy() for name, x in self.network(**self.cast(inputs)).items()}

    def takes(self, inputs: Inputs) -> bool:
        """Whether its signature admits arrays of these shapes: a network may be fixed to some sizes."""
        signature: Signature = self.network.signature
        specs = {spec.name: spec for spec in (*signature.inputs, *signature.optional)}
        for name, x in self.cast(inputs).items():
            try:
                if name in specs:
                    check_array("", specs[name], x)
            except ArrayContractError:
                return False
        shapes = {name: x.shape for name, x in inputs.items()}
        joint = signature.joint_sizes
        return not joint or any(all(shapes.get(name, shape) == shape for name, shape in each.items()) for each in joint)


def row_errors(found: Outputs, wanted: Outputs) -> F64:
    """Return the largest difference in each row over the largest value of that output, of all outputs; infinity where shapes differ."""
    worst: F64 = np.zeros(max((len(x) for x in wanted.values()), default=0))
    for name, right in wanted.items():
        got = found.get(name)
        if got is None:
            continue
        if got.shape != right.shape:
            return np.full(len(worst), np.inf)
        apart = np.abs(got.astype(np.float64) - right).reshape(len(right), -1).max(axis=1, initial=0.0)
        worst = np.maximum(worst, np.nan_to_num(apart / max(float(np.abs(right).max(initial=0.0)), 1e-30), nan=np.inf))
    return worst


def largest_error(found: Outputs, wanted: Outputs) -> float:
    """Return the largest difference over the largest value, of all outputs that both have."""
    return float(row_errors(found, wanted).max(initial=0.0))
