"""Lead a port along a path, and note what it shows."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from sdrt.arrays import F64
from sdrt.testing.fault import Fault
from sdrt.testing.schedulers.items import Item, items_of
from sdrt.testing.schedulers.paths import Path, follow_timesteps
from sdrt.testing.schedulers.port import Noise, SchedulerPort

__all__ = ["REFUSALS", "Trace", "trace"]

# What a port may raise for settings and options that it does not have.
REFUSALS = (ValueError, TypeError, NotImplementedError, KeyError, AttributeError, AssertionError)


@dataclass(eq=False)
class Trace:
    """A port's run along one path, as far as it came."""

    path: Path
    items: list[Item] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def badness(self) -> tuple[bool, int]:
        """Whether it has other timesteps, and how much of it is not the original's."""
        return any(item.stage == "timesteps" and not item.is_right for item in self.items), self.num_wrong

    @property
    def num_wrong(self) -> int:
        """How much of it is not the original's."""
        return sum(not item.is_right for item in self.items) + len(self.faults)

    def report(self, kind: str, call: int, text: str) -> None:
        """Note a fault of a call, the first of its kind."""
        if kind not in {fault.kind for fault in self.faults}:
            self.faults.append(Fault(kind, f"{self.path.case}, call {call}: {text}"))


def trace(path: Path, open_port: Callable[[], SchedulerPort]) -> Trace:
    """Lead a port along a path; where its timesteps are others, and its steps too, along one over its own timesteps.

    Raises
    ------
    one of REFUSALS : the port refuses the settings, or the options of the first call
    """
    port = open_port()
    tables = []
    if port.timesteps is not None:
        tables.append(Item(path, "timesteps", 0, port.timesteps, port.sigmas))
    if tables and len(tables[0].got) != len(tables[0].wanted):
        return Trace(path, tables)
    if port.init_noise_sigma is not None:
        tables.append(Item(path, "init", 0, np.asarray(port.init_noise_sigma), port.sigmas))
    led = _led(path, port, retimed=False)
    if led.num_wrong and port.timesteps is not None and not tables[0].is_right:
        own = follow_timesteps(path.case, path.compat, port.timesteps)
        if own is None or len(own.inputs) != len(port.timesteps):
            return Trace(path, tables)
        led = _led(own, open_port(), retimed=True)
    return Trace(path, [*tables, *led.items], led.faults)


def _led(path: Path, port: SchedulerPort, *, retimed: bool) -> Trace:
    found = Trace(path)
    scaled: list[F64] = []
    results: list[F64] = []
    try:
        for i in range(len(path.inputs)):
            _call(found, path, port, i, scaled, results)
    except Exception as error:  # whatever the port raises is what is reported
        if not results and isinstance(error, REFUSALS if path.case.step else (ValueError, NotImplementedError)):
            raise
        found.report("raises", len(results), f"{type(error).__name__}: {error}")
    found.items += items_of(path, scaled, results, port.sigmas, retimed=retimed)
    return found


def _call(found: Trace, path: Path, port: SchedulerPort, i: int, scaled: list[F64], results: list[F64]) -> None:
    x, noise = path.inputs[i], Noise(path.noises[i], path.case.seed, path.skipped[i], path.further)
    seen = port.scale(x, i)
    if seen is not None:
        scaled.append(seen)
    results.append(port.step(path.outputs[i], i, x, noise))
    if results[-1].shape != x.shape:
        found.report("wrong_shape", i, f"the sample after it must have the shape {x.shape}, got {results[-1].shape}")
    elif not np.isfinite(results[-1]).all():
        found.report("not_finite", i, "the sample after it is not finite")
    if port.changes_input:
        found.report("changes_its_input", i, "an array that was passed to step is changed")
    if noise.drawn and not path.draws[i] and any(path.draws[i:]) and not path.brownian:
        found.report("noise_at_the_wrong_step", i, "noise is drawn where the original draws none, which changes all later noise")
