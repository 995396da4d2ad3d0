"""Check one's own port against sdrt: conformance suites and strategies, with numpy and hypothesis alone.

A ``check_*`` function runs a port beside sdrt's own part and returns a list of `Fault`: empty where all is well. Each fault has a kind
(`KINDS`), which is what the difference probably is, found by trying the wrong hypotheses one by one.

Nothing here imports hypothesis but the strategies: ``pip install "sdrt[testing]"``.
"""

from typing import TYPE_CHECKING

from sdrt.late import late_names

if TYPE_CHECKING:
    from sdrt.testing.fault import Fault
    from sdrt.testing.fault_kinds import KINDS
    from sdrt.testing.loops.check import check_loop
    from sdrt.testing.networks import check_backend
    from sdrt.testing.schedulers.check import check_scheduler
    from sdrt.testing.small_models import write_component, write_controlnet, write_model
    from sdrt.testing.streams.check import check_stream
    from sdrt.testing.tokenizers.check import check_tokenizer
    from sdrt.testing.vectors import write_vectors

__all__ = [
    "KINDS",
    "Fault",
    "check_backend",
    "check_loop",
    "check_scheduler",
    "check_stream",
    "check_tokenizer",
    "write_component",
    "write_controlnet",
    "write_model",
    "write_vectors",
]

_HOMES = {
    "Fault": "fault",
    "KINDS": "fault_kinds",
    "check_backend": "networks",
    "check_loop": "loops.check",
    "check_scheduler": "schedulers.check",
    "check_stream": "streams.check",
    "check_tokenizer": "tokenizers.check",
    "write_vectors": "vectors",
    **dict.fromkeys(("write_component", "write_controlnet", "write_model"), "small_models"),
}

__getattr__ = late_names(__name__, _HOMES)
