"""A writer of ``model.mil`` in both dialects, to test the parser with: Apple's compiler, which writes such files, runs on macOS alone."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sdrt.models.mlpackage.features import Feature
from sdrt.models.mlpackage.mil import Argument, Blob, Operation, Program, TensorType, Typed, Value
from sdrt.models.mlpackage.package import open_package

__all__ = ["write_compiled", "write_metadata", "write_program"]


def write_compiled(package: Path, path: Path, *, bare: bool) -> Path:
    """A package in the form of a compiled model: its program as text, and its weights beside it; the path."""
    program = open_package(package).model.program
    assert program is not None
    path.mkdir(parents=True)
    (path / "model.mil").write_text(write_program(program, bare=bare), encoding="utf-8")
    shutil.copytree(package / "Data" / "com.apple.CoreML" / "weights", path / "weights")
    return path


def write_metadata(package: Path, compiled: Path) -> None:
    """Describe a package beside its compiled form, in the entries of Apple's ``metadata.json`` that programs read."""
    model = open_package(package).model
    interface = model.description.main
    described = {
        "metadataOutputVersion": "3.0",
        "specificationVersion": model.specification,
        "inputSchema": list(map(_schema, interface.inputs)),
        "outputSchema": list(map(_schema, interface.outputs)),
        "userDefinedMetadata": dict(model.description.user_defined),
        "modelType": {"name": "MLModelType_mlProgram"},
    }
    (compiled / "metadata.json").write_text(json.dumps([described]), encoding="utf-8")


def _schema(feature: Feature) -> dict[str, str]:
    dtype = feature.dtype.capitalize()
    return {
        "name": feature.name,
        "type": "MultiArray",
        "dataType": dtype,
        "shape": str(list(feature.shape)),
        "formattedType": f"MultiArray ({dtype} {' x '.join(map(str, feature.shape))})",
        "shortDescription": feature.text,
        "hasShapeFlexibility": "0",
        "isOptional": "0",
    }


def write_program(program: Program, *, bare: bool) -> str:
    """The program as text; ``bare`` writes scalars as program(1.3) does."""
    lines = [
        f"program({'1.3' if bare else '1.0'})",
        '[buildInfo = dict<tensor<string, []>, tensor<string, []>>({{"coremlc-version", "3402.4.1"}})]',
        "{",
    ]
    for name, function in program.functions.items():
        lines.append(f"    func {name}<{function.opset.lower()}>({', '.join(map(_typed, function.inputs))}) {{")
        lines += [f"            {_operation(operation, bare)};" for operation in function.block.operations]
        lines.append(f"        }} -> ({', '.join(function.block.outputs)});")
    return "\n".join([*lines, "}"])


def _typed(item: Typed) -> str:
    return f"{_type(item.type, bare=False)} {item.name}"


def _type(kind: object, *, bare: bool) -> str:
    assert isinstance(kind, TensorType)
    if bare and not kind.shape:
        return kind.dtype
    return f"tensor<{kind.dtype}, [{', '.join('?' if size is None else str(size) for size in kind.shape)}]>"


def _operation(operation: Operation, bare: bool) -> str:
    inputs = ", ".join(f"{key} = {_arguments(value, bare)}" for key, value in operation.inputs.items())
    attributes = ", ".join(f"{key} = {_value(value, bare)}" for key, value in operation.attributes.items())
    return f"{', '.join(map(_typed, operation.outputs))} = {operation.type}({inputs})[{attributes}]"


def _arguments(arguments: Iterable[Argument], bare: bool) -> str:
    spelt = [argument if isinstance(argument, str) else _value(argument, bare) for argument in arguments]
    return spelt[0] if len(spelt) == 1 else f"({', '.join(spelt)})"


def _value(value: Value, bare: bool) -> str:
    kind = _type(value.type, bare=bare)
    if isinstance(value.data, Blob):
        path, offset = ("string", "uint64") if bare else ("tensor<string, []>", "tensor<uint64, []>")
        return f'{kind}(BLOBFILE(path = {path}("{value.data.file}"), offset = {offset}({value.data.offset})))'
    assert isinstance(value.data, np.ndarray)
    return f"{kind}({_numbers(value.data)})"


def _numbers(data: np.ndarray) -> str:
    if data.ndim:
        return f"[{', '.join(_numbers(np.asarray(item)) for item in data)}]"
    item = data.item()
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, str):
        return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return float.hex(item) if isinstance(item, float) and np.isfinite(item) else str(item)
