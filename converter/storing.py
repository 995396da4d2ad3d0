"""Store a converted model as a package, and open the package as a check."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml import MLProgram
from sdrt.errors import ConversionError, SdrtError
from sdrt.models.mlpackage.mil import Blob, TensorType, Value
from sdrt.models.mlpackage.package import Package, open_package
from sdrt.models.mlpackage.spec import ModelSpec

__all__ = ["check_opens", "store"]


def store(model: Any, package: Path) -> None:
    """Store a model as a package; coremltools' temporary copy of it, which would stay until the process ends, is removed.

    Parameters
    ----------
    model : coremltools.models.MLModel
        If its own package is the one to store, only its description is written anew.
    package : path of a .mlpackage
    """
    # coremltools makes a relative path absolute
    if package.exists() and package.samefile(model.package_path):
        (package / "Data" / "com.apple.CoreML" / "model.mlmodel").write_bytes(model._spec.SerializeToString())
        return
    model.save(str(package))
    if model.is_temp_package:
        shutil.rmtree(model.package_path)


def check_opens(package: Path) -> None:
    """Open a package as an app will, and check every constant.

    Raises
    ------
    ConversionError : it does not open, or a constant is infinite or NaN: the Neural Engine and palettes need finite ones
    """
    try:
        with MLProgram(package):
            pass
        opened = open_package(package)
        strange = [name for name, value in _constants(opened, opened.model) if value.dtype.kind == "f" and not np.isfinite(value).all()]
    except SdrtError as error:
        raise ConversionError(f"{package.name}: must open after writing, got {error}; check the disk, then report it") from error
    if strange:
        raise ConversionError(
            f"{package.name}: constants must be finite as the source's weights are, got {len(strange)} others ({', '.join(strange[:3])}); "
            "pass --precision float32, and report it"
        )


def _constants(package: Package, model: ModelSpec) -> Iterator[tuple[str, Array]]:
    """Yield the constants of a model and of models inside it, with the name of their operation, reading one at a time."""
    for inner in model.models:
        yield from _constants(package, inner)
    if model.program is None:
        return
    for function in model.program.functions.values():
        for operation in function.block.operations:
            given = (argument for arguments in operation.inputs.values() for argument in arguments)
            for value in (*operation.attributes.values(), *given):
                if isinstance(value, Value) and isinstance(value.data, Blob) and isinstance(value.type, TensorType):
                    yield operation.name, package.blobs.tensor(value.data, value.type)
                elif isinstance(value, Value) and isinstance(value.data, np.ndarray):
                    yield operation.name, value.data
