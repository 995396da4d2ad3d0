"""From protobuf messages to an ML Program: the fields of coremltools' Model.proto and MIL.proto that matter for running it.

Source: apple/coremltools 9.0, mlmodel/format/{Model,FeatureTypes,MIL}.proto.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.models.mlpackage.dtypes import NUMPY, SPEC_NAMES, SUB_BYTE_BITS, byte_count, unpack_bits
from sdrt.models.mlpackage.features import Description, read_description
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
from sdrt.models.mlpackage.protobuf import Message

__all__ = ["ModelSpec", "read_model"]

_PIPELINE_FIELDS = (202, 200, 201)  # pipeline, and the classifier and regressor that wrap one
_RANK = 32  # no array of numpy before 2.0 had more dimensions, and no operation takes more than a few


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One model of a file: an ML Program, or a pipeline of models.

    Parameters
    ----------
    specification : int
        The version of the file's format: 7 for iOS 16, 8 for iOS 17, 9 for iOS 18.
    description : Description
    program : Program or None
    models : tuple of ModelSpec
        Those of a pipeline, in the order in which they run.
    """

    specification: int
    description: Description
    program: Program | None
    models: tuple["ModelSpec", ...] = ()


def read_model(data: bytes | memoryview, file: str) -> ModelSpec:
    """Read a serialized Model.

    Parameters
    ----------
    data : bytes
    file : str
        For messages.

    Raises
    ------
    ModelError : the bytes are damaged, or hold a kind of model that is neither an ML Program nor a pipeline
    """
    return _model(Message(data, file), file)


def _model(message: Message, file: str) -> ModelSpec:
    description = read_description(message.message(2, "description"))
    version = message.integer(1)
    if message.has(502):
        return ModelSpec(specification=version, description=description, program=_program(message.message(502, "mlProgram"), file))
    for field in _PIPELINE_FIELDS:
        if message.has(field):
            pipeline = message.message(field, "pipeline")
            inner = pipeline if field == 202 else pipeline.message(1, "pipeline")
            models = tuple(_model(model, file) for model in inner.messages(1, "models"))
            if not models:
                inner.fail("a pipeline has no models")
            return ModelSpec(specification=version, description=description, program=None, models=models)
    raise message.problem("the model is neither an ML Program nor a pipeline of them (a neural network of the old kind cannot be run here)")


def _program(message: Message, file: str) -> Program:
    functions = {name: _function(name, function) for name, function in message.entries(2, "functions")}
    if not functions:
        message.fail("the program has no functions")
    return Program(file, functions)


def _function(name: str, message: Message) -> Function:
    opset = message.text(2)
    blocks = dict(message.entries(3, "block_specializations"))
    if opset not in blocks:
        message.fail(f"the function's opset is {opset!r}, and it has blocks for {', '.join(map(repr, blocks)) or 'none'}")
    inputs = tuple(_typed(item) for item in message.messages(1, "inputs"))
    return Function(name, opset, inputs, _block(blocks[opset]))


def _block(message: Message) -> Block:
    return Block(
        inputs=tuple(_typed(item) for item in message.messages(1, "inputs")),
        outputs=message.texts(2),
        operations=tuple(_operation(item) for item in message.messages(3, "operations")),
    )


def _operation(message: Message) -> Operation:
    outputs = tuple(_typed(item) for item in message.messages(3, "outputs"))
    name = message.text(1)
    if outputs:
        message.place = f"{message.place}({name} {outputs[0].name!r})"
    return Operation(
        type=name,
        inputs={key: tuple(_argument(item) for item in value.messages(1, "arguments")) for key, value in message.entries(2, "inputs")},
        outputs=outputs,
        attributes={key: read_value(value) for key, value in message.entries(5, "attributes")},
        blocks=tuple(_block(block) for block in message.messages(4, "blocks")),
    )


def _argument(message: Message) -> Argument:
    return read_value(message.message(2, "value")) if message.has(2) else message.text(1)


def _typed(message: Message) -> Typed:
    return Typed(message.text(1), _type(message.message(2, "type")))


def _type(message: Message) -> ValueType:
    match message.first_of(1, 2, 3, 4, 5):
        case 1:
            return _tensor_type(message.message(1, "tensorType"))
        case 2:
            return ListType(_type(message.message(2, "listType").message(1, "type")))
        case 3:
            return TupleType(tuple(_type(item) for item in message.message(3, "tupleType").messages(1, "types")))
        case 4:
            pair = message.message(4, "dictionaryType")
            return TupleType((_type(pair.message(1, "keyType")), _type(pair.message(2, "valueType"))))
        case 5:
            return _type(message.message(5, "stateType").message(1, "wrappedType"))
        case _:
            raise message.problem("a value has no type")


def _tensor_type(message: Message) -> TensorType:
    number = message.integer(1)
    if number not in SPEC_NAMES:
        message.fail(f"element type {number} is unknown")
    shape: list[int | None] = []
    for dimension in message.messages(3, "dimensions"):
        size = dimension.message(1, "constant").unsigned(1) if dimension.has(1) else None
        if size is not None and size >= 2**48:
            message.fail(f"a dimension of {size} numbers fits into no memory")
        shape.append(size)
    if message.integer(2) not in (-1, len(shape)):
        message.fail(f"the rank is {message.integer(2)}, and there are {len(shape)} dimensions")
    if len(shape) > _RANK:
        message.fail(f"{len(shape)} dimensions are more than the {_RANK} that an array may have")
    return TensorType(SPEC_NAMES[number], tuple(shape))


def read_value(message: Message) -> Value:
    """Read a constant with its type."""
    kind = _type(message.message(2, "type"))
    if message.has(5):
        place = message.message(5, "blobFileValue")
        if not isinstance(kind, TensorType):
            message.fail("only a tensor can lie in a weight file")
        return Value(kind, Blob(place.text(1), place.unsigned(2)))
    immediate = message.message(3, "immediateValue")
    match immediate.first_of(1, 2, 3, 4):
        case 1 if isinstance(kind, TensorType):
            return Value(kind, _tensor(immediate.message(1, "tensor"), kind))
        case 2 | 3 as number:
            return Value(kind, tuple(read_value(item) for item in immediate.message(number, "values").messages(1, "values")))
        case 4:
            pairs = immediate.message(4, "dictionary").messages(1, "values")
            entries = ((read_value(pair.message(1, "key")), read_value(pair.message(2, "value"))) for pair in pairs)
            return Value(kind, tuple(Value(kind, entry) for entry in entries))
        case _:
            raise message.problem("a constant has no value of its type")


def _tensor(message: Message, kind: TensorType) -> Array:
    """Read the numbers of a constant that stands in the program itself."""
    if None in kind.shape:
        message.fail("a constant's shape is open")
    shape = tuple(size for size in kind.shape if size is not None)
    count = 1
    for size in shape:
        count *= size
    flat = _numbers(message, kind.dtype, count)
    if flat.size == 1 and count > 1:
        message.fail(f"a constant of {kind} holds one number")
    if flat.size != count:
        message.fail(f"a constant of {kind} needs {count} numbers, and has {flat.size}")
    return flat.reshape(shape)


def _numbers(message: Message, dtype: str, count: int) -> Array:
    field = message.first_of(1, 2, 3, 4, 5, 6, 7)
    if field is None:
        if count:
            message.fail("a constant has no numbers")
        return np.empty(0, NUMPY.get(dtype, np.dtype(object)))
    values = message.message(field, "values")
    numbers: Any
    match field:
        case 1:
            numbers = np.frombuffer(values.packed(1, 4), "<f4")
        case 6:
            numbers = np.frombuffer(values.packed(1, 8), "<f8")
        case 4:
            if dtype != "string":
                message.fail(f"a constant of {dtype} holds strings")
            return np.array(values.texts(1), dtype=object)
        case 7:
            return _from_bytes(message, b"".join(bytes(run) for run in values.runs(1)), dtype, count)
        case _:
            numbers = np.array(values.integers(1), np.int64)
    if dtype == "string":
        message.fail("a constant of strings holds numbers")
    # a number that the type cannot hold is damage too, but no reason to warn
    with np.errstate(all="ignore"):
        return np.asarray(numbers).astype(NUMPY[dtype])


def _from_bytes(message: Message, data: bytes, dtype: str, count: int) -> Array:
    if dtype == "string":
        message.fail("a constant of strings holds bytes")
    if len(data) != byte_count(dtype, count):
        message.fail(f"a constant of {count} {dtype} needs {byte_count(dtype, count)} bytes, and has {len(data)}")
    raw = np.frombuffer(data, np.uint8)
    if dtype in SUB_BYTE_BITS:
        return unpack_bits(raw, dtype, count)
    if dtype == "bf16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    return raw.view(NUMPY[dtype].newbyteorder("<")).astype(NUMPY[dtype], copy=False)
