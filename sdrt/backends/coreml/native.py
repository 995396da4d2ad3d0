"""Core ML itself, through coremltools, on macOS. What it compiles is kept between runs.

Nothing but the last call needs a Mac: tests put a coremltools of their own in its place.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.compiled_cache import compiled
from sdrt.backends.coreml.predicting import cast_inputs
from sdrt.errors import BackendError, MissingExtraError
from sdrt.models.coreml.names import ComputeUnit
from sdrt.models.mlpackage.package import read_interface

__all__ = ["NativeRunner"]


class NativeRunner:
    """A package that Core ML runs; see `sdrt.backends.coreml.runner.Runner`.

    Parameters
    ----------
    path : Path
    compute_unit : str

    Raises
    ------
    MissingExtraError : coremltools is not installed
    BackendError : Core ML cannot load the package
    """

    def __init__(self, path: Path, compute_unit: ComputeUnit) -> None:
        interface = read_interface(path)
        self.inputs, self.outputs = interface.inputs, interface.outputs
        self._path = path
        ct = _coremltools()
        try:
            place = path if path.suffix == ".mlmodelc" else compiled(path, ct)
            self._model: Any = ct.models.CompiledMLModel(str(place), compute_units=getattr(ct.ComputeUnit, compute_unit))
        except (OSError, RuntimeError, ValueError) as error:
            raise BackendError(
                f"{path}: Core ML cannot load it with {compute_unit} ({error}); try another compute_unit, or precision='float32'"
            ) from error

    def predict(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Run once.

        Raises
        ------
        ArrayContractError : an input is missing, unknown, or of a shape that the model does not allow
        BackendError : it is closed, or Core ML fails
        """
        if self._model is None:
            raise BackendError(f"{self._path}: this model is closed; open it again to use it")
        kinds = {feature.name: feature.dtype for feature in self.inputs}
        values = cast_inputs(self._path.name, self.inputs, inputs)
        cast = {name: np.ascontiguousarray(value, kinds[name] or "float32") for name, value in values.items()}
        try:
            outputs = self._model.predict(cast)
        except RuntimeError as error:
            raise BackendError(
                f"{self._path}: Core ML fails to predict ({error}); 'Error computing NN outputs' means that memory is short: close other "
                "programs, take a U-Net in halves, or reduce_memory=True"
            ) from error
        return {feature.name: np.array(outputs[feature.name]) for feature in self.outputs if feature.name in outputs}

    def close(self) -> None:
        """Let the model go; twice is fine."""
        self._model = None


def _coremltools() -> Any:
    try:
        return importlib.import_module("coremltools")
    except ImportError as error:
        raise MissingExtraError("Core ML needs coremltools on macOS; install the extra: pip install 'sdrt[coreml]'") from error
