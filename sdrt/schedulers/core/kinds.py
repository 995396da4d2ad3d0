"""The kinds of values that annotations of settings stand for."""

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from sdrt.values import Anything, Choice, Flag, Integer, Kind, Nullable, Number, Text

__all__ = ["ANY_FLAG", "POSITIVE", "WHOLE", "kind_of", "whole"]

# A setting of JSON that is on or off: diffusers has null for off in some classes.
ANY_FLAG = Nullable(Flag())

POSITIVE = Number(0, above=True)
WHOLE = Integer(whole_floats=True)


def whole(minimum: int, maximum: int | None = None) -> Integer:
    """Return the kind of whole numbers in a range; 2.0 stands for 2, as some tools write it into JSON."""
    return Integer(minimum, maximum, whole_floats=True)


def kind_of(annotation: Any) -> Kind[Any]:
    """Return the kind of values that a field of this type may hold; anything at all where the type says too little.

    >>> kind_of(Literal["zero", "sigma_min"]).describe()
    "'zero' or 'sigma_min'"
    >>> kind_of(float | None).describe()
    'a finite number, or null'
    """
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if get_origin(annotation) is Literal:
        return Choice(*get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        parts = get_args(annotation)
        others = [kind_of(part) for part in parts if part is not NoneType]
        if len(others) == 1 and NoneType in parts:
            return Choice(None, *others[0].choices) if isinstance(others[0], Choice) else Nullable(others[0])
    return Anything()


_PLAIN: dict[Any, Kind[Any]] = {bool: Flag(), int: WHOLE, float: Number(), str: Text(length=200)}
