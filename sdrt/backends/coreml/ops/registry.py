"""The table of operations: what each is called in a program, and the function that computes it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

__all__ = ["OPERATIONS", "Operator", "Shape", "operation"]

Shape: TypeAlias = tuple[int, ...]
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Operator:
    """How one operation is computed.

    Parameters
    ----------
    function : callable
        Takes the operation's parameters by MIL's names: arrays, or tuples of arrays where MIL has a list. Floats come as float32 (or wider)
        whatever the program says; the result is rounded by the caller. It never changes its arguments; it may return a view of one.
    sizes : callable or None
        Where a result may be larger than what went in: its shape from the same parameters, so that it can be refused before it is made.
    moves : bool
        Whether numbers are only moved, never computed: the result needs no rounding.
    team : bool
        Whether the function takes the threads that it may use as its first argument.
    renamed : mapping
        Parameters whose MIL name is not the function's.
    parameters, required, lists : frozenset of str
        The function's parameters, those without a default, and those that are lists in MIL.
    """

    function: Callable[..., Any]
    sizes: Callable[..., Shape] | None = None
    moves: bool = False
    team: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)
    parameters: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()


OPERATIONS: dict[str, Operator] = {}


def operation(
    *names: str,
    sizes: Callable[..., Shape] | None = None,
    moves: bool = False,
    team: bool = False,
    renamed: Mapping[str, str] | None = None,
) -> Callable[[_Function], _Function]:
    """Enter a function into the table under these names; see `Operator`."""

    def enter(function: _Function) -> _Function:
        parameters = list(inspect.signature(function).parameters.values())[1 if team else 0 :]
        entry = Operator(
            function=function,
            sizes=sizes,
            moves=moves,
            team=team,
            renamed=renamed or {},
            parameters=frozenset(parameter.name for parameter in parameters),
            required=frozenset(parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty),
            lists=frozenset(parameter.name for parameter in parameters if str(parameter.annotation).startswith("tuple")),
        )
        for name in names:
            OPERATIONS[name] = entry
        return function

    return enter
