"""What lies on disk: an .mlpackage folder, a compiled .mlmodelc folder, or a single .mlmodel file."""

from dataclasses import dataclass, field
from pathlib import Path

from sdrt.errors import MissingFileError, ModelError
from sdrt.models.mlpackage.blob import BlobFiles
from sdrt.models.mlpackage.compiled import read_compiled
from sdrt.models.mlpackage.features import Interface
from sdrt.models.mlpackage.files import inside, read_bytes, read_json
from sdrt.models.mlpackage.spec import ModelSpec, read_model

__all__ = ["Package", "open_package", "read_interface"]


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


def open_package(path: str | Path) -> Package:
    """Read a model; weights stay on disk.

    Parameters
    ----------
    path : path of a ``.mlpackage`` or ``.mlmodelc`` folder, or of an ``.mlmodel`` file

    Raises
    ------
    MissingFileError : it, or a file of it, is not there
    ModelError : it is damaged, or no such model
    """
    path = Path(path)
    if not path.exists():
        raise MissingFileError(f"{path}: no such model; give the path of a .mlpackage or .mlmodelc folder")
    if path.is_file():
        return Package(path=path, form="mlmodel", model=read_model(read_bytes(path), str(path)), blobs=BlobFiles(path.parent))
    if (path / "Manifest.json").exists():
        file = _root_model(path)
        return Package(path=path, form="mlpackage", model=read_model(read_bytes(file), str(file)), blobs=BlobFiles(file.parent))
    if (path / "model.mil").exists():
        model = read_compiled(path)
        return Package(path=path, form="mlmodelc", model=model, blobs=BlobFiles(path))
    if (path / "model0").is_dir():
        return _compiled_pipeline(path)
    raise MissingFileError(f"{path}: has neither Manifest.json (.mlpackage) nor model.mil (.mlmodelc); give the path of such a folder")


def read_interface(path: Path) -> Interface:
    """Read the inputs and outputs of the package at a path; no weight is read.

    Raises
    ------
    MissingFileError : it is not there
    ModelError : it is damaged
    """
    package = open_package(path)
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


def _root_model(path: Path) -> Path:
    file = path / "Manifest.json"
    manifest = read_json(file)
    if not isinstance(manifest, dict):
        raise ModelError(f"{file}: must hold an object, got {type(manifest).__name__}; fetch or convert the package again")
    items, root = manifest.get("itemInfoEntries"), manifest.get("rootModelIdentifier")
    entry = items.get(root) if isinstance(items, dict) and isinstance(root, str) else None
    name = entry.get("path") if isinstance(entry, dict) else None
    if not isinstance(name, str):
        raise ModelError(f"{file}: names no root model (rootModelIdentifier {root!r}); fetch or convert the package again")
    return inside(path / "Data", name, f"{file}: the root model's path")


def _compiled_pipeline(path: Path) -> Package:
    """Read a compiled pipeline, whose stages are the folders model0, model1 and so on."""
    folders = sorted(path.glob("model[0-9]*"), key=lambda folder: int(folder.name[5:]) if folder.name[5:].isdecimal() else -1)
    stages = tuple(open_package(folder) for folder in folders)
    models = tuple(stage.model for stage in stages)
    model = ModelSpec(specification=models[0].specification, description=models[-1].description, program=None, models=models)
    return Package(path=path, form="mlmodelc", model=model, blobs=stages[0].blobs, stages=stages)
