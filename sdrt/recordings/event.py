"""One event of a recording: what happened, in which run and step, with which arrays and values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from sdrt.errors import RecordingError
from sdrt.json_text import parse_json
from sdrt.recordings.tensors import ArraySpec, ArraySpecKind
from sdrt.values import Anything, Choice, Integer, Kind, MappingOf, Nullable, Text

__all__ = ["Event", "EventKind", "event_name", "read_event", "whereabouts"]

EventKind: TypeAlias = Literal["begin", "noise", "network", "step", "end"]

_WORDS = {"begin": "its beginning", "noise": "its noise", "step": "the scheduler's step", "end": "its end"}
_KINDS: Mapping[str, Kind[Any]] = {
    "kind": Choice(*get_args(EventKind)),
    "run": Integer(0, 2**31),
    "step": Nullable(Integer(0, 2**31)),
    "component": Nullable(Text(100, empty=False)),
    "arrays": MappingOf(ArraySpecKind()),
    "values": MappingOf(Anything()),
}


@dataclass(frozen=True)
class Event:
    """One event.

    Parameters
    ----------
    kind : "begin", "noise", "network", "step" or "end"
    run : int
        Counted from 0.
    step : int or None
        The call of the run's loop that it belongs to, counted from 0; None before the loop and after it.
    component : str or None
        Of a network call: ``"unet"``, ``"controlnet.0"``, ``"refiner.unet"``.
    arrays : mapping from name to ArraySpec
    values : mapping
        Of JSON.
    name : str
        That of its entry in the file, without the ending.
    """

    kind: EventKind
    run: int
    step: int | None = None
    component: str | None = None
    arrays: Mapping[str, ArraySpec] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    @property
    def place(self) -> str:
        """Where in its run it stands, in words."""
        return whereabouts(self.kind, self.run, self.step, self.component)

    def to_json(self) -> bytes:
        """Return it as JSON."""
        arrays = {
            name: {"dtype": spec.dtype, "shape": list(spec.shape), "sha256": spec.sha256}
            | ({} if spec.entry is None else {"entry": spec.entry, "key": spec.key})
            for name, spec in self.arrays.items()
        }
        record = {"kind": self.kind, "run": self.run, "step": self.step, "component": self.component, "arrays": arrays}
        return json.dumps(record | {"values": self.values}, allow_nan=False, separators=(",", ":")).encode()


def event_name(number: int) -> str:
    """Return the name of the entries of an event, counted from 0.

    >>> event_name(12)
    'events/000012'
    """
    return f"events/{number:06}"


def whereabouts(kind: object, run: object, step: object, component: object) -> str:
    """Say where an event stands.

    >>> whereabouts("network", 0, 3, "unet")
    'step 3 of run 0 (unet)'
    """
    what = component if kind == "network" else _WORDS.get(str(kind))
    return f"run {run} ({what})" if step is None else f"step {step} of run {run} ({what})"


def read_event(content: bytes, name: str) -> Event:
    """Read an event's JSON.

    Parameters
    ----------
    content : bytes
    name : str
        Of its entry, without the ending.

    Raises
    ------
    RecordingError : it is none
    """
    owner = f"{name}.json"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise RecordingError(f"{owner}: an event must be JSON in UTF-8, got other bytes; record it again") from None
    record = parse_json(text, owner, "record it again", RecordingError)
    if not isinstance(record, dict) or record.keys() != _KINDS.keys():
        raise RecordingError(f"{owner}: an event must have {', '.join(_KINDS)}; record it again")
    checked = {key: kind.check(f"{owner}: {key}", record[key], "record it again", RecordingError) for key, kind in _KINDS.items()}
    if (checked["kind"] == "network") != (checked["component"] is not None):
        raise RecordingError(f"{owner}: a network call must have a component, and nothing else may; record it again")
    return Event(**checked, name=name)
