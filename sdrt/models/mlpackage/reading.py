"""A package's inputs and outputs, for whoever needs to know no more."""

from pathlib import Path

from sdrt.errors import ModelError
from sdrt.models.mlpackage.features import Interface
from sdrt.models.mlpackage.package import open_package

__all__ = ["read_interface"]


def read_interface(path: Path) -> Interface:
    """Inputs and outputs of the package at a path; no weight is read.

    Raises
    ------
    MissingFileError : it is not there
    ModelError : it is damaged
    """
    package = open_package(path)
    model = package.model
    said = model.description.interface(model.description.default_function or "main")
    if said.inputs and said.outputs:
        return said
    # a compiled pipeline says nothing of itself: it takes what its first model does and gives what its last one does
    parts = model.models
    if not parts:
        raise ModelError(f"{path}: says nothing of its inputs and outputs; fetch or convert the package again")
    made = {feature.name for part in parts for feature in part.description.main.outputs}
    taken = {feature.name: feature for part in parts for feature in part.description.main.inputs if feature.name not in made}
    return Interface(inputs=tuple(taken.values()), outputs=parts[-1].description.main.outputs)
