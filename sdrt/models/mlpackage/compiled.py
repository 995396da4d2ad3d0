"""What an .mlmodelc folder says: the program from ``model.mil``, its description from ``metadata.json`` where that is there.

The compiler's ``coremldata.bin`` holds the same description in a form that nobody has documented; the program's own signature is enough.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdrt.files import exists, read_text
from sdrt.json_text import parse_json
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models.mlpackage.dtypes import NUMPY
from sdrt.models.mlpackage.features import Description, Feature, Interface, Range
from sdrt.models.mlpackage.mil import Function, Program, TensorType, Typed
from sdrt.models.mlpackage.mil_text import parse_program
from sdrt.models.mlpackage.spec import ModelSpec

__all__ = ["read_compiled"]

_SHAPE = re.compile(r"\[([^\[\]]*)\]")


def read_compiled(path: Path, limits: Limits = DEFAULT_LIMITS) -> ModelSpec:
    """Read a compiled model.

    Parameters
    ----------
    path : Path of the folder; it has a ``model.mil``
    limits : Limits

    Raises
    ------
    ModelError : a file is damaged
    """
    file, described = path / "model.mil", path / "metadata.json"
    program = parse_program(read_text(file, limits), str(file))
    content = parse_json(read_text(described, limits, "json_bytes"), str(described)) if exists(described) else None
    entry = content[0] if isinstance(content, list) and content else content
    metadata: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
    version = metadata.get("specificationVersion")
    return ModelSpec(specification=version if isinstance(version, int) else 0, description=_description(program, metadata), program=program)


def _description(program: Program, metadata: Mapping[str, Any]) -> Description:
    inputs = {item["name"]: item for item in _objects(metadata.get("inputSchema")) if isinstance(item.get("name"), str)}
    interfaces = {name: _interface(function, inputs) for name, function in program.functions.items()}
    words = {"short_description": "shortDescription", "version": "version", "author": "author", "license": "license"}
    user = metadata.get("userDefinedMetadata")
    return Description(
        main=next(iter(interfaces.values())),
        functions=interfaces if len(interfaces) > 1 else {},
        default_function="main" if "main" in interfaces else next(iter(interfaces)),
        metadata={key: metadata[word] for key, word in words.items() if isinstance(metadata.get(word), str) and metadata[word]},
        user_defined={key: str(value) for key, value in user.items()} if isinstance(user, dict) else {},
    )


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _interface(function: Function, metadata: Mapping[str, Mapping[str, Any]]) -> Interface:
    made = {output.name: output for operation in function.block.operations for output in operation.outputs}
    outputs = (made.get(name, Typed(name, TensorType("fp32", ()))) for name in function.block.outputs)
    return Interface(
        inputs=tuple(_feature(item, metadata.get(item.name, {})) for item in function.inputs),
        outputs=tuple(_feature(item, {}) for item in outputs),
    )


def _feature(item: Typed, metadata: Mapping[str, Any]) -> Feature:
    if not isinstance(item.type, TensorType):
        return Feature(name=item.name, kind="list")
    dtype = NUMPY[item.type.dtype].name if item.type.dtype in NUMPY else ""
    fixed = tuple(size for size in item.type.shape if size is not None)
    open_shape = len(fixed) != len(item.type.shape)
    return Feature(
        name=item.name,
        dtype=dtype,
        shape=() if open_shape else fixed,
        choices=tuple(_shapes(metadata.get("enumeratedShapes"))) if open_shape else (),
        ranges=tuple(_ranges(metadata.get("shapeRange"))) if open_shape else (),
        text=metadata["shortDescription"] if isinstance(metadata.get("shortDescription"), str) else "",
    )


def _shapes(text: Any) -> list[tuple[int, ...]]:
    """``"[[1, 4, 64, 64], [1, 4, 96, 96]]"`` or the same as text in a list."""
    shapes = [] if not isinstance(text, str) else _SHAPE.findall(text)
    return [tuple(int(word) for word in re.findall(r"-?\d{1,18}", shape)) for shape in shapes]


def _ranges(text: Any) -> list[Range]:
    return [(pair[0], None if pair[1] < 0 else pair[1]) for pair in _shapes(text) if len(pair) == 2]
