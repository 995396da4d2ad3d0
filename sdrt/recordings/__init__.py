"""The file of recorded runs: a zip of JSON and safetensors that is written as a run goes, and read as far as it is whole.

``docs/recordings.md`` describes it for other languages.
"""

from typing import TYPE_CHECKING

from sdrt.late import late_names

if TYPE_CHECKING:
    from sdrt.recordings.event import Event, EventKind
    from sdrt.recordings.recognition import is_recording
    from sdrt.recordings.recording import Recording
    from sdrt.recordings.tensors import ArraySpec
    from sdrt.recordings.writer import Keep, RecordingWriter

__all__ = ["ArraySpec", "Event", "EventKind", "Keep", "Recording", "RecordingWriter", "is_recording"]

_HOMES = {
    "ArraySpec": "tensors",
    "Event": "event",
    "EventKind": "event",
    "Keep": "writer",
    "Recording": "recording",
    "RecordingWriter": "writer",
    "is_recording": "recognition",
}

__getattr__ = late_names(__name__, _HOMES)
