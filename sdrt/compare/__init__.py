"""Record runs, play them back, and say where two of them part.

A recording holds every network call, step, noise draw, token and setting of a run in one file (``docs/recordings.md``). It is written by
`record` from a pipeline of sdrt and by `record_diffusers` from one of diffusers, drawn again by `replay`, and loaded as a model by
`sdrt.load`. Two sides, each a recording, a model or a backend, are held side by side by `compare`.
"""

from typing import TYPE_CHECKING

from sdrt.late import late_names

if TYPE_CHECKING:
    from sdrt.compare.comparing import compare
    from sdrt.compare.comparison import Comparison, Departure
    from sdrt.compare.diffusers_recording import record_diffusers
    from sdrt.compare.recording import ArraySpec, Event, Recording
    from sdrt.compare.recording_runs import record
    from sdrt.compare.replaying import Replay, replay
    from sdrt.compare.tolerances import Tolerances

__all__ = [
    "ArraySpec",
    "Comparison",
    "Departure",
    "Event",
    "Recording",
    "Replay",
    "Tolerances",
    "compare",
    "record",
    "record_diffusers",
    "replay",
]

_HOMES = {
    "ArraySpec": "recording",
    "Comparison": "comparison",
    "Departure": "comparison",
    "Event": "recording",
    "Recording": "recording",
    "Replay": "replaying",
    "Tolerances": "tolerances",
    "compare": "comparing",
    "record": "recording_runs",
    "record_diffusers": "diffusers_recording",
    "replay": "replaying",
}

__getattr__ = late_names(__name__, _HOMES)
