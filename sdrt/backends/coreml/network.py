"""A network of Core ML packages behind the canonical contract: any number of rows, float32, the contract's names."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, TypeAlias

import numpy as np

from sdrt.arrays import Array, Signature, TensorSpec
from sdrt.backends.coreml.adapters import Adapter, default_shape, laid_out, verdicts
from sdrt.backends.coreml.runner import Runner
from sdrt.backends.coreml.signatures import rows_of
from sdrt.errors import ArrayContractError, BackendError
from sdrt.models.components import ComponentName
from sdrt.models.coreml.interface import Ports

__all__ = ["CoreMLNetwork", "LazyRole"]

# The inputs of one network, for each call that the rows need.
_Groups: TypeAlias = Mapping[str, Sequence[Array]]


class LazyRole:
    """Packages that are opened when they are first needed: a U-Net that never meets a ControlNet needs one of its two roles.

    Parameters
    ----------
    ports : Ports
    opener : callable
    """

    def __init__(self, ports: Ports, opener: Callable[[], Runner]) -> None:
        self.ports = ports
        self._opener = opener
        self._runner: Runner | None = None
        self._lock = threading.Lock()
        # Core ML and ours both take calls from several threads, loading does not
        self._closed = False

    def get(self) -> Runner:
        """The runner; BackendError once it is closed."""
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


@dataclass(frozen=True, eq=False)
class CoreMLNetwork:
    """See `sdrt.backends.base.Network`. Closing one that was not bound ends those bound from it.

    Parameters
    ----------
    component : ComponentName
    signature : Signature
    adapter : Adapter
    plain : LazyRole or None
        Runs without the optional inputs; None: the other one does, with zeros for them.
    controlled : LazyRole or None
        Runs with them.
    bound : mapping of name to groups of rows, as the packages take them
    count : int or None
        Rows of what is bound.
    owner : bool
        Whether closing ends the runners.
    """

    component: ComponentName
    signature: Signature
    adapter: Adapter
    plain: LazyRole | None
    controlled: LazyRole | None = None
    bound: _Groups = field(default_factory=dict)
    count: int | None = None
    owner: bool = True

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        """Run once for every group of rows.

        Raises
        ------
        ArrayContractError : an input is missing, unknown or bound already, or arrays have different numbers of rows
        BackendError : the network is closed
        """
        self._check_names(inputs)
        count = self._count(inputs)
        given = {**self.bound, **self._packed(inputs)}
        optional = self.signature.optional_names()
        led = bool(optional) and optional[0] in given
        role = self.controlled if led or self.plain is None else self.plain
        if role is None:
            raise BackendError(f"{self.component}: has no package that takes {', '.join(inputs)}")
        runner = role.get()
        rows = self._rows(role.ports, count)
        fillers = self._fillers(role.ports, given)
        found: dict[str, list[Array]] = {}
        for index in range(-(-count // rows)):
            out = runner.predict({**{name: groups[index] for name, groups in given.items()}, **fillers})
            for name, package in self.adapter.found_outputs(role.ports).items():
                found.setdefault(name, []).append(out[package])
        return {name: self._canonical(name, values, count) for name, values in found.items()}

    def bind(self, **constants: Array) -> Self:
        """The same network with some inputs fixed: laid out, cast and cut into the packages' rows once."""
        allowed = {*self.signature.input_names(), *self.signature.optional_names()} - self.bound.keys()
        if unknown := sorted(constants.keys() - allowed):
            raise ArrayContractError(f"{self.component} bound input: does not take {', '.join(unknown)}, or has it already")
        role = self.plain or self.controlled
        if role is not None:
            role.get()
        count = self._count(constants) if constants else self.count
        copies = {name: value.copy() for name, value in constants.items()}
        return type(self)(
            self.component,
            self.signature,
            self.adapter,
            self.plain,
            self.controlled,
            bound={**self.bound, **self._packed(copies)},
            count=count,
            owner=False,
        )

    def close(self) -> None:
        """Give the memory back; twice is fine."""
        if self.owner:
            for role in (self.plain, self.controlled):
                if role is not None:
                    role.close()

    def _check_names(self, inputs: Mapping[str, Array]) -> None:
        required = set(self.signature.input_names()) - self.bound.keys()
        optional = set(self.signature.optional_names()) - self.bound.keys()
        if inputs.keys() not in (required, required | optional):
            names = ", ".join(sorted(required)) or "nothing"
            raise ArrayContractError(f"{self.component} input: takes {names}; got {', '.join(inputs) or 'nothing'}")

    def _count(self, inputs: Mapping[str, Array]) -> int:
        counts = {len(value) for value in inputs.values()} | ({self.count} if self.count is not None else set())
        if len(counts) != 1 or 0 in counts:
            raise ArrayContractError(f"{self.component} input: every array has as many rows, at least one; got {sorted(counts)}")
        return counts.pop()

    def _rows(self, ports: Ports, count: int) -> int:
        rows = rows_of(ports, self.signature.input_names())
        return count if rows is None else rows

    def _packed(self, inputs: Mapping[str, Array]) -> dict[str, list[Array]]:
        """Rows in the package's layout, in groups; the last group is filled up with its last row."""
        ports = next(role.ports for role in (self.controlled, self.plain) if role is not None)
        specs = {spec.name: spec for spec in (*self.signature.inputs, *self.signature.optional)}
        return {name: self._groups(specs[name], ports, value) for name, value in inputs.items()}

    def _groups(self, spec: TensorSpec, ports: Ports, value: Array) -> list[Array]:
        rows = self._rows(ports, len(value))
        short = -len(value) % rows
        padded = np.concatenate([value, np.repeat(value[-1:], short, axis=0)]) if short else value
        feature = ports.inputs[spec.name]
        return [laid_out(spec, feature, padded[start : start + rows]) for start in range(0, len(padded), rows)]  # type: ignore[arg-type]

    def _fillers(self, ports: Ports, given: _Groups) -> dict[str, Array]:
        """Zeros for what the contract does not know, and for residuals where nobody gives them."""
        names = [name for name in ports.inputs if name not in given]
        return {name: np.zeros(default_shape(ports.inputs[name]), ports.inputs[name].dtype or "float32") for name in names}

    def _canonical(self, name: str, values: Sequence[Array], count: int) -> Array:
        if name == "has_nsfw":
            return verdicts(values)[:count]
        whole = values[0] if len(values) == 1 else np.concatenate(values)
        return np.array(whole[:count], np.float32, order="C")
