"""What a package holds, as plain data for a listing."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sdrt.models.mlpackage.features import Description, Feature
from sdrt.models.mlpackage.mil import Block, Operation, TensorType
from sdrt.models.mlpackage.package import Package, open_package
from sdrt.models.mlpackage.spec import ModelSpec

__all__ = ["FunctionSummary", "Summary", "describe", "summarize"]

_DEPLOYMENT = {6: "iOS 15", 7: "iOS 16", 8: "iOS 17", 9: "iOS 18", 10: "iOS 26"}


@dataclass(frozen=True, kw_only=True)
class FunctionSummary:
    """One function.

    Parameters
    ----------
    model : int
        Its model's place in a pipeline; 0 where there is none.
    operations : mapping
        How often each operation stands there, most often first; constants are not counted, compressed ones are.
    precision : str
        ``float16``, ``float32`` or ``mixed``: the type of the floats that its operations give.
    compression : mapping
        Compressed weights by kind: ``palettized 6 bit`` and so on.
    """

    name: str
    model: int
    opset: str
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    operations: Mapping[str, int]
    precision: str
    compression: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One package.

    Parameters
    ----------
    form : "mlpackage", "mlmodelc" or "mlmodel"
    specification : int
    deployment : str
        The oldest system that runs it; empty if the package does not state it.
    size_bytes : int
        Of all its files.
    metadata, user_defined : mapping
    """

    path: str
    form: str
    specification: int
    deployment: str
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    functions: tuple[FunctionSummary, ...]
    size_bytes: int
    metadata: Mapping[str, str]
    user_defined: Mapping[str, str]


def describe(path: str | Path) -> Summary:
    """Summarize the package at a path; see `summarize`.

    Raises
    ------
    ModelError : it is damaged
    """
    return summarize(open_package(path))


def summarize(package: Package) -> Summary:
    """Describe what a package holds. Weights are not read, and unknown operations are counted like others."""
    model = package.model
    functions = tuple(_functions(model, 0))
    first, last = functions[0], functions[-1]
    main = model.description.main
    files = [package.path] if package.path.is_file() else [file for file in package.path.rglob("*") if file.is_file()]
    return Summary(
        path=str(package.path),
        form=package.form,
        specification=model.specification,
        deployment=_DEPLOYMENT.get(model.specification, ""),
        inputs=main.inputs or first.inputs,
        outputs=main.outputs or last.outputs,
        functions=functions,
        size_bytes=sum(file.stat().st_size for file in files),
        metadata=model.description.metadata,
        user_defined=model.description.user_defined,
    )


def _functions(model: ModelSpec, place: int) -> Iterator[FunctionSummary]:
    if model.program is None:
        for index, inner in enumerate(model.models):
            yield from _functions(inner, index)
        return
    for name, function in model.program.functions.items():
        yield _function(name, function.opset, function.block, model.description, place)


def _function(name: str, opset: str, block: Block, description: Description, place: int) -> FunctionSummary:
    operations = [operation for operation in _all(block) if operation.type != "const"]
    floats = {
        output.type.dtype
        for operation in operations
        for output in operation.outputs
        if operation.type != "cast" and isinstance(output.type, TensorType) and output.type.dtype in ("fp16", "fp32")
    }
    interface = description.interface(name)
    return FunctionSummary(
        name=name,
        model=place,
        opset=opset,
        inputs=interface.inputs,
        outputs=interface.outputs,
        operations=dict(Counter(operation.type for operation in operations).most_common()),
        precision="mixed" if len(floats) > 1 else "float16" if floats == {"fp16"} else "float32",
        compression=dict(Counter(kind for operation in operations if (kind := _compression(operation))).most_common()),
    )


def _all(block: Block) -> Iterator[Operation]:
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from _all(inner)


def _compression(operation: Operation) -> str | None:
    """Name the kind and width of a compressed constant."""
    kind = operation.type.removeprefix("constexpr_")
    if kind == operation.type or kind == "cast":
        return None
    if kind.startswith("lut"):
        size = _shape(operation, "lut")
        entries = size[0] if len(size) == 1 else size[-2] if len(size) > 1 else 0
        return f"palettized {max(entries, 1).bit_length() - 1} bit" + (" sparse" if kind.endswith("sparse") else "")
    if kind == "sparse_to_dense":
        return "sparse"
    data = {"affine_dequantize": "quantized_data", "blockwise_shift_scale": "data", "sparse_blockwise_shift_scale": "nonzero_data"}
    return f"quantized {_dtype(operation, data.get(kind, '')) or kind}" + (" sparse" if kind.startswith("sparse") else "")


def _type(operation: Operation, name: str) -> TensorType | None:
    value = operation.attributes.get(name)
    if value is None:
        given = operation.inputs.get(name, ())
        value = given[0] if given and not isinstance(given[0], str) else None
    return value.type if value is not None and isinstance(value.type, TensorType) else None


def _shape(operation: Operation, name: str) -> tuple[int, ...]:
    kind = _type(operation, name)
    return tuple(size or 0 for size in kind.shape) if kind is not None else ()


def _dtype(operation: Operation, name: str) -> str:
    kind = _type(operation, name)
    return kind.dtype if kind is not None else ""
