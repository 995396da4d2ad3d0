"""The constants of a function: decoded and decompressed when first needed, kept within a bound.

float16 is widened to float32 here, once: every operation computes in float32.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops import OPERATIONS
from sdrt.backends.coreml.place import Place, failing
from sdrt.errors import ModelError
from sdrt.forking import ForkLock
from sdrt.models.mlpackage.blob import BlobFiles
from sdrt.models.mlpackage.mil import Argument, Blob, Block, Operation, TensorType, Value

__all__ = ["Constants", "KeptArrays"]

_SMALL = 4096  # bytes: constants up to this size are decoded once and never given back


class KeptArrays:
    """Arrays by key, the least used given back where all together pass a bound; safe in threads.

    Parameters
    ----------
    limit : int or None
        Bytes; None keeps everything, 0 nothing.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._arrays: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = ForkLock()

    @property
    def bytes(self) -> int:
        """What is kept now."""
        return self._bytes

    def get(self, key: Hashable, make: Callable[[], tuple[Any, int]]) -> Any:
        """Return the value of this key; ``make`` computes it and its size in bytes if it is not kept."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key][0]
        value, size = make()
        with self._lock:
            if key not in self._arrays and (self.limit is None or size <= self.limit):
                self._arrays[key] = (value, size)
                self._bytes += size
                while self.limit is not None and self._bytes > self.limit:
                    _, (_, freed) = self._arrays.popitem(last=False)
                    self._bytes -= freed
        return value

    def clear(self) -> None:
        """Give everything back."""
        with self._lock:
            self._arrays.clear()
            self._bytes = 0


class Constants:
    """What a function's ``const`` and ``constexpr_*`` operations give, by name.

    Parameters
    ----------
    function : str
        For messages.
    block : Block
        The function's; nested blocks belong to it.
    blobs : BlobFiles
    kept : KeptArrays
    """

    def __init__(self, function: str, block: Block, blobs: BlobFiles, kept: KeptArrays) -> None:
        self._function = function
        self._blobs = blobs
        self._kept = kept
        self._makers: dict[str, tuple[Operation, int]] = {}
        self._small: dict[str, Any] = {}
        self._collect(block)

    def __contains__(self, name: str) -> bool:
        return name in self._makers

    def shape(self, name: str) -> tuple[int | None, ...]:
        """Return a constant's declared shape; nothing is decoded."""
        operation, index = self._makers[name]
        kind = operation.outputs[index].type
        return kind.shape if isinstance(kind, TensorType) else ()

    def get(self, name: str) -> Array:
        """Return the constant of this name, floats as float32."""
        if name in self._small:
            constant: Array = self._small[name]
            return constant
        operation, index = self._makers[name]
        value: Array = self._kept.get((self._function, name), lambda: self._counted(operation, index))
        if value.nbytes <= _SMALL:
            self._small[name] = value
        return value

    def argument(self, argument: Argument) -> Array | None:
        """Return an argument's array if it is a constant, else None."""
        if isinstance(argument, Value):
            return self._widened(argument)
        return self.get(argument) if argument in self._makers else None

    def prepared(self, name: str, form: str, make: Callable[[Array], tuple[Any, int]]) -> Any:
        """Return a constant in another form, kept as well; ``make`` computes the form and its size in bytes."""
        return self._kept.get((self._function, name, form), lambda: make(self._uncached(name)))

    def _uncached(self, name: str) -> Array:
        """Return a constant that is needed in another form only: the plain one is not kept."""
        operation, index = self._makers[name]
        return self._small[name] if name in self._small else self._make(operation)[index]

    def _counted(self, operation: Operation, index: int) -> tuple[Array, int]:
        value = self._make(operation)[index]
        # what is a view of the mapped file takes no memory of this process
        return value, value.nbytes if value.base is None or value.flags.writeable else 0

    def _make(self, operation: Operation) -> tuple[Array, ...]:
        if operation.type == "const":
            return (self._widened(operation.attributes["val"]),)
        place = Place(self._function, operation)
        operator = OPERATIONS[operation.type]
        values: dict[str, Any] = {key: self._raw(value) for key, value in operation.attributes.items() if key in operator.parameters}
        for key, arguments in operation.inputs.items():
            values[key] = self._operand(arguments[0])
        with failing(place), np.errstate(all="ignore"):
            result = operator.function(**values)
        results = result if isinstance(result, tuple) else (result,)
        for value, output in zip(results, operation.outputs, strict=False):
            if isinstance(output.type, TensorType) and not output.type.admits(value.shape):
                raise ModelError(f"{place}: gives {list(value.shape)} where {output.type} is declared; the model is damaged")
        with np.errstate(all="ignore"):
            return tuple(value.astype(np.float32) if value.dtype == np.float16 else value for value in results)

    def _operand(self, argument: Argument) -> Array:
        """Return an operand of a compressed constant as it is stored."""
        if isinstance(argument, Value):
            return self._raw(argument)
        operation, index = self._makers[argument]
        return self._raw(operation.attributes["val"]) if operation.type == "const" else self._make(operation)[index]

    def _widened(self, value: Value) -> Array:
        array = self._raw(value)
        with np.errstate(all="ignore"):
            return array.astype(np.float32) if array.dtype == np.float16 else array

    def _raw(self, value: Value) -> Array:
        if isinstance(value.data, Blob):
            if not isinstance(value.type, TensorType):
                raise ModelError(f"function {self._function}: a weight has no tensor type; the model is damaged")
            return self._blobs.tensor(value.data, value.type)
        if isinstance(value.data, tuple):
            raise ModelError(f"function {self._function}: a list of constants stands where an array is needed; the model is damaged")
        return value.data

    def _collect(self, block: Block) -> None:
        for operation in block.operations:
            if operation.type == "const":
                if "val" not in operation.attributes or len(operation.outputs) != 1:
                    raise ModelError(f"{Place(self._function, operation)}: a constant has no value; the model is damaged")
                self._makers[operation.name] = (operation, 0)
            elif operation.type.startswith("constexpr_") and operation.type in OPERATIONS:
                self._check_operands(operation)
                for index, output in enumerate(operation.outputs):
                    self._makers[output.name] = (operation, index)
            for inner in operation.blocks:
                self._collect(inner)

    def _check_operands(self, operation: Operation) -> None:
        """Every operand is a constant that stands before: so no constant depends on itself."""
        given: Mapping[str, Any] = {**operation.attributes, **operation.inputs}
        operator = OPERATIONS[operation.type]
        if missing := operator.required - given.keys():
            raise ModelError(f"{Place(self._function, operation)}: lacks {', '.join(sorted(missing))}; the model is damaged")
        if unknown := operation.inputs.keys() - operator.parameters:
            raise ModelError(f"{Place(self._function, operation)}: does not know {', '.join(sorted(unknown))}; the model is damaged")
        for key, arguments in operation.inputs.items():
            if len(arguments) != 1 or (isinstance(arguments[0], str) and arguments[0] not in self._makers):
                raise ModelError(f"{Place(self._function, operation)}: {key} is no constant that stands before it; the model is damaged")
