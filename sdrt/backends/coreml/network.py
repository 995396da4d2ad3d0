"""A network of Core ML packages behind the canonical contract: any number of rows, float32, the contract's names."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from sdrt.arrays import Array, Signature, TensorSpec
from sdrt.backends.binding import BoundNetwork
from sdrt.backends.coreml.adapters import Adapter, default_shape, nsfw_flags, to_package_layout
from sdrt.backends.coreml.runner import Runner
from sdrt.backends.coreml.signatures import rows_of
from sdrt.backends.coreml.tracing import TraceablePackages
from sdrt.errors import ArrayContractError, BackendError
from sdrt.forking import ForkLock
from sdrt.models.components import ComponentName
from sdrt.models.coreml.ports import Ports

__all__ = ["CoreMLNetwork", "LazyRole"]

# The inputs of one network, for each call that the rows need.
_Groups: TypeAlias = Mapping[str, Sequence[Array]]


class LazyRole:
    """Packages that are opened when they are first needed: a U-Net that never meets a ControlNet needs one of its two roles.

    Parameters
    ----------
    ports : Ports
    opener : callable
    traceable : TraceablePackages
    """

    def __init__(self, ports: Ports, opener: Callable[[], Runner], traceable: TraceablePackages) -> None:
        self.ports, self.traceable = ports, traceable
        self._opener = opener
        self._runner: Runner | None = None
        self._lock = ForkLock()
        # Core ML and ours both take calls from several threads, loading does not
        self._closed = False

    def get(self) -> Runner:
        """Return the runner, opened if it is not; BackendError once it is closed."""
        with self._lock:
            if self._closed:
                raise BackendError("this network is closed; open the model again to use it")
            if self._runner is None:
                self._runner = self._opener()
            return self._runner

    def close(self) -> None:
        """Close it for good; twice is fine."""
        with self._lock:
            self._closed = True
            runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()


class CoreMLNetwork(BoundNetwork):
    """Packages behind the contract.

    Parameters
    ----------
    component : ComponentName
    signature : Signature
    adapter : Adapter
    plain : LazyRole or None
        Runs without the optional inputs; None: the other one does, with zeros for them.
    controlled : LazyRole or None
        Runs with them.
    """

    def __init__(
        self, component: ComponentName, signature: Signature, adapter: Adapter, plain: LazyRole | None, controlled: LazyRole | None = None
    ) -> None:
        super().__init__(component, signature)
        self._adapter, self._plain, self._controlled = adapter, plain, controlled
        # what is bound, as the packages take it
        self._packed: _Groups = {}

    @property
    def input_dtypes(self) -> Mapping[str, str]:
        """The types to which the packages round their inputs, by the contract's names."""
        ports = next(role.ports for role in (self._plain, self._controlled) if role is not None)
        return {name: feature.dtype for name, feature in ports.inputs.items() if feature.dtype is not None}

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once for every group of rows.

        Raises
        ------
        ArrayContractError : arrays have different numbers of rows
        """
        count, role = self._count(inputs), self._role(inputs)
        runner = role.get()
        outputs: dict[str, list[Array]] = {}
        for call in self._calls(role, inputs, count):
            results = runner.predict(call)
            for name, package_name in self._adapter.found_outputs(role.ports).items():
                outputs.setdefault(name, []).append(results[package_name])
        return {name: self._canonical(name, values, count) for name, values in outputs.items()}

    def _bind(self, constants: Mapping[str, Array]) -> None:
        """Lay the inputs out, cast them and cut them into the packages' rows once."""
        if self._constants:
            self._count(self._constants)
        self._packed = {**self._packed, **self._pack(constants)}

    def _trace_names(self) -> tuple[str, ...]:
        return tuple(next(role for role in (self._plain, self._controlled) if role is not None).traceable.values)

    def _trace(self, names: Collection[str], inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the executor, whoever runs the network: rows that fill up the last group are cut off again."""
        count, role = self._count(inputs), self._role(inputs)
        computed = -(-count // self._rows(role.ports, count)) * self._rows(role.ports, count)
        values = role.traceable.trace(self._calls(role, inputs, count), names)
        return {name: value[: len(value) * count // computed].copy() for name, value in values.items()}

    def _release(self) -> None:
        self._packed = {}
        if self._parent is None:
            for role in (self._plain, self._controlled):
                if role is not None:
                    role.close()

    def _role(self, inputs: Mapping[str, Array]) -> LazyRole:
        optional = self._signature.optional_names()
        has_residuals = bool(optional) and optional[0] in inputs
        role = self._controlled if has_residuals or self._plain is None else self._plain
        if role is None:
            raise BackendError(f"{self._component}: has no package that takes {', '.join(inputs)}; convert one into this folder")
        return role

    def _calls(self, role: LazyRole, inputs: Mapping[str, Array], count: int) -> Iterator[dict[str, Array]]:
        """Give what a package takes, for one group of rows after another."""
        groups = {**self._packed, **self._pack({name: x for name, x in inputs.items() if name not in self._constants})}
        fillers = self._fillers(role.ports, inputs)
        for index in range(-(-count // self._rows(role.ports, count))):
            yield {**{name: each[index] for name, each in groups.items()}, **fillers}

    def _count(self, inputs: Mapping[str, Array]) -> int:
        counts = {len(value) for value in inputs.values()}
        if len(counts) != 1 or 0 in counts:
            raise ArrayContractError(
                f"{self._component} input: arrays must have equally many rows, at least one, got {sorted(counts)}; pass as many of each"
            )
        return counts.pop()

    def _rows(self, ports: Ports, count: int) -> int:
        rows = rows_of(ports, self._signature.input_names())
        return count if rows is None else rows

    def _pack(self, inputs: Mapping[str, Array]) -> dict[str, list[Array]]:
        """Rows in the package's layout, in groups; the last group is filled up with its last row."""
        ports = next(role.ports for role in (self._controlled, self._plain) if role is not None)
        specs = {spec.name: spec for spec in (*self._signature.inputs, *self._signature.optional)}
        return {name: self._groups(specs[name], ports, value) for name, value in inputs.items()}

    def _groups(self, spec: TensorSpec, ports: Ports, value: Array) -> list[Array]:
        rows = self._rows(ports, len(value))
        short = -len(value) % rows
        padded = np.concatenate([value, np.repeat(value[-1:], short, axis=0)]) if short else value
        feature = ports.inputs[spec.name]
        return [to_package_layout(spec, feature, padded[start : start + rows]) for start in range(0, len(padded), rows)]

    def _fillers(self, ports: Ports, given: Mapping[str, Array]) -> dict[str, Array]:
        """Zeros for what the contract does not know, and for residuals where nobody gives them."""
        names = [name for name in ports.inputs if name not in given]
        return {name: np.zeros(default_shape(ports.inputs[name]), ports.inputs[name].dtype or "float32") for name in names}

    def _canonical(self, name: str, values: Sequence[Array], count: int) -> Array:
        if name == "has_nsfw":
            return nsfw_flags(values)[:count]
        whole = values[0] if len(values) == 1 else np.concatenate(values)
        return np.array(whole[:count], np.float32, order="C")
