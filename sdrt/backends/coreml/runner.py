"""Who predicts: the executor, or Core ML itself. Both stand behind one small interface, and the choice stands here."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sdrt.arrays import Array
from sdrt.backends.coreml.options import CoreMLOptions, LoadEvent
from sdrt.backends.coreml.program import MLProgram
from sdrt.log import log
from sdrt.models.mlpackage.features import Feature

__all__ = ["ChainedRunner", "Runner", "open_runner"]


class Runner(Protocol):
    """A package that predicts, by its own names. `MLProgram` is one."""

    @property
    def inputs(self) -> Sequence[Feature]:
        """What ``predict`` takes."""
        ...

    @property
    def outputs(self) -> Sequence[Feature]:
        """What it gives."""
        ...

    def predict(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Run once; inputs are cast to the types that the package declares."""
        ...

    def close(self) -> None:
        """Give the memory back; twice is fine."""
        ...


class ChainedRunner:
    """The halves of a network as one: what the first gives and the second takes never leaves it.

    Parameters
    ----------
    runners : sequence of Runner, at least one
        In the order in which they run.
    """

    def __init__(self, runners: Sequence[Runner]) -> None:
        self._runners = tuple(runners)
        made: set[str] = set()
        inputs: dict[str, Feature] = {}
        for runner in self._runners:
            inputs |= {feature.name: feature for feature in runner.inputs if feature.name not in made}
            made |= {feature.name for feature in runner.outputs}
        self.inputs: Sequence[Feature] = tuple(inputs.values())

    @property
    def outputs(self) -> Sequence[Feature]:
        """What the last one gives."""
        return self._runners[-1].outputs

    def predict(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Run them one after the other."""
        values = dict(inputs)
        outputs: dict[str, Array] = {}
        for runner in self._runners:
            names = {feature.name for feature in runner.inputs}
            outputs = runner.predict({name: value for name, value in values.items() if name in names})
            values |= outputs
        return outputs

    def close(self) -> None:
        """Close them all."""
        for runner in self._runners:
            runner.close()


def open_runner(paths: Sequence[Path], options: CoreMLOptions) -> Runner:
    """Open a package, or the halves of one network.

    Raises
    ------
    MissingExtraError : on macOS, without coremltools
    MissingFileError, ModelError : a package is not there or damaged
    """
    runners: list[Runner] = []
    try:
        runners.extend(_open_with_events(path, options) for path in paths)
    except BaseException:
        for runner in runners:
            runner.close()
        raise
    return runners[0] if len(runners) == 1 else ChainedRunner(runners)


def _open_with_events(path: Path, options: CoreMLOptions) -> Runner:
    log.info("loading %s", path)
    if options.on_load is not None:
        options.on_load(LoadEvent(path=path))
    start = time.monotonic()
    runner = _open(path, options)
    seconds = time.monotonic() - start
    log.info("loaded %s in %.1f s", path, seconds)
    if options.on_load is not None:
        options.on_load(LoadEvent(path=path, seconds=seconds))
    return runner


def _open(path: Path, options: CoreMLOptions) -> Runner:
    if options.native:
        from sdrt.backends.coreml.native import NativeRunner

        return NativeRunner(path, options.compute_unit)
    keep = 0 if options.low_memory else None
    return MLProgram(path, precision=options.precision or "float32", threads=options.threads, keep_weights=keep, mmap=options.mmap)
