"""Measure how replaced weights change a model's output, in the executor; no package is written for it.

A measurement costs one forward pass of the network. Everything before the first replaced weight is computed once and cached, so measuring
layers in the program's order takes half the time of whole passes. For SD 1.5's U-Net at 32x32, with 280 weights at five widths and about
27 s a pass on two cores, this takes about five hours; `converter.compression.measurements` allows doing it in pieces.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from converter.verification.figures import psnr
from sdrt.arrays import Array
from sdrt.backends.coreml.constants import Constants, KeptArrays
from sdrt.backends.coreml.executor import Executor, plain_computations
from sdrt.backends.coreml.patterns import fused_computations
from sdrt.backends.coreml.place import Place, failing
from sdrt.backends.coreml.predicting import cast_inputs
from sdrt.backends.coreml.step import Run, check_outputs
from sdrt.backends.numpy.blas import one_thread
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.errors import ModelError
from sdrt.host import usable_cores
from sdrt.models.mlpackage.features import Feature
from sdrt.models.mlpackage.package import open_package

__all__ = ["OutputMeasure", "random_inputs"]


def random_inputs(features: tuple[Feature, ...], seed: int, vocabulary: int) -> dict[str, Array]:
    """Make random inputs for a network of Stable Diffusion: normal numbers, except for timesteps and token ids below ``vocabulary``."""
    rng = np.random.default_rng(seed)
    inputs: dict[str, Array] = {}
    for feature in features:
        shape = feature.choices[0] if feature.choices else feature.shape
        if feature.name == "timestep":
            inputs[feature.name] = rng.integers(1, 1000, shape).astype(np.float32)
        elif feature.name == "input_ids" or "int" in feature.dtype:
            inputs[feature.name] = rng.integers(0, vocabulary, shape).astype(np.int32)
        else:
            inputs[feature.name] = rng.standard_normal(shape, dtype=np.float32)
    return inputs


class OutputMeasure:
    """Compare a model's output under replaced weights with its own output, on fixed inputs, in float32.

    Parameters
    ----------
    path : path of a .mlpackage of one ML Program
    seed : int
        The seed of the inputs.
    inputs : mapping or None
        Inputs by name that replace the random ones.

    Raises
    ------
    ModelError : a damaged package, or an operation that the executor does not support
    """

    def __init__(self, path: Path, *, seed: int = 0, inputs: Mapping[str, Any] | None = None) -> None:
        package = open_package(path)
        if package.model.program is None:
            raise ModelError(f"{path}: must be a single ML Program, got another model; measure it before it is chunked")
        function = next(iter(package.model.program.functions.values()))
        features = package.model.description.interface(function.name).inputs
        self._function = function
        self._constants = _PatchedConstants(function.name, function.block, package.blobs, KeptArrays(None))
        own = dict(inputs) if inputs is not None else random_inputs(features, seed, self._vocabulary())
        self.key = _digest(own)
        computations = fused_computations(function, self._constants, plain_computations(function, self._constants))
        # The executor checks the order of operations; it only runs whole programs itself.
        self._computations = Executor(function, self._constants, "float32", computations).computations
        self._last = {name: index for index, step in enumerate(self._computations) for name in step.names()}
        self._readers: dict[str, int] = {}
        for index, step in enumerate(self._computations):
            for name in step.names():
                self._readers.setdefault(name, index)
        self._team = ThreadTeam(usable_cores())
        taken = cast_inputs(path.name, features, own)
        self.inputs = own
        self._inputs = {name: value.astype(np.float32) if value.dtype.kind == "f" else value for name, value in taken.items()}
        self._place, self._values = 0, dict(self._inputs)
        self._reference = self._outputs(self._run(0, dict(self._values), len(self._computations)))

    def __call__(self, replaced: Mapping[str, Array]) -> float:
        """Return the PSNR of the output with these weights instead of the model's own; of several outputs, the lowest.

        Parameters
        ----------
        replaced : mapping
            An array of the weight's shape for each constant's name; read once in each run.
        """
        start = min((self._readers[name] for name in replaced if name in self._readers), default=len(self._computations))
        if start < self._place:
            self._place, self._values = 0, dict(self._inputs)
        self._values = self._run(self._place, self._values, start)
        self._place = start
        self._constants.replaced = replaced
        try:
            outputs = self._outputs(self._run(start, dict(self._values), len(self._computations)))
        finally:
            self._constants.replaced = {}
        return min(psnr(outputs[name], value) for name, value in self._reference.items())

    def close(self) -> None:
        """Release threads and memory."""
        self._team.close()
        self._values = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _vocabulary(self) -> int:
        """Return the number of rows of the smallest lookup table: token ids and positions are below it."""
        tables = [operation.inputs["x"][0] for operation in self._function.block.operations if operation.type == "gather"]
        rows = [self._constants.shape(name)[0] for name in tables if isinstance(name, str) and name in self._constants]
        return min((count for count in rows if count), default=256)

    def _run(self, start: int, values: dict[str, Array], stop: int) -> dict[str, Array]:
        """Compute the steps from ``start`` up to ``stop``; values that later steps or outputs need stay in ``values``."""
        run = Run(self._constants, self._team, values)
        kept = set(self._function.block.outputs)
        with one_thread(), np.errstate(all="ignore"):
            for index in range(start, stop):
                step = self._computations[index]
                place = Place(self._function.name, step.operation)
                with failing(place):
                    results = step.compute(run)
                for output, value in zip(step.operation.outputs, check_outputs(place, results, rounded=False), strict=True):
                    values[output.name] = value
                for name in (*step.names(), *(output.name for output in step.operation.outputs)):
                    if self._last.get(name, -1) <= index and name not in kept:
                        values.pop(name, None)
        return values

    def _outputs(self, values: Mapping[str, Array]) -> dict[str, Array]:
        run = Run(self._constants, self._team, values)
        return {name: np.array(run.get(name)) for name in self._function.block.outputs}


class _PatchedConstants(Constants):
    """Constants of which some are temporarily replaced; replacements are not cached."""

    replaced: Mapping[str, Array] = {}

    def get(self, name: str) -> Array:
        return self.replaced[name].astype(np.float32) if name in self.replaced else super().get(name)

    def prepared(self, name: str, form: str, make: Callable[[Array], tuple[Any, int]]) -> Any:
        if name in self.replaced:
            return make(self.replaced[name].astype(np.float32))[0]
        return super().prepared(name, form, make)


def _digest(inputs: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(inputs):
        value = np.ascontiguousarray(inputs[name])
        digest.update(f"{name}{value.dtype}{value.shape}".encode())
        digest.update(value.data)
    return digest.hexdigest()
