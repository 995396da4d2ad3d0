"""The logger that everything in sdrt reports to, ``sdrt``.

A program decides itself where messages go. Python prints warnings of a logger without a handler to standard error; the one that stands here
drops them.
"""

import logging

__all__ = ["log"]

log = logging.getLogger("sdrt")
log.addHandler(logging.NullHandler())
