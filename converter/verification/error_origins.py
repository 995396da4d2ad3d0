"""Find the operations where an error originates.

Each operation's result is compared with the expected one, as the root mean square error over the root mean square of the expected values.
Two rules turn this into a verdict. First, an error counts only as far as it persists: a mean near zero has a large relative error that
becomes irrelevant once it is subtracted, so an operation's error is bounded by the error of its users, along the best path to an output.
Second, the origin is the operation where the error *grows* most over that of its inputs, not the one where it ends up largest. The first
result that becomes infinite or NaN ranks above everything else.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from converter.verification.chain import Chain
from sdrt.arrays import Array
from sdrt.backends.coreml import OpResult
from sdrt.metrics import relative_error
from sdrt.models.mlpackage.mil import Operation

__all__ = ["ErrorOrigin", "Measured", "error_origins", "measure_against_layers", "measure_against_walk"]

# Parameters of operations that hold weights, whose names contain the module's.
_WEIGHTS = ("weight", "gamma", "bias", "beta")
# Errors below this share of an output's final error do not count as inherited.
_NEGLIGIBLE = 1 / 30


@dataclass(frozen=True, kw_only=True)
class ErrorOrigin:
    """An operation, and the error that it adds.

    Parameters
    ----------
    operation : str
        Its type, such as ``conv``.
    name : str
        The name of its result in the program.
    place : str
        The module whose weights it uses, with underscores for dots, or ``after`` and the nearest such module before it.
    error_in, error_out : float
        The relative error of its worst input, and of its result as far as it persists.
    growth : float
        Their ratio, where negligible errors count as the largest negligible one.
    finite : bool
        False if the result is infinite or NaN, and should not be.
    """

    operation: str
    name: str
    place: str
    error_in: float
    error_out: float
    growth: float
    finite: bool = True

    def __str__(self) -> str:
        return f"{self.operation} {self.name!r} ({self.place})"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The relative error of one operation, or None without a comparison, and whether its result stayed finite."""

    operation: Operation
    error: float | None
    finite: bool = True


def measure_against_walk(suspect: Chain, clean: Chain, inputs: Mapping[str, Array]) -> Iterator[Measured]:
    """Compare two programs operation by operation, by name and type, running side by side.

    Parameters
    ----------
    suspect, clean : Chain
        The same program in two precisions, or with different weights.
    inputs : mapping
        The inputs of both.
    """
    shared = _keys(suspect) & _keys(clean)
    waiting: tuple[dict[str, OpResult], dict[str, OpResult]] = ({}, {})
    for pair in zip_longest(suspect.walk(inputs), clean.walk(inputs)):
        for result, queue in zip(pair, waiting, strict=True):
            if result is None:
                continue
            if (result.operation.type, result.operation.name) in shared:
                queue[result.operation.name] = result
            elif queue is waiting[0]:
                yield Measured(operation=result.operation, error=None)
        ready = [
            result.operation.name for result in pair if result is not None and all(result.operation.name in queue for queue in waiting)
        ]
        for name in dict.fromkeys(ready):
            yield _compare(waiting[0].pop(name), waiting[1].pop(name).values)


def measure_against_layers(suspect: Chain, layers: Mapping[str, Array], inputs: Mapping[str, Array]) -> Iterator[Measured]:
    """Compare a program with the outputs of modules, by the names of its weights; modules whose weights are used twice are skipped.

    Parameters
    ----------
    suspect : Chain
    layers : mapping of arrays
        By the module's path, with underscores for dots.
    inputs : mapping
    """
    modules = [module for operation in suspect.operations() if (module := _module(operation))]
    once = {module for module in modules if modules.count(module) == 1}
    for result in suspect.walk(inputs):
        module = _module(result.operation)
        expected = layers.get(module) if module in once else None
        if expected is None or expected.size != result.values[0].size:
            yield Measured(operation=result.operation, error=None)
        else:
            yield _compare(result, (expected.reshape(result.values[0].shape),))


def error_origins(measured: Sequence[Measured], outputs: Iterable[str], allowed: float) -> list[ErrorOrigin]:
    """List all operations by how much they let an error grow, the worst first.

    Parameters
    ----------
    measured : sequence of Measured
        In the program's order.
    outputs : iterable of str
        The outputs of the network.
    allowed : float
        The relative error that an output may have.
    """
    inherited = _inherited(measured)
    persisting = _persisting(measured, set(outputs), inherited)
    ends = [inherited[name] for name in outputs if name in inherited and np.isfinite(inherited[name])]
    floor = min(allowed, max(ends, default=allowed) or allowed) * _NEGLIGIBLE
    places = _places(measured)
    origins, broken = [], False
    for item in measured:
        name = item.operation.name
        if item.error is None:
            continue
        before = max((inherited[each] for each in item.operation.names() if each in inherited), default=0.0)
        growth = persisting[name] / max(floor, before)
        first = not item.finite and not broken and persisting[name] > floor
        broken = broken or first
        origins.append(
            ErrorOrigin(
                operation=item.operation.type,
                name=name,
                place=places[name],
                error_in=before,
                error_out=persisting[name],
                growth=growth,
                finite=not first,
            )
        )
    return sorted(origins, key=lambda origin: (origin.finite, -origin.growth))


def _keys(chain: Chain) -> set[tuple[str, str]]:
    return {(operation.type, operation.name) for operation in chain.operations()}


def _compare(result: OpResult, expected: Sequence[Array]) -> Measured:
    pairs = list(zip(result.values, expected, strict=False))
    finite = all(value.dtype.kind != "f" or np.isfinite(value).all() or not np.isfinite(right).all() for value, right in pairs)
    return Measured(operation=result.operation, error=max(relative_error(value, right) for value, right in pairs), finite=finite)


def _inherited(measured: Iterable[Measured]) -> dict[str, float]:
    """Return each value's relative error; without a comparison, that of its operation's worst input."""
    errors: dict[str, float] = {}
    for item in measured:
        error = item.error
        if error is None:
            error = max((errors[name] for name in item.operation.names() if name in errors), default=0.0)
        for output in item.operation.outputs:
            errors[output.name] = error
    return errors


def _persisting(measured: Sequence[Measured], outputs: set[str], inherited: Mapping[str, float]) -> dict[str, float]:
    """Return how much of each operation's error reaches an output: the largest bottleneck over all paths to one."""
    reaches: dict[str, float] = {}
    for item in reversed(measured):
        names = [output.name for output in item.operation.outputs]
        after = float("inf") if outputs & set(names) else max((reaches.get(name, 0.0) for name in names), default=0.0)
        kept = after if item.error is None else min(inherited[names[0]], after)
        reaches.update(dict.fromkeys(names, kept))
        for name in item.operation.names():
            reaches[name] = max(reaches.get(name, 0.0), kept)
    return reaches


def _places(measured: Iterable[Measured]) -> dict[str, str]:
    places: dict[str, str] = {}
    last_module: dict[str, str] = {}
    for item in measured:
        operation = item.operation
        own = _module(operation)
        nearest = own or next((last_module[name] for name in operation.names() if name in last_module), "")
        places[operation.name] = own or (f"after {nearest}" if nearest else "before any layer")
        if nearest:
            last_module.update({output.name: nearest for output in operation.outputs})
    return places


def _module(operation: Operation) -> str:
    """Return the module of an operation's weights, from the names made by coremltools' torch front end; empty if there is none."""
    for parameter in _WEIGHTS:
        for argument in operation.inputs.get(parameter, ()):
            if isinstance(argument, str):
                stem, ending, _ = argument.rpartition("_weight" if parameter in ("weight", "gamma") else "_bias")
                if ending and stem:
                    return stem
    return ""
