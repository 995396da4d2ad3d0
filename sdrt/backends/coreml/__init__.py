"""Core ML: an executor of ML Programs with numpy alone, for any system."""

from sdrt.backends.coreml.describe import Summary, describe
from sdrt.backends.coreml.executor import Given
from sdrt.backends.coreml.program import MLProgram

__all__ = ["Given", "MLProgram", "Summary", "describe"]
