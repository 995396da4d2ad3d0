"""The file of recorded runs: a zip of JSON and safetensors that is written as a run goes, and read as far as it is whole.

``docs/recordings.md`` describes it for other languages.
"""

from sdrt.recordings.event import Event, EventKind
from sdrt.recordings.recording import Recording, is_recording
from sdrt.recordings.tensors import ArraySpec
from sdrt.recordings.writer import Keep, RecordingWriter

__all__ = ["ArraySpec", "Event", "EventKind", "Keep", "Recording", "RecordingWriter", "is_recording"]
