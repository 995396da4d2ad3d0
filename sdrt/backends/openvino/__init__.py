"""OpenVINO as a plug-in: the worked example of how to write a backend.

It stands in sdrt's own tree so that ``pip install 'sdrt[openvino]'`` brings it, and is a stranger all the same: the registry learns of it
from the entry point in ``pyproject.toml`` and from nothing else, and it imports only what packages of sdrt offer in their ``__all__``.
"""

from sdrt.backends.openvino.backend import OpenVinoBackend

__all__ = ["OpenVinoBackend"]
