"""The operations in which an error is born.

Each operation's result is compared with what it should be, as the root mean square error over the root mean square of what is wanted. Two
things make that a verdict. An error counts only as far as it persists: a mean near zero has a large relative error that no one notices once
it is subtracted, so that an operation's error is bounded by that of whatever uses it, along the best path to an output. And the operation
where the error is born is the one where it *grows* most over that of its inputs, wherever it is largest in the end. What turns infinite or
NaN first leads, whatever else happens.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from converter.verification.chain import Chain
from converter.verification.figures import relative_error
from sdrt.arrays import Array
from sdrt.backends.coreml import Given
from sdrt.models.mlpackage.mil import Operation

__all__ = ["Birth", "Measured", "births", "measured_against_layers", "measured_against_walk"]

# Parameters of operations that hold weights, of which converters name the module.
_WEIGHTS = ("weight", "gamma", "bias", "beta")
# Errors of less than this share of what an output has in the end do not count as inherited.
_NEGLIGIBLE = 1 / 30


@dataclass(frozen=True, kw_only=True)
class Birth:
    """An operation, and the error that it adds.

    Parameters
    ----------
    operation : str
        Its type, such as ``conv``.
    name : str
        The value that it gives, by the program's name.
    place : str
        The module whose weights it uses, with underscores for dots, or ``after`` the nearest one before it.
    error_in, error_out : float
        The relative error of its worst input and of its result, the latter no larger than what persists of it.
    growth : float
        The second over the first, where errors too small to matter count as just that small.
    finite : bool
        False where the result is infinite or NaN and should not be.
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
    """One operation's relative error, or None where there is nothing to compare with; whether it turned infinite or NaN."""

    operation: Operation
    error: float | None
    finite: bool = True


def measured_against_walk(suspect: Chain, clean: Chain, inputs: Mapping[str, Array]) -> Iterator[Measured]:
    """Compare two programs, operation by operation, of the same names and types; both run side by side.

    Parameters
    ----------
    suspect, clean : Chain
        The same program in two precisions, or with other weights.
    inputs : mapping
        Of both.
    """
    shared = _keys(suspect) & _keys(clean)
    waiting: tuple[dict[str, Given], dict[str, Given]] = ({}, {})
    for pair in zip_longest(suspect.walk(inputs), clean.walk(inputs)):
        for given, own in zip(pair, waiting, strict=True):
            if given is None:
                continue
            if (given.operation.type, given.operation.name) in shared:
                own[given.operation.name] = given
            elif own is waiting[0]:
                yield Measured(operation=given.operation, error=None)
        ready = [given.operation.name for given in pair if given is not None and all(given.operation.name in own for own in waiting)]
        for name in dict.fromkeys(ready):
            yield _measured(waiting[0].pop(name), waiting[1].pop(name).values)


def measured_against_layers(suspect: Chain, layers: Mapping[str, Array], inputs: Mapping[str, Array]) -> Iterator[Measured]:
    """Compare a program with the outputs of modules, by the names that its weights have; a module whose weights are used twice is left out.

    Parameters
    ----------
    suspect : Chain
    layers : mapping of arrays
        By the module's path with underscores for dots.
    inputs : mapping
    """
    modules = [module for operation in suspect.operations() if (module := _module(operation))]
    once = {module for module in modules if modules.count(module) == 1}
    for given in suspect.walk(inputs):
        module = _module(given.operation)
        wanted = layers.get(module) if module in once else None
        if wanted is None or wanted.size != given.values[0].size:
            yield Measured(operation=given.operation, error=None)
        else:
            yield _measured(given, (wanted.reshape(given.values[0].shape),))


def births(measured: Sequence[Measured], outputs: Iterable[str], allowed: float) -> list[Birth]:
    """All operations by how much they let an error grow, the worst first.

    Parameters
    ----------
    measured : sequence of Measured
        In the program's order.
    outputs : iterable of str
        The values that the network gives.
    allowed : float
        The relative error that an output may have.
    """
    inherited = _inherited(measured)
    persisting = _persisting(measured, set(outputs), inherited)
    ends = [inherited[name] for name in outputs if name in inherited and np.isfinite(inherited[name])]
    floor = min(allowed, max(ends, default=allowed) or allowed) * _NEGLIGIBLE
    places = _places(measured)
    found, broken = [], False
    for item in measured:
        name = item.operation.name
        if item.error is None:
            continue
        before = max((inherited[each] for each in item.operation.names() if each in inherited), default=0.0)
        growth = persisting[name] / max(floor, before)
        first = not item.finite and not broken and persisting[name] > floor
        broken = broken or first
        found.append(
            Birth(
                operation=item.operation.type,
                name=name,
                place=places[name],
                error_in=before,
                error_out=persisting[name],
                growth=growth,
                finite=not first,
            )
        )
    return sorted(found, key=lambda birth: (birth.finite, -birth.growth))


def _keys(chain: Chain) -> set[tuple[str, str]]:
    return {(operation.type, operation.name) for operation in chain.operations()}


def _measured(given: Given, wanted: Sequence[Array]) -> Measured:
    pairs = list(zip(given.values, wanted, strict=False))
    finite = all(found.dtype.kind != "f" or np.isfinite(found).all() or not np.isfinite(right).all() for found, right in pairs)
    return Measured(operation=given.operation, error=max(relative_error(found, right) for found, right in pairs), finite=finite)


def _inherited(measured: Iterable[Measured]) -> dict[str, float]:
    """Each value's relative error; of what was not compared, that of its worst input."""
    errors: dict[str, float] = {}
    for item in measured:
        error = item.error
        if error is None:
            error = max((errors[name] for name in item.operation.names() if name in errors), default=0.0)
        for output in item.operation.outputs:
            errors[output.name] = error
    return errors


def _persisting(measured: Sequence[Measured], outputs: set[str], inherited: Mapping[str, float]) -> dict[str, float]:
    """How much of each operation's error reaches an output: the largest bottleneck over all paths there."""
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
    behind: dict[str, str] = {}
    for item in measured:
        operation = item.operation
        own = _module(operation)
        nearest = own or next((behind[name] for name in operation.names() if name in behind), "")
        places[operation.name] = own or (f"after {nearest}" if nearest else "before any layer")
        if nearest:
            behind.update({output.name: nearest for output in operation.outputs})
    return places


def _module(operation: Operation) -> str:
    """The module of an operation's weights, from the names that torch's converter gives them; empty where it has none."""
    for parameter in _WEIGHTS:
        for argument in operation.inputs.get(parameter, ()):
            if isinstance(argument, str):
                stem, found, _ = argument.rpartition("_weight" if parameter in ("weight", "gamma") else "_bias")
                if found and stem:
                    return stem
    return ""
