"""What a model says of itself: its inputs and outputs with the shapes that they may have, and its metadata."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sdrt.models.mlpackage.protobuf import Message

__all__ = ["Description", "Feature", "Interface", "read_description"]

# FeatureTypes.proto, enum ArrayDataType
_ARRAY_TYPES = {65568: "float32", 65600: "float64", 131104: "int32", 131080: "int8", 65552: "float16"}

Range = tuple[int, int | None]
"""Least and greatest size of a dimension; None where there is no bound."""


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One input or output.

    Parameters
    ----------
    name : str
    kind : str
        ``array``, ``image``, ``state`` or another word for what this package cannot feed.
    dtype : str
        numpy's name of an array's element type; empty if it is no array.
    shape : tuple of int
        The default shape; empty if the file states none.
    choices : tuple of shapes
        The only shapes that are allowed, where they are listed.
    ranges : tuple of (least, greatest)
        One a dimension, where dimensions are open.
    default : float or None
        What an input that is left out is filled with; None if it must be given.
    text : str
        The author's description.
    """

    name: str
    kind: str = "array"
    dtype: str = ""
    shape: tuple[int, ...] = ()
    choices: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[Range, ...] = ()
    default: float | None = None
    text: str = ""

    def allows(self, shape: tuple[int, ...]) -> bool:
        """Return whether an array of this shape may be given."""
        if self.choices:
            return shape in self.choices
        if self.ranges:
            if len(shape) != len(self.ranges):
                return False
            return all(low <= size and (high is None or size <= high) for (low, high), size in zip(self.ranges, shape, strict=True))
        return not self.shape or shape == self.shape

    def shapes_text(self) -> str:
        """Return the shapes that are allowed, in words.

        >>> Feature(name="x", ranges=((1, 1), (8, None))).shapes_text(), Feature(name="x", shape=(1, 4)).shapes_text()
        ('[1,8..]', '[1,4]')
        """
        if self.choices:
            return " or ".join(f"[{','.join(map(str, shape))}]" for shape in self.choices)
        if self.ranges:
            return f"[{','.join(map(_range_text, self.ranges))}]"
        return f"[{','.join(map(str, self.shape))}]" if self.shape else "any shape"


@dataclass(frozen=True, kw_only=True)
class Interface:
    """The inputs and outputs of one function."""

    inputs: tuple[Feature, ...] = ()
    outputs: tuple[Feature, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a model says of itself.

    Parameters
    ----------
    functions : mapping of Interface by function name
        Empty for a model of one function.
    main : Interface
        Of the only function.
    default_function : str
    metadata : mapping
        ``short_description``, ``version``, ``author``, ``license`` where they are not empty.
    user_defined : mapping
    """

    main: Interface = field(default_factory=Interface)
    functions: Mapping[str, Interface] = field(default_factory=dict)
    default_function: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    user_defined: Mapping[str, str] = field(default_factory=dict)

    def interface(self, function: str) -> Interface:
        """Return the inputs and outputs of a function; empty where the model does not say."""
        return self.functions.get(function, self.main if not self.functions else Interface())


def read_description(message: Message) -> Description:
    """Read a ModelDescription."""
    meta = message.message(100, "metadata")
    words = {"short_description": meta.text(1), "version": meta.text(2), "author": meta.text(3), "license": meta.text(4)}
    return Description(
        main=Interface(inputs=tuple(_features(message, 1, "input")), outputs=tuple(_features(message, 10, "output"))),
        functions={
            function.text(1): Interface(inputs=tuple(_features(function, 2, "input")), outputs=tuple(_features(function, 3, "output")))
            for function in message.messages(20, "functions")
        },
        default_function=message.text(21),
        metadata={key: value for key, value in words.items() if value},
        user_defined={entry.text(1): entry.text(2) for entry in meta.messages(100, "userDefined")},
    )


def _features(message: Message, number: int, name: str) -> Iterator[Feature]:
    for item in message.messages(number, name):
        yield _feature(item)


def _feature(message: Message) -> Feature:
    name, text, kind = message.text(1), message.text(2), message.message(3, "type")
    if kind.has(5):
        return _array(name, text, kind.message(5, "multiArrayType"), optional=bool(kind.integer(1000)))
    if kind.has(4):
        size = kind.message(4, "imageType")
        return Feature(name=name, kind="image", shape=(size.integer(2), size.integer(1)), text=text)
    words = {1: "int64", 2: "double", 3: "string", 6: "dictionary", 7: "sequence", 8: "state"}
    return Feature(name=name, kind=words.get(kind.first_of(*words) or 0, "unknown"), text=text)


def _array(name: str, text: str, array: Message, *, optional: bool) -> Feature:
    number = array.integer(2)
    if number not in _ARRAY_TYPES and number != 0:
        array.fail(f"the array type {number} is unknown")
    shapes = (shape.integers(1) for shape in array.message(21, "enumeratedShapes").messages(1, "shapes"))
    sizes = array.message(31, "shapeRange").messages(1, "sizeRanges")
    bounds = ((size.unsigned(1), size.integer(2)) for size in sizes)
    default = array.float32(51) if array.has(51) else array.float64(61) if array.has(61) else float(array.integer(41))
    return Feature(
        name=name,
        dtype=_ARRAY_TYPES.get(number, ""),
        shape=tuple(array.integers(1)),
        choices=tuple(map(tuple, shapes)),
        ranges=tuple((low, None if high < 0 else high) for low, high in bounds),
        default=default if optional else None,
        text=text,
    )


def _range_text(bounds: Range) -> str:
    low, high = bounds
    return str(low) if low == high else f"{low}..{'' if high is None else high}"
