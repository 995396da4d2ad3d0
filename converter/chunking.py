"""Cut a package in two, for systems that cannot load it whole (an iPhone loads no model of more than about 1 GB).

Any package of one ML Program can be cut, compressed or not, without loading torch; nothing is computed and no weight is decoded. Values
pass from half to half as float32, like the inputs and outputs that apps make arrays for; float16 values survive this unchanged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter.blobs import copy_records, record_bytes
from converter.cutting import FLOAT16, FLOAT32, INT32, Cut, best_cut, blob_values
from converter.metadata import annotate
from converter.tools import quiet, toolkit
from converter.workplace import move_into_place, workplace
from sdrt.backends.coreml import MLProgram
from sdrt.errors import ConfigError, MissingFileError, ModelError
from sdrt.log import log

__all__ = ["chunk"]

_ENDINGS = ("_chunk1", "_chunk2", "_chunked_pipeline")
_log = log.getChild("converter")
LARGEST_ON_PHONES = 10**9
_PASSED = "Passed from the first half of the model to the second"


@dataclass(frozen=True, kw_only=True)
class _Half:
    """The model and the weight file of one half."""

    spec: Any
    weights: Path


def chunk(package: Path, *, merge: bool, out: Path | None = None) -> tuple[Path, ...]:
    """Cut a package in two of about the same size on disk; the package itself stays.

    Parameters
    ----------
    package : path of a .mlpackage
    merge : bool
        Whether the halves are joined in one pipeline model.
    out : path of a folder, or None
        The folder for the halves; None is the package's own.

    Returns
    -------
    The paths written: ``X_chunk1.mlpackage`` and ``X_chunk2.mlpackage``, or ``X_chunked_pipeline.mlpackage``
        Existing packages of these names are replaced.

    Raises
    ------
    MissingFileError : no such package
    ConfigError : a half or a pipeline, or a package with flexible shapes
    ModelError : a damaged package
    """
    spec, weights = _open_package(package)
    folder = package.parent if out is None else out
    block = _block(spec, package)
    offsets = {value.blobFileValue.offset for operation in block.operations for value in blob_values(operation)}
    cut = best_cut(block, record_bytes(weights, offsets), str(package))
    largest = max(cut.weight_bytes) + spec.ByteSize()
    if largest > LARGEST_ON_PHONES:
        _log.warning(
            "%s: the halves take %s and %s bytes; iPhones load no model of more than about %s: compress it first (--quantize-nbits 6 or 8)",
            package.name,
            *(f"{size:,}" for size in (*cut.weight_bytes, LARGEST_ON_PHONES)),
        )
    with workplace(folder) as work:
        halves = [_half(spec, package, cut, index, weights, work) for index in (0, 1)]
        if merge:
            made = {f"{package.stem}_chunked_pipeline.mlpackage": _pipeline(spec, halves, work)}
        else:
            made = {f"{package.stem}_chunk{number}.mlpackage": half.spec for number, half in enumerate(halves, 1)}
        for number, (name, one) in enumerate(made.items()):
            weights_dir = halves[number].weights.parent if not merge else work / "both"
            with quiet():
                toolkit().models.utils.save_spec(one, str(work / name), weights_dir=str(weights_dir))
            MLProgram(work / name).close()
        for name in made:
            move_into_place(work / name, folder / name)
    return tuple(folder / name for name in made)


def _open_package(package: Path) -> tuple[Any, Path]:
    """Open a package's model, and return it with the path of its weight file."""
    if not (package / "Manifest.json").exists():
        raise MissingFileError(f"{package}: must be an .mlpackage folder, got none; pass the path of one")
    if package.stem.endswith(_ENDINGS):
        raise ConfigError(f"{package.name}: must be a whole model, got one that is already chunked; pass the whole model")
    # The executor's reader names the defect of a damaged package; protobuf's error does not.
    MLProgram(package).close()
    with quiet():
        spec = toolkit().models.utils.load_spec(str(package))
    if spec.WhichOneof("Type") != "mlProgram":
        raise ConfigError(f"{package.name}: must be an ML Program, got a {spec.WhichOneof('Type')}; pass the whole model")
    root = Path(toolkit("coremltools.libmodelpackage").ModelPackage(str(package)).getRootModel().path()).parent
    return spec, root / "weights" / "weight.bin"


def _block(spec: Any, package: Path) -> Any:
    functions = spec.mlProgram.functions
    if len(functions) != 1 or spec.description.state:
        raise ConfigError(f"{package.name}: must have one function and no state, got {len(functions)} functions; leave it whole")
    for feature in spec.description.input:
        if feature.type.multiArrayType.WhichOneof("ShapeFlexibility") is not None:
            raise ConfigError(
                f"{package.name}: {feature.name} must have one shape, got several; its halves would need several inputs of related "
                f"shapes, which Core ML cannot declare: convert each size separately to chunk it"
            )
    function = next(iter(functions.values()))
    block = function.block_specializations[function.opset]
    files = {value.blobFileValue.fileName for operation in block.operations for value in blob_values(operation)}
    if files != {"@model_path/weights/weight.bin"}:
        raise ModelError(f"{package.name}: must have one weight file, got {sorted(files) or 'none'}; convert the model again")
    return block


def _half(spec: Any, package: Path, cut: Cut, index: int, weights: Path, work: Path) -> _Half:
    """Make the first or second half: a copy of the model, with its share of operations and weights."""
    half = type(spec)()
    half.CopyFrom(spec)
    function = next(iter(half.mlProgram.functions.values()))
    block = _block(half, package)
    whole = _block(spec, package).operations
    del block.operations[:]
    block.operations.extend(whole[place] for place in cut.operations[index])
    taken = {output.name for operation in whole for output in operation.outputs} | {item.name for item in function.inputs}
    inner = {name: _fresh(f"{name}_fp16", taken) for name, kind in cut.boundary.items() if kind.tensorType.dataType == FLOAT16}
    _rename(block.operations, inner)
    casts = [_cast_operations(name, inner[name], cut.boundary[name], taken, to_float16=index == 1) for name in inner]
    if index == 0:
        block.operations.extend(operation for pair in casts for operation in pair)
        del block.outputs[:]
        block.outputs.extend(cut.boundary)
    else:
        kept = list(block.operations)
        del block.operations[:]
        block.operations.extend([operation for pair in casts for operation in pair] + kept)
    _set_interface(half, function, block, cut, index)
    folder = work / f"half{index}"
    folder.mkdir()
    offsets = {value.blobFileValue.offset for operation in block.operations for value in blob_values(operation)}
    moved = copy_records(weights, offsets, folder / "weight.bin")
    for operation in block.operations:
        for value in blob_values(operation):
            value.blobFileValue.offset = moved[value.blobFileValue.offset]
    return _Half(spec=half, weights=folder / "weight.bin")


def _set_interface(half: Any, function: Any, block: Any, cut: Cut, index: int) -> None:
    """Set the half's inputs to those it reads, and its outputs; the descriptions are kept."""
    proto = toolkit("coremltools.proto.Model_pb2")
    read = {binding.name for operation in block.operations for argument in operation.inputs.values() for binding in argument.arguments}
    description = half.description
    inputs = [feature for feature in description.input if feature.name in read]
    outputs = list(description.output)
    own = [item for item in function.inputs if item.name in read]
    passed = [_feature(proto, name, kind) for name, kind in cut.boundary.items()]
    if index == 0:
        outputs = passed
    else:
        inputs += passed
        mil = toolkit("coremltools.proto.MIL_pb2")
        own += [mil.NamedValueType(name=name, type=_passing_type(kind)) for name, kind in cut.boundary.items()]
    del description.input[:], description.output[:], function.inputs[:]
    description.input.extend(inputs)
    description.output.extend(outputs)
    function.inputs.extend(own)


def _pipeline(spec: Any, halves: list[_Half], work: Path) -> Any:
    """Make one model of both halves, with the interface of the whole, and put their weight files in one folder."""
    both = work / "both"
    both.mkdir()
    pipeline = type(spec)()
    pipeline.specificationVersion = spec.specificationVersion
    pipeline.description.input.extend(spec.description.input)
    pipeline.description.output.extend(spec.description.output)
    annotate(pipeline.description, spec.description)
    for number, half in enumerate(halves):
        name = f"{number}-weight.bin"
        half.weights.rename(both / name)
        for function in half.spec.mlProgram.functions.values():
            for operation in function.block_specializations[function.opset].operations:
                for value in blob_values(operation):
                    value.blobFileValue.fileName = f"@model_path/weights/{name}"
        pipeline.pipeline.models.append(half.spec)
    return pipeline


def _rename(operations: Any, names: Mapping[str, str]) -> None:
    for operation in operations:
        for output in operation.outputs:
            output.name = names.get(output.name, output.name)
        for argument in operation.inputs.values():
            for binding in argument.arguments:
                if binding.WhichOneof("binding") == "name":
                    binding.name = names.get(binding.name, binding.name)


def _fresh(name: str, taken: set[str]) -> str:
    """Return a name that no value has, and mark it as taken."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _cast_operations(outer: str, inner: str, kind: Any, taken: set[str], *, to_float16: bool) -> list[Any]:
    """Make the cast between a float16 value and its float32 twin at the boundary, and the constant that names the target type."""
    mil = toolkit("coremltools.proto.MIL_pb2")
    source, result, dtype, kind_at_result = (outer, inner, "fp16", kind) if to_float16 else (inner, outer, "fp32", _passing_type(kind))
    text = mil.ValueType()
    text.tensorType.dataType = mil.DataType.STRING
    parameter = _fresh(f"{outer}_border_dtype", taken)
    constant = mil.Operation(type="const", outputs=[mil.NamedValueType(name=parameter, type=text)])
    for key, value in (("val", dtype), ("name", parameter)):
        constant.attributes[key].type.CopyFrom(text)
        constant.attributes[key].immediateValue.tensor.strings.values.append(value)
    cast = mil.Operation(type="cast", outputs=[mil.NamedValueType(name=result, type=kind_at_result)])
    cast.inputs["x"].arguments.add().name = source
    cast.inputs["dtype"].arguments.add().name = parameter
    cast.attributes["name"].type.CopyFrom(text)
    cast.attributes["name"].immediateValue.tensor.strings.values.append(_fresh(f"{outer}_border", taken))
    return [constant, cast]


def _passing_type(kind: Any) -> Any:
    """Return a value's type at the boundary: float32 for float16."""
    passing = type(kind)()
    passing.CopyFrom(kind)
    if passing.tensorType.dataType == FLOAT16:
        passing.tensorType.dataType = FLOAT32
    return passing


def _feature(proto: Any, name: str, kind: Any) -> Any:
    feature = proto.FeatureDescription(name=name, shortDescription=_PASSED)
    array = feature.type.multiArrayType
    array.shape.extend(dimension.constant.size for dimension in kind.tensorType.dimensions)
    array.dataType = array.INT32 if kind.tensorType.dataType == INT32 else array.FLOAT32
    return feature
