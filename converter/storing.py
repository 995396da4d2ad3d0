"""Write files whole or not at all: under another name first, opened for a check, and only then moved into place."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml import MLProgram
from sdrt.errors import ConversionError, SdrtError
from sdrt.models.mlpackage.mil import Blob, TensorType, Value
from sdrt.models.mlpackage.package import Package, open_package
from sdrt.models.mlpackage.spec import ModelSpec

__all__ = ["check_opens", "move_into_place", "workplace", "write_text"]


@contextmanager
def workplace(out: Path) -> Iterator[Path]:
    """Make a folder inside ``out`` for unfinished files; it is removed afterwards, whatever happens.

    Raises
    ------
    ConversionError : the disk is full, or ``out`` is not writable
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".converting-", dir=out))
    except OSError as error:
        raise ConversionError(f"{out}: must be writable, got {error.strerror}; choose another folder with -o") from error
    try:
        yield folder
    except OSError as error:
        if isinstance(error, SdrtError):
            raise
        reason = error.strerror or error
        raise ConversionError(
            f"{out}: writing failed ({reason}), and nothing incomplete is left; make room, or choose another folder"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def move_into_place(written: Path, place: Path) -> None:
    """Give a finished file or folder its name; an existing one is only removed once the new one is in place.

    Parameters
    ----------
    written : Path
        In a `workplace` of the same folder.
    place : Path
    """
    before = written.with_name(f"{written.name}.before")
    with suppress(FileNotFoundError):
        place.rename(before)
    try:
        written.rename(place)
    except BaseException:
        with suppress(FileNotFoundError):
            before.rename(place)
        raise


def write_text(file: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with workplace(file.parent) as folder:
        written = folder / file.name
        written.write_text(text, encoding="utf-8")
        written.replace(file)
