"""What one run of a scheduler leaves behind for the next, or for another scheduler."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sdrt.arrays import F64
from sdrt.testing.fault import Fault
from sdrt.testing.schedulers.paths import Path
from sdrt.testing.schedulers.port import Maker, Noise, SchedulerPort

__all__ = ["state_faults"]

# Runs that are looked at: of several settings each, the longest ones.
_MOST = 2


def state_faults(maker: Maker, fixed: Mapping[str, Any], paths: Sequence[Path]) -> list[Fault]:
    """Run a port that is otherwise right a second time, after a run that was left, and beside another run."""
    chosen = sorted(paths, key=lambda path: -len(path.inputs))[:_MOST]
    faults: list[Fault] = []
    for path in chosen:
        passed = {key: value for key, value in path.case.config.items() if key != "_class_name" and key not in fixed}
        for text, run in _WAYS.items():
            if faults or (maker.is_made and run is _beside_another):
                break
            try:
                results = run(path, maker, passed)
            except Exception as error:  # noqa: BLE001  # whatever the port raises is what is reported
                faults.append(Fault("state_leaks", f"{text}; {path.case}: {type(error).__name__}: {error}"))
                continue
            wrong = [i for i, (got, wanted) in enumerate(zip(results, path.right.results, strict=False)) if _differs(path, i, got, wanted)]
            if wrong:
                faults.append(Fault("state_leaks", f"{text}; {path.case}: call {wrong[0]} is another one then"))
    return faults


def _differs(path: Path, i: int, got: F64, wanted: F64) -> bool:
    return got.shape != wanted.shape or bool((np.abs(got - wanted) > 2 * path.bounds[i]).any())


def _step(port: SchedulerPort, path: Path, i: int) -> F64:
    port.scale(path.inputs[i], i)
    return port.step(path.outputs[i], i, path.inputs[i], Noise(path.noises[i], path.case.seed, path.skipped[i], path.further))


def _again(path: Path, maker: Maker, passed: Mapping[str, Any]) -> list[F64]:
    """Run one object twice."""
    built = maker.build(passed, path.case.n)
    for _ in range(2):
        port = maker.run(built, path.case.n, path.case.stops, path.scheduler.timesteps)
        results = [_step(port, path, i) for i in range(len(path.inputs))]
    return results


def _after_a_run_that_was_left(path: Path, maker: Maker, passed: Mapping[str, Any]) -> list[F64]:
    """Run one object half the way, and then from the beginning."""
    built = maker.build(passed, path.case.n)
    port = maker.run(built, path.case.n, path.case.stops, path.scheduler.timesteps)
    for i in range((len(path.inputs) + 1) // 2):
        _step(port, path, i)
    port = maker.run(built, path.case.n, path.case.stops, path.scheduler.timesteps)
    return [_step(port, path, i) for i in range(len(path.inputs))]


def _beside_another(path: Path, maker: Maker, passed: Mapping[str, Any]) -> list[F64]:
    """Run two objects in turn, the other one over other samples."""
    port, other = (maker.open(passed, path.case.n, path.case.stops, path.scheduler.timesteps) for _ in range(2))
    results = []
    for i in range(len(path.inputs)):
        results.append(_step(port, path, i))
        noise = Noise(path.noises[i][::-1], path.case.seed + 1, 0, path.further)
        other.scale(path.inputs[i] * np.float32(0.5), i)
        other.step(path.outputs[i] * np.float32(0.5), i, path.inputs[i] * np.float32(0.5), noise)
    return results


_WAYS: Mapping[str, Callable[[Path, Maker, Mapping[str, Any]], list[F64]]] = {
    "a second run of the same object is not the first": _again,
    "a run after one that was left half-way is not the first": _after_a_run_that_was_left,
    "a run beside another object's is not the same as alone": _beside_another,
}
