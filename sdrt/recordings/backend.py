"""A backend whose networks answer the calls that a recording holds, looked up by their inputs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from sdrt.arrays import Array, Signature
from sdrt.backends import PLAIN, BackendOptions, BoundNetwork, ComponentOptions
from sdrt.backends.contract import signature
from sdrt.errors import RecordingError
from sdrt.models import ComponentName, Model
from sdrt.recordings.event import Event, EventKind
from sdrt.recordings.tensors import ArraySpec, spec_of

__all__ = ["RecordingBackend", "RecordingNetwork"]

# The inputs of a call as they are looked up: name, dtype, shape and SHA-256 of each.
_Key = frozenset[tuple[str, tuple[str, tuple[int, ...], str]]]


class Recorded(Protocol):
    """The part of a `Recording` that its networks use."""

    path: Path

    @property
    def header(self) -> Mapping[str, Any]: ...

    def events(self, run: int | None = 0, kind: EventKind | None = None, component: str | None = None) -> tuple[Event, ...]: ...

    def arrays(self, event: Event, names: Collection[str] | None = None) -> dict[str, Array]: ...


@dataclass(frozen=True)
class RecordingBackend:
    """Open the networks of a recording; they need no weights.

    Parameters
    ----------
    recording : Recorded
    prefix, suffix : str
        What stands before and behind a component's name in the recording: ``"refiner."``, and ``".1"`` for the second ControlNet. Without
        a suffix, all ControlNets are asked.
    tolerance : float, at least 0
        How far each number of a call may be from the recorded call that answers it. 0: the same bytes.
    """

    name: ClassVar[str] = "recording"
    option_names: ClassVar[tuple[str, ...]] = ()
    component_options: ClassVar[tuple[str, ...]] = ("clip_skip", "freeu", "identity_attention", "token_merging")

    recording: Recorded
    prefix: str = ""
    suffix: str = ""
    tolerance: float = 0.0

    def open(
        self, component: ComponentName, model: Model, options: BackendOptions, component_options: ComponentOptions = PLAIN
    ) -> "RecordingNetwork":
        """Open one component.

        Raises
        ------
        RecordingError : the recording holds no call of it
        """
        name = f"{component}.perturbed" if component == "unet" and component_options.identity_attention else component
        calls = [event for event in self.recording.events(None, "network") if self._is_of(name, str(event.component))]
        if component.startswith("text_encoder"):
            calls = [event for event in calls if event.values.get("clip_skip", 0) == component_options.clip_skip]
        own = signature(component, model.config(component), options.numerics)
        return RecordingNetwork(f"{self.prefix}{component}{self.suffix}", own, self.recording, calls, self.tolerance)

    def _is_of(self, component: str, recorded: str) -> bool:
        if component == "controlnet" and not self.suffix:
            return recorded.removeprefix(self.prefix).startswith(component)
        return recorded == f"{self.prefix}{component}{self.suffix}"


class RecordingNetwork(BoundNetwork):
    """One component of a recording.

    Parameters
    ----------
    component : str
    own : Signature
        By the contract; outputs that no recorded call gives are left out.
    recording : Recorded
    calls : collection of Event
    tolerance : float
    """

    def __init__(self, component: str, own: Signature, recording: Recorded, calls: Collection[Event], tolerance: float = 0.0) -> None:
        given = {name.removeprefix("output.") for event in calls for name in event.arrays if name.startswith("output.")}
        outputs = tuple(spec for spec in own.outputs if not given or spec.name in given)
        super().__init__(component, Signature(own.inputs, outputs, optional=own.optional))
        self._recording, self._calls, self._tolerance = recording, tuple(calls), tolerance

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        specs = {name: spec_of(name, x) for name, x in inputs.items()}
        answers = self._by_inputs.get(_key(specs), [])
        if not answers:
            answers = [self._nearest(inputs, specs)]
        if len({_key(_side(event, "output.")) for event in answers}) > 1:
            runs = ", ".join(str(event.run) for event in answers)
            raise RecordingError(
                f"{self._recording.path}: {self._component}: runs {runs} must give one answer to these inputs, got several; "
                "load one of them with recording.only(run)"
            )
        return self._answer(answers[0])

    @cached_property
    def _by_inputs(self) -> Mapping[_Key, list[Event]]:
        found: dict[_Key, list[Event]] = {}
        for event in self._calls:
            found.setdefault(_key(_side(event, "input.")), []).append(event)
        return found

    def _answer(self, event: Event) -> dict[str, Array]:
        names = [f"output.{spec.name}" for spec in self.signature.outputs]
        outputs = self._recording.arrays(event, names)
        if missing := next((name for name in names if name not in outputs), None):
            kept = self._recording.header.get("keep")
            raise RecordingError(
                f"{self._recording.path}: {event.place} must have the numbers of {missing} to answer, got its SHA-256 alone "
                f"(keep={kept!r}); record it with keep='all' or 'outputs'"
            )
        # a network's outputs are its caller's own
        return {name.removeprefix("output."): x.copy() for name, x in outputs.items()}

    def _nearest(self, inputs: Mapping[str, Array], specs: Mapping[str, ArraySpec]) -> Event:
        """Return the recorded call whose inputs are nearest, if they are within the tolerance.

        Raises
        ------
        RecordingError : they are not
        """
        where = f"{self._recording.path}: {self._component}"
        alike = [event for event in self._calls if _shapes(_side(event, "input.")) == _shapes(specs)]
        if not alike:
            got = ", ".join(f"{name} {spec}" for name, spec in specs.items())
            have = "; ".join(dict.fromkeys(", ".join(f"{n} {s}" for n, s in _side(event, "input.").items()) for event in self._calls))
            raise RecordingError(f"{where}: a call must have the shapes of one that is recorded, got {got}; it holds {have or 'none'}")
        far: dict[str, float] = {}
        nearest: Event | None = None
        for event in alike:
            held = self._recording.arrays(event, [f"input.{name}" for name in inputs])
            # inputs that were not kept count as far as their SHA-256 differ
            known = _side(event, "input.")
            each = {
                name: 0.0 if known[name].identity == specs[name].identity else _difference(x, held.get(f"input.{name}"))
                for name, x in inputs.items()
            }
            if nearest is None or max(each.values()) < max(far.values()):
                nearest, far = event, each
        if nearest is not None and max(far.values()) <= self._tolerance:
            return nearest
        place = alike[0].place if nearest is None else nearest.place
        apart = ", ".join(f"{name} by {x:.3g}" if np.isfinite(x) else f"{name} (not kept)" for name, x in far.items() if x)
        raise RecordingError(
            f"{where}: the inputs of a call must be recorded ones, got others; nearest is {place}, which differs in {apart}; run it "
            "with the recorded settings, or allow that much with recording.backend(tolerance=...)"
        )


def _side(event: Event, prefix: str) -> dict[str, ArraySpec]:
    return {name.removeprefix(prefix): spec for name, spec in event.arrays.items() if name.startswith(prefix)}


def _key(specs: Mapping[str, ArraySpec]) -> _Key:
    return frozenset((name, spec.identity) for name, spec in specs.items())


def _shapes(specs: Mapping[str, ArraySpec]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (spec.dtype, spec.shape) for name, spec in specs.items()}


def _difference(x: Array, recorded: Array | None) -> float:
    """Return the largest difference of two arrays of one shape; infinite where the recorded one was not kept."""
    if recorded is None:
        return np.inf
    return float(np.abs(x.astype(np.float64) - recorded.astype(np.float64)).max()) if x.size else 0.0
