"""Tell a caller once what was assumed, ignored or not understood.

A *remark* is a topic and one sentence: ``{"assumed scheduler": "that of Stable Diffusion 1.x, ..."}``. Models, networks, samplers and
prompts state their own; the pipeline records all of them in ``Settings.remarks`` and logs each once. Remarks decide nothing.
"""

from collections.abc import Mapping

from sdrt.forking import ForkLock
from sdrt.log import log
from sdrt.printable import printable

__all__ = ["RemarkLog"]


class RemarkLog:
    """Log remarks at WARNING under ``sdrt``, each once; any thread may call it."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()
        self._lock = ForkLock()

    def tell(self, remarks: Mapping[str, str]) -> None:
        """Log those of the remarks that were not logged before."""
        with self._lock:
            new = [remark for remark in remarks.items() if remark not in self._told]
            self._told.update(new)
        for topic, text in new:
            log.warning("%s: %s", printable(topic), printable(text))
