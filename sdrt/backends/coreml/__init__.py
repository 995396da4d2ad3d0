"""Core ML: the backend, and an executor of ML Programs with numpy alone, for any system."""

from sdrt.backends.coreml.backend import CoreMLBackend
from sdrt.backends.coreml.describe import Summary, describe
from sdrt.backends.coreml.executor import OpResult
from sdrt.backends.coreml.options import LoadEvent
from sdrt.backends.coreml.program import MLProgram
from sdrt.backends.coreml.runner import Runner, open_runner
from sdrt.models.mlpackage.package import read_interface

__all__ = ["CoreMLBackend", "LoadEvent", "MLProgram", "OpResult", "Runner", "Summary", "describe", "open_runner", "read_interface"]
