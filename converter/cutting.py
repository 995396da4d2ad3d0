"""Find the best place to cut an ML Program in two, and assign its operations to the halves.

The program's own protobuf messages are moved, not rebuilt: every operation and weight of a half comes from the whole. Compressed weights
count at their stored size.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdrt.errors import ConfigError, ModelError

__all__ = ["Cut", "best_cut", "blob_values"]

# MIL's numbers of the element types that a model's inputs and outputs may have: float16, float32, int32.
# Source: apple/coremltools 9.0, mlmodel/format/MIL.proto, DataType.
FLOAT16, FLOAT32, INT32 = 10, 11, 23
_BYTES = {FLOAT16: 2, FLOAT32: 4, INT32: 4}

_TOLERANCE = 0.05  # how much larger than the smallest possible the larger half may be, to pass fewer bytes between the halves


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A program cut in two.

    Parameters
    ----------
    operations : pair of tuples of int
        The indices, among all operations of the block, of those of each half; constants that both need are in both.
    boundary : mapping of str to MIL's ValueType
        The values that the first half passes to the second.
    weight_bytes : pair of int
        The size on disk of each half's weights.
    """

    operations: tuple[tuple[int, ...], tuple[int, ...]]
    boundary: Mapping[str, Any]
    weight_bytes: tuple[int, int]


def best_cut(block: Any, record_bytes: Mapping[int, int], where: str) -> Cut:
    """Choose the cut whose larger half is smallest; among nearly equal ones, the one that passes the fewest bytes.

    Parameters
    ----------
    block : coremltools.proto.MIL_pb2.Block
    record_bytes : mapping of int to int
        The size of each record of the weight file by its offset.
    where : str
        The package, for messages.

    Raises
    ------
    ConfigError : no place where all passed values can be model inputs, or where both sides have weights
    """
    operations = list(block.operations)
    steps = [index for index, operation in enumerate(operations) if not _is_constant(operation)]
    if any(operation.blocks for operation in operations):
        raise ConfigError(f"{where}: must not have operations with blocks (cond, while_loop) to be cut, got some; leave it whole")
    needs = _constants_of_steps(operations, steps)
    first, last = _uses(needs)
    sizes = {index: sum(record_bytes[value.blobFileValue.offset] for value in blob_values(operations[index])) for index in first}
    candidates = list(_candidates(block, operations, steps))
    left, right = [0] * len(steps), [0] * len(steps)
    for index, size in sizes.items():
        left[first[index]] += size
        right[last[index]] += size
    total_before, total_after, halves = 0, sum(sizes.values()), []
    for place in range(len(steps)):
        total_before += left[place]
        total_after -= right[place]
        halves.append((total_before, total_after))
    usable = [(place, passed) for place, passed in candidates if min(halves[place]) > 0]
    if not usable:
        raise ConfigError(f"{where}: must have a place with weights on both sides and only arrays passed between, got none; leave it whole")
    smallest = min(max(halves[place]) for place, _ in usable)
    good = [(place, passed) for place, passed in usable if max(halves[place]) <= smallest * (1 + _TOLERANCE)]
    place, passed = min(good, key=lambda item: (sum(map(_bytes, item[1].values())), max(halves[item[0]])))
    sides = tuple(
        tuple(sorted({*chosen, *(index for at in span for index in needs[at])}))
        for chosen, span in ((steps[: place + 1], range(place + 1)), (steps[place + 1 :], range(place + 1, len(steps))))
    )
    return Cut(operations=(sides[0], sides[1]), boundary=passed, weight_bytes=halves[place])


def blob_values(operation: Any) -> Iterable[Any]:
    """Yield the values of an operation that are stored in a weight file: attributes for iOS 16, inputs for iOS 18."""
    for value in operation.attributes.values():
        if value.WhichOneof("value") == "blobFileValue":
            yield value
    for argument in operation.inputs.values():
        for binding in argument.arguments:
            if binding.WhichOneof("binding") == "value" and binding.value.WhichOneof("value") == "blobFileValue":
                yield binding.value


def _is_constant(operation: Any) -> bool:
    return bool(operation.type == "const" or operation.type.startswith("constexpr_"))


def _reads(operation: Any) -> list[str]:
    return [
        binding.name for argument in operation.inputs.values() for binding in argument.arguments if binding.WhichOneof("binding") == "name"
    ]


def _constants_of_steps(operations: Sequence[Any], steps: Sequence[int]) -> list[frozenset[int]]:
    """Return, for each computation, the constants it needs, including those that they are made from."""
    made_by: dict[str, frozenset[int]] = {}
    for index, operation in enumerate(operations):
        if _is_constant(operation):
            needed = frozenset({index}).union(*(made_by.get(name, frozenset()) for name in _reads(operation)))
            made_by.update({output.name: needed for output in operation.outputs})
    return [frozenset().union(*(made_by.get(name, frozenset()) for name in _reads(operations[index]))) for index in steps]


def _uses(needs: Sequence[frozenset[int]]) -> tuple[dict[int, int], dict[int, int]]:
    """Return the first and the last computation that needs each constant."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for place, constants in enumerate(needs):
        for index in constants:
            first.setdefault(index, place)
            last[index] = place
    return first, last


def _candidates(block: Any, operations: Sequence[Any], steps: Sequence[int]) -> Iterable[tuple[int, dict[str, Any]]]:
    """Yield the places to cut after, with the values passed there; all outputs of the program must be made later."""
    last_read: dict[str, int] = {}
    for place, index in enumerate(steps):
        for name in _reads(operations[index]):
            last_read[name] = place
    outputs = set(block.outputs)
    alive: dict[str, Any] = {}
    for place, index in enumerate(steps[:-1]):
        for output in operations[index].outputs:
            if output.name in outputs:
                return
            alive[output.name] = output.type
        alive = {name: kind for name, kind in alive.items() if last_read.get(name, -1) > place}
        if alive and all(_passable(kind) for kind in alive.values()):
            yield place, dict(alive)


def _passable(kind: Any) -> bool:
    if kind.WhichOneof("type") != "tensorType":
        return False
    tensor = kind.tensorType
    return (
        tensor.dataType in _BYTES
        and 1 <= len(tensor.dimensions) <= 5
        and all(d.WhichOneof("dimension") == "constant" for d in tensor.dimensions)
    )


def _bytes(kind: Any) -> int:
    size = _BYTES.get(kind.tensorType.dataType)
    if size is None:
        raise ModelError(
            f"a value passed between models must be float16, float32 or int32, got element type {kind.tensorType.dataType}; leave it whole"
        )
    for dimension in kind.tensorType.dimensions:
        size *= dimension.constant.size
    return size
