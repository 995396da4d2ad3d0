"""The torch backend: diffusers' and transformers' own modules behind sdrt's seam, imported when a network is opened."""

from sdrt.backends.torch.backend import TorchBackend
from sdrt.backends.torch.compile_event import CompileEvent
from sdrt.backends.torch.fastest import Fastest, Machine, fastest_options, this_machine

__all__ = ["CompileEvent", "Fastest", "Machine", "TorchBackend", "fastest_options", "this_machine"]
