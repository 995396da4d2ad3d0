"""What lies on disk: an .mlpackage folder, a compiled .mlmodelc folder, or a single .mlmodel file."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from sdrt.errors import MissingFileError, ModelError
from sdrt.files import entries, exists, is_folder, map_file, read_bytes
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models.json_file import read_json
from sdrt.models.mlpackage.blob import BlobFiles
from sdrt.models.mlpackage.compiled import read_compiled
from sdrt.models.mlpackage.features import Interface
from sdrt.models.mlpackage.files import inside
from sdrt.models.mlpackage.spec import ModelSpec, read_model
from sdrt.printable import shown

__all__ = ["Package", "open_package", "read_interface"]

_STAGE = re.compile(r"model\d{1,4}")


@dataclass(frozen=True, kw_only=True)
class Package:
    """A model that was read.

    Parameters
    ----------
    path : Path
    form : "mlpackage", "mlmodelc" or "mlmodel"
    model : ModelSpec
    blobs : BlobFiles
        Its weight files; for a compiled pipeline each model has its own, in the order of ``model.models``.
    stages : tuple of Package
    """

    path: Path
    form: str
    model: ModelSpec
    blobs: BlobFiles
    stages: tuple["Package", ...] = field(default=())


def open_package(path: str | Path, limits: Limits = DEFAULT_LIMITS, *, memory_map: bool = True) -> Package:
    """Read a model; weights stay on disk.

    Parameters
    ----------
    path : path of a ``.mlpackage`` or ``.mlmodelc`` folder, or of an ``.mlmodel`` file
    limits : Limits
    memory_map : bool
        Whether weights stay on disk until they are read; see `sdrt.files.map_file`.

    Raises
    ------
    MissingFileError : it, or a file of it, is not there
    ModelError : it is damaged, or no such model
    """
    path = Path(path)
    if not exists(path):
        raise MissingFileError(f"{path}: no such model; give the path of a .mlpackage or .mlmodelc folder")
    form, file, root = "mlmodel", path, path.parent
    if is_folder(path):
        if exists(path / "model.mil") and not exists(path / "Manifest.json"):
            return Package(path=path, form="mlmodelc", model=read_compiled(path, limits), blobs=BlobFiles(path, memory_map=memory_map))
        if not exists(path / "Manifest.json"):
            return _compiled_pipeline(path, limits, memory_map=memory_map)
        form, file = "mlpackage", _root_model(path, limits)
        root = file.parent
    model = _read_program(file, limits, memory_map=memory_map)
    return Package(path=path, form=form, model=model, blobs=BlobFiles(root, memory_map=memory_map))


def read_interface(path: Path, limits: Limits = DEFAULT_LIMITS) -> Interface:
    """Read the inputs and outputs of the package at a path; no weight is read.

    Raises
    ------
    MissingFileError : it is not there
    ModelError : it is damaged
    """
    package = open_package(path, limits)
    model = package.model
    interface = model.description.interface(model.description.default_function or "main")
    if interface.inputs and interface.outputs:
        return interface
    # a compiled pipeline does not describe itself: it takes what its stages do not make, and gives what its last one does
    stages = model.models
    if not stages:
        raise ModelError(f"{path}: must describe its inputs and outputs, got neither; fetch or convert the package again")
    made = {feature.name for stage in stages for feature in stage.description.main.outputs}
    taken = {feature.name: feature for stage in stages for feature in stage.description.main.inputs if feature.name not in made}
    return Interface(inputs=tuple(taken.values()), outputs=stages[-1].description.main.outputs)


def _read_program(file: Path, limits: Limits, *, memory_map: bool) -> ModelSpec:
    # mapped: of a large file that is no program only the first bytes are read
    data = map_file(file) if memory_map else read_bytes(file, limits)
    limits.check("file_bytes", f"{file}: the size in bytes", len(data), ModelError)
    return read_model(memoryview(data), str(file))


def _root_model(path: Path, limits: Limits) -> Path:
    file = path / "Manifest.json"
    manifest = read_json(file, limits)
    items, root = manifest.get("itemInfoEntries"), manifest.get("rootModelIdentifier")
    entry = items.get(root) if isinstance(items, dict) and isinstance(root, str) else None
    name = entry.get("path") if isinstance(entry, dict) else None
    if not isinstance(name, str):
        raise ModelError(f"{file}: names no root model (rootModelIdentifier {shown(root)}); fetch or convert the package again")
    return inside(path / "Data", name, f"{file}: the root model's path")


def _compiled_pipeline(path: Path, limits: Limits, *, memory_map: bool) -> Package:
    """Read a compiled pipeline, whose stages are the folders model0, model1 and so on."""
    if not is_folder(path / "model0"):
        raise MissingFileError(f"{path}: has neither Manifest.json (.mlpackage) nor model.mil (.mlmodelc); give the path of such a folder")
    numbered = {int(each.name[5:]): each for each in entries(path) if _STAGE.fullmatch(each.name)}
    stages = tuple(open_package(numbered[number], limits, memory_map=memory_map) for number in sorted(numbered))
    models = tuple(stage.model for stage in stages)
    model = ModelSpec(specification=models[0].specification, description=models[-1].description, program=None, models=models)
    return Package(path=path, form="mlmodelc", model=model, blobs=stages[0].blobs, stages=stages)
