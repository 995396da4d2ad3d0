"""A parser of ``model.mil``, the text form of an ML Program that Core ML's compiler writes.

Both dialects are read: ``program(1.0)``, where each constant has its full type, and ``program(1.3)``, where scalars are bare.
Nested blocks (``cond``, ``while_loop``) have no known spelling and are refused.
"""

from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.models.mlpackage.dtypes import FLOATS, NUMPY, size_of
from sdrt.models.mlpackage.mil import (
    Argument,
    Blob,
    Block,
    Function,
    ListType,
    Operation,
    Program,
    TensorType,
    TupleType,
    Typed,
    Value,
    ValueType,
)
from sdrt.models.mlpackage.mil_symbols import Symbols

__all__ = ["parse_program"]


def parse_program(text: str, file: str) -> Program:
    """Parse the text of a program.

    Parameters
    ----------
    text : str
    file : str
        For messages.

    Raises
    ------
    ModelError : the text is no program; the message names the line
    """
    return _Parser(text, file).program()


class _Parser(Symbols):
    def program(self) -> Program:
        self._word("program")
        self._skip_brackets("(", ")")
        if self._symbol == "[":
            self._attributes()
        self._mark("{")
        functions: dict[str, Function] = {}
        while self._symbol != "}":
            function = self._function()
            functions[function.name] = function
        if not functions:
            self._fail("a program has a function")
        return Program(self._file, functions)

    def _function(self) -> Function:
        self._word("func")
        name = self._name()
        self._mark("<")
        opset = self._name()
        self._mark(">")
        inputs = self._list("(", ")", self._typed)
        if self._symbol == "[":
            self._attributes()
        self._mark("{")
        operations = []
        while self._symbol != "}":
            operations.append(self._operation())
        self._mark("}")
        self._mark("->")
        outputs = self._list("(", ")", self._name)
        self._mark(";")
        return Function(name, opset, tuple(inputs), Block((), tuple(outputs), tuple(operations)))

    def _operation(self) -> Operation:
        """``type name, type name = operation(parameter = argument, ...)[attribute = value, ...];``"""
        if self._symbol == "(":
            outputs = self._list("(", ")", self._typed)
        else:
            outputs = [self._typed()]
            while self._symbol == ",":
                self._next()
                outputs.append(self._typed())
        self._mark("=")
        kind = self._name()
        inputs = dict(self._list("(", ")", self._named_arguments))
        attributes = self._attributes() if self._symbol == "[" else {}
        if self._symbol == "{":
            self._fail(f"nested blocks are not read (in {kind} {outputs[0].name!r}); use the .mlpackage that this was compiled from")
        self._mark(";")
        return Operation(kind, inputs, tuple(outputs), attributes)

    def _named_arguments(self) -> tuple[str, tuple[Argument, ...]]:
        name = self._name()
        self._mark("=")
        return name, tuple(self._list("(", ")", self._argument)) if self._symbol == "(" else (self._argument(),)

    def _argument(self) -> Argument:
        """Parse a value's name, or a constant: a name that a type follows."""
        if self._kind == "name" and self._text[self._at : self._at + 1] not in ("<", "("):
            return self._name()
        return self._value()

    def _attributes(self) -> dict[str, Value]:
        def pair() -> tuple[str, Value]:
            name = self._name()
            self._mark("=")
            return name, self._value()

        return dict(self._list("[", "]", pair))

    def _typed(self) -> Typed:
        kind = self._type()
        return Typed(self._name(), kind)

    def _type(self) -> ValueType:
        self._deeper()
        name = self._name()
        if name == "tensor":
            self._mark("<")
            dtype = self._dtype()
            self._mark(",")
            shape = tuple(self._list("[", "]", self._dimension))
            self._mark(">")
            kind: ValueType = TensorType(dtype, shape)
        elif name in ("list", "tuple", "dict", "state"):
            inner = self._list("<", ">", lambda: self._dimension() if self._kind == "number" or self._symbol == "?" else self._type())
            types = tuple(item for item in inner if isinstance(item, (TensorType, ListType, TupleType)))
            if not types:
                self._fail(f"{name} holds a type")
            kind = ListType(types[0]) if name == "list" else types[0] if name == "state" else TupleType(types)
        elif name in NUMPY or name == "string":
            kind = TensorType(name, ())
        else:
            self._fail(f"{name!r} is no type")
        self._depth -= 1
        return kind

    def _dtype(self) -> str:
        name = self._name()
        if name not in NUMPY and name != "string":
            self._fail(f"{name!r} is no element type")
        return name

    def _dimension(self) -> int | None:
        if self._symbol == "?":
            self._next()
            return None
        size = self._integer()
        if not 0 <= size < 2**48:
            self._fail(f"a dimension of {size} numbers fits into no memory")
        return size

    def _value(self) -> Value:
        kind = self._type()
        self._mark("(")
        value = self._literal(kind)
        self._mark(")")
        return value

    def _literal(self, kind: ValueType) -> Value:
        if self._symbol == "BLOBFILE":
            return Value(kind, self._blob())
        if isinstance(kind, TensorType):
            flat = self._flat()
            return Value(kind, self._array(kind, flat))
        self._deeper()
        items = self._list(self._symbol, {"{": "}", "(": ")", "[": "]"}.get(self._symbol, "}"), self._nested)
        self._depth -= 1
        return Value(kind, tuple(items))

    def _nested(self) -> Value:
        """Skip the inside of a list, tuple or dictionary: only metadata and shape hints have such, and no operation reads them."""
        if self._kind == "name" and self._text[self._at : self._at + 1] in ("<", "("):
            return self._value()
        if self._symbol in ("{", "(", "["):
            self._deeper()
            items = self._list(self._symbol, {"{": "}", "(": ")", "[": "]"}[self._symbol], self._nested)
            self._depth -= 1
            return Value(TupleType(()), tuple(items))
        text = np.array(self._scalar(), dtype=object)
        return Value(TensorType("string", ()), text)

    def _blob(self) -> Blob:
        self._word("BLOBFILE")

        def pair() -> tuple[str, Any]:
            name = self._name()
            self._mark("=")
            data = self._value().data
            return name, data.item() if isinstance(data, np.ndarray) and data.ndim == 0 else None

        fields = dict(self._list("(", ")", pair))
        if not isinstance(fields.get("path"), str) or not isinstance(fields.get("offset"), int):
            self._fail("a BLOBFILE has a path and an offset")
        return Blob(fields["path"], fields["offset"])

    def _flat(self) -> list[Any]:
        """Parse the scalars of nested brackets, in order."""
        if self._symbol != "[":
            return [self._scalar()]
        scalars: list[Any] = []
        depth = 0
        while True:
            if self._symbol == "[":
                depth += 1
                self._next()
            elif self._symbol == "]":
                depth -= 1
                self._next()
                if depth == 0:
                    return scalars
            elif self._symbol == ",":
                self._next()
            else:
                scalars.append(self._scalar())

    def _array(self, kind: TensorType, flat: list[Any]) -> Array:
        if None in kind.shape:
            self._fail(f"a constant's shape is open ({kind})")
        shape = tuple(size for size in kind.shape if size is not None)
        if len(flat) != size_of(shape):
            self._fail(f"a constant of {kind} has {size_of(shape)} numbers, got {len(flat)}")
        if (kind.dtype == "string") != (bool(flat) and isinstance(flat[0], str)) and flat:
            self._fail(f"a constant of {kind} is spelt {flat[0]!r}")
        try:
            if kind.dtype == "string":
                return np.array(flat, dtype=object).reshape(shape)
            wide = np.array(flat, np.float64 if kind.dtype in FLOATS else None if flat else np.int64)
            with np.errstate(all="ignore"):
                return wide.astype(NUMPY[kind.dtype]).reshape(shape)
        except (ValueError, OverflowError, TypeError) as error:
            self._fail(f"a constant of {kind} cannot be read ({error})")
