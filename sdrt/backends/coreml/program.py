"""Core ML models on any system: open a package, call ``predict``."""

from collections.abc import Collection, Generator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.constants import Constants, KeptArrays
from sdrt.backends.coreml.describe import Summary, summarize
from sdrt.backends.coreml.executor import Executor, OpResult, Precision, plain_computations
from sdrt.backends.coreml.patterns import fused_computations
from sdrt.backends.coreml.predicting import cast_inputs, cast_output
from sdrt.backends.numpy.blas import one_thread
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.errors import BackendError, ConfigError, ModelError
from sdrt.host import usable_cores
from sdrt.limits import DEFAULT_LIMITS
from sdrt.models.mlpackage.features import Description, Feature, Interface
from sdrt.models.mlpackage.mil import Function, Operation, Program, TensorType
from sdrt.models.mlpackage.package import Package, open_package
from sdrt.models.mlpackage.spec import ModelSpec
from sdrt.values import Choice, Flag, Integer, Nullable, Text

__all__ = ["MLProgram"]


class MLProgram:
    """A Core ML model that is an ML Program, or a pipeline of them, run with numpy alone.

    Parameters
    ----------
    path : path of a ``.mlpackage`` or ``.mlmodelc`` folder, or of an ``.mlmodel`` file
    precision : "float32" or "float16"
        float32 takes the program's float16 for float32: what the model means, and fastest. float16 computes each operation in float32 and
        rounds its result to the type that the program declares: what hardware with half precision gives, up to its order of additions.
    function : str or None
        Which function of a model with several; None takes its default.
    threads : int or None
        At most so many threads; None takes the cores that this process may use.
    keep_weights : int or None
        Bytes of weights that may be kept in the form in which they are computed with (float16 widened, tables looked up, convolutions
        packed); the least used are made again when they are needed. None keeps all, 0 none. What is float32 on disk stays there.
    fuse : bool
        Whether to recognise group normalisation, attention and the like where a converter wrote them in pieces, and to compute each as one;
        in float32 only.
    mmap : bool
        Whether weights are views of the disk; False reads them into memory when they are needed.

    Raises
    ------
    MissingFileError : a file of the package is not there
    ModelError : the package is damaged, no ML Program, or uses an operation that is not known here; the message names the operation
    ConfigError : there is no such function or precision

    Notes
    -----
    A model may be called from several threads. Random and stateful operations are not known, nor those with blocks (``cond``,
    ``while_loop``); images are given as arrays in the shape that the program's input has.
    """

    def __init__(
        self,
        path: str | Path,
        precision: Precision = "float32",
        function: str | None = None,
        *,
        threads: int | None = None,
        keep_weights: int | None = None,
        fuse: bool = True,
        mmap: bool = True,
    ) -> None:
        Choice("float32", "float16").check("precision", precision, "choose one of those")
        Nullable(Text()).check("function", function)
        threads = Nullable(Integer(minimum=1)).check("threads", threads, "None is all cores")
        DEFAULT_LIMITS.check("threads", "threads", threads or 1)
        keep_weights = Nullable(Integer(minimum=0)).check("keep_weights", keep_weights, "None keeps all")
        Flag().check("fuse", fuse)
        self._package = open_package(path, memory_map=Flag().check("mmap", mmap))
        self._precision: Precision = precision
        self._kept = KeptArrays(keep_weights)
        self._team: ThreadTeam | None = ThreadTeam(threads or usable_cores())
        self._stages = tuple(self._load(self._package, self._package.model, function, fuse, "0"))
        interface = self._package.model.description.interface(self._stages[0].function.name)
        self._interface = interface if interface.outputs else self._stages[-1].interface

    @property
    def inputs(self) -> tuple[Feature, ...]:
        """What ``predict`` takes."""
        return self._interface.inputs or self._stages[0].interface.inputs

    @property
    def outputs(self) -> tuple[Feature, ...]:
        """What ``predict`` gives, in the program's order."""
        return self._interface.outputs

    @property
    def functions(self) -> tuple[str, ...]:
        """The names that ``function`` may have."""
        program = self._package.model.program
        return tuple(program.functions) if program is not None else ()

    @property
    def description(self) -> Description:
        """What the model says of itself."""
        return self._package.model.description

    @property
    def step_count(self) -> int:
        """How many computations a run takes, all models of a pipeline together."""
        return sum(len(stage.executor.computations) for stage in self._stages)

    @property
    def kept_bytes(self) -> int:
        """Bytes of weights that are kept in another form than on disk."""
        return self._kept.bytes

    def computation_names(self) -> frozenset[str]:
        """List the kinds of computation that a run takes: ``OperationStep`` for an operation by itself, else the recognised pattern."""
        return frozenset(type(item).__name__ for stage in self._stages for item in stage.executor.computations)

    def operations(self) -> tuple[Operation, ...]:
        """List the package's own operations, constants included, all models of a pipeline after one another."""
        return tuple(operation for stage in self._stages for operation in stage.function.block.operations)

    def describe(self) -> Summary:
        """Describe inputs, outputs, operations, compression and size, as plain data; no weight is read."""
        return summarize(self._package)

    def predict(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Run the model once.

        Parameters
        ----------
        inputs : mapping
            An array, or what numpy makes one of, for each input by the package's own name; cast to the type that the package declares (a
            float becomes an integer by cutting). An input with a default may be left out.

        Returns
        -------
        dict of arrays by the package's own names, in the program's order
            float16 outputs are float32 unless the precision is float16.

        Raises
        ------
        ArrayContractError : an input is missing, unknown, or of a shape that the model does not allow; the message says which it does
        ModelError : the model is damaged
        BackendError : the model is closed
        """
        team = self._open_team()
        values = cast_inputs(str(self._package.path.name), self.inputs, inputs)
        with one_thread():
            for stage in self._stages:
                values |= stage.run(team, values)
        return self._cast_outputs(values)

    def walk(self, inputs: Mapping[str, Any]) -> Generator[OpResult, None, dict[str, Array]]:
        """Run the model once, yielding the result of each computation at once.

        The walk of a program that was opened with ``fuse=False`` goes over its operations one by one, in their order. Two programs may be
        walked side by side; leaving a walk ends it.

        Parameters
        ----------
        inputs : mapping
            As `predict` takes.

        Returns
        -------
        generator of OpResult, whose value is what `predict` gives

        Raises
        ------
        As `predict`.
        """
        return self._walk(self._open_team(), cast_inputs(str(self._package.path.name), self.inputs, inputs))

    def trace(self, inputs: Mapping[str, Any], names: Collection[str]) -> dict[str, Array]:
        """Run the model once for some of the values inside, by the program's own names.

        Parameters
        ----------
        inputs : mapping
            As `predict` takes.
        names : collection of str
            Outputs of operations; `operations` lists them. Where computations are fused, some values are never made: open with
            ``fuse=False``.

        Returns
        -------
        dict of arrays, in the order in which they are made

        Raises
        ------
        ConfigError : a value of this name is never made
        """
        values: dict[str, Array] = {}
        for result in self.walk(inputs):
            for output, value in zip(result.operation.outputs, result.values, strict=True):
                if output.name in names:
                    values[output.name] = np.array(value, order="C")
        if missing := [name for name in names if name not in values]:
            raise ConfigError(f"{self._package.path}: no computation gives {', '.join(missing)}; with fuse=False there are more")
        return values

    def close(self) -> None:
        """Give the memory back; twice is fine."""
        team, self._team = self._team, None
        self._kept.clear()
        if team is not None:
            team.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _open_team(self) -> ThreadTeam:
        if self._team is None:
            raise BackendError(f"{self._package.path}: this model is closed; open it again to use it")
        return self._team

    def _walk(self, team: ThreadTeam, values: dict[str, Array]) -> Generator[OpResult, None, dict[str, Array]]:
        for stage in self._stages:
            values |= yield from stage.walk(team, values)
        return self._cast_outputs(values)

    def _cast_outputs(self, values: Mapping[str, Array]) -> dict[str, Array]:
        names = [feature.name for feature in self.outputs] or list(self._stages[-1].function.block.outputs)
        kinds = {feature.name: feature.dtype for feature in self.outputs}
        return {name: cast_output(values[name], kinds.get(name, ""), self._precision) for name in names if name in values}

    def _load(self, package: Package, model: ModelSpec, function: str | None, fuse: bool, key: str) -> "list[_Stage]":
        if model.program is not None:
            chosen = _function(package, model, model.program, function)
            constants = Constants(f"{key}.{chosen.name}", chosen.block, package.blobs, self._kept)
            plain = plain_computations(chosen, constants)
            computations = fused_computations(chosen, constants, plain) if fuse and self._precision == "float32" else plain
            interface = model.description.interface(chosen.name)
            return [_Stage(chosen, interface, Executor(chosen, constants, self._precision, computations))]
        packages = package.stages or (package,) * len(model.models)
        stages: list[_Stage] = []
        for index, (stage, inner) in enumerate(zip(packages, model.models, strict=True)):
            stages += self._load(stage, inner, None, fuse, f"{key}.{index}")
        return stages


class _Stage:
    """One program of a pipeline; the only one, usually."""

    def __init__(self, function: Function, interface: Interface, executor: Executor) -> None:
        self.function = function
        self.interface = interface
        self.executor = executor

    def run(self, team: ThreadTeam, values: Mapping[str, Array]) -> dict[str, Array]:
        return self.executor.run(team, self._taken(values))

    def walk(self, team: ThreadTeam, values: Mapping[str, Array]) -> Generator[OpResult, None, dict[str, Array]]:
        return self.executor.walk(team, self._taken(values))

    def _taken(self, values: Mapping[str, Array]) -> dict[str, Array]:
        taken = {}
        for item in self.function.inputs:
            if item.name not in values:
                raise ModelError(
                    f"function {self.function.name!r}: the input {item.name!r} is made by no model before it; the pipeline is damaged"
                )
            value = values[item.name]
            if isinstance(item.type, TensorType):
                if not item.type.admits(value.shape):
                    raise ModelError(f"function {self.function.name!r}: input {item.name!r} is {item.type}, got {list(value.shape)}")
                value = value.astype(np.float32, copy=False) if value.dtype.kind == "f" and item.type.dtype != "fp64" else value
            taken[item.name] = value
        return taken


def _function(package: Package, model: ModelSpec, program: Program, name: str | None) -> Function:
    wanted = name or model.description.default_function or ("main" if "main" in program.functions else next(iter(program.functions)))
    if wanted not in program.functions:
        raise ConfigError(f"{package.path}: function must be {', '.join(program.functions)}, got {wanted!r}; choose one of those")
    return program.functions[wanted]
