"""Where an ML Program is best cut in two, and what each half consists of.

The program's own protobuf messages are moved, not rebuilt: every operation and weight of a half is the whole's. Compressed weights count as
they are stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdrt.errors import ConfigError, ModelError

__all__ = ["Cut", "best_cut", "blob_values"]

# MIL's numbers of the element types that an input or output of a model may have: float16, float32, int32.
# Source: apple/coremltools 9.0, mlmodel/format/MIL.proto, DataType.
FLOAT16, FLOAT32, INT32 = 10, 11, 23
_BYTES = {FLOAT16: 2, FLOAT32: 4, INT32: 4}

_TOLERANCE = 0.05  # how much larger than it need be the larger half may be where that makes what passes between them smaller


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A program in two.

    Parameters
    ----------
    operations : pair of tuples of int
        The places, among all operations of the block, of those of each half; constants that both need are in both.
    boundary : mapping of str to MIL's ValueType
        What the first half makes and the second reads.
    weight_bytes : pair of int
        What the weights of each half take on disk.
    """

    operations: tuple[tuple[int, ...], tuple[int, ...]]
    boundary: Mapping[str, Any]
    weight_bytes: tuple[int, int]


def best_cut(block: Any, record_bytes: Mapping[int, int], where: str) -> Cut:
    """The cut whose larger half is smallest; of those that are nearly as good, the one that passes the fewest bytes on.

    Parameters
    ----------
    block : coremltools.proto.MIL_pb2.Block
    record_bytes : mapping of int to int
        The size of each record of the weight file by its offset.
    where : str
        For messages.

    Raises
    ------
    ConfigError : there is no place where all that passes can be an input of a model, or everything large is on one side
    """
    operations = list(block.operations)
    steps = [index for index, operation in enumerate(operations) if not _is_constant(operation)]
    if any(operation.blocks for operation in operations):
        raise ConfigError(f"{where}: has operations with blocks (cond, while_loop), which cannot be cut; leave it whole")
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
        raise ConfigError(f"{where}: there is no place to cut it, with weights on both sides and arrays passed between; leave it whole")
    smallest = min(max(halves[place]) for place, _ in usable)
    good = [(place, passed) for place, passed in usable if max(halves[place]) <= smallest * (1 + _TOLERANCE)]
    place, passed = min(good, key=lambda item: (sum(map(_bytes, item[1].values())), max(halves[item[0]])))
    sides = tuple(
        tuple(sorted({*chosen, *(index for at in span for index in needs[at])}))
        for chosen, span in ((steps[: place + 1], range(place + 1)), (steps[place + 1 :], range(place + 1, len(steps))))
    )
    return Cut(operations=(sides[0], sides[1]), boundary=passed, weight_bytes=halves[place])


def blob_values(operation: Any) -> Iterable[Any]:
    """The values of an operation that stand in a weight file: iOS 16 has them as attributes, iOS 18 as inputs."""
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
    """For each computation, the constants that it needs, and those that they are made of."""
    made_by: dict[str, frozenset[int]] = {}
    for index, operation in enumerate(operations):
        if _is_constant(operation):
            needed = frozenset({index}).union(*(made_by.get(name, frozenset()) for name in _reads(operation)))
            made_by.update({output.name: needed for output in operation.outputs})
    return [frozenset().union(*(made_by.get(name, frozenset()) for name in _reads(operations[index]))) for index in steps]


def _uses(needs: Sequence[frozenset[int]]) -> tuple[dict[int, int], dict[int, int]]:
    """The first and last computation that needs each constant."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for place, constants in enumerate(needs):
        for index in constants:
            first.setdefault(index, place)
            last[index] = place
    return first, last


def _candidates(block: Any, operations: Sequence[Any], steps: Sequence[int]) -> Iterable[tuple[int, dict[str, Any]]]:
    """Places after which to cut, and what passes there; all outputs of the program have to be made later."""
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
    found = _BYTES.get(kind.tensorType.dataType)
    if found is None:
        raise ModelError(f"element type {kind.tensorType.dataType} cannot pass between models")
    for dimension in kind.tensorType.dimensions:
        found *= dimension.constant.size
    return found
