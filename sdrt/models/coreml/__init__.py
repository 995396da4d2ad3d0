"""Folders of Core ML packages: which networks they hold, and what is known of them without their weights.

Imported part by part: to see that a folder is none of these takes :mod:`~sdrt.models.coreml.layout` alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdrt.models.coreml.component import CoreMLControlNet
    from sdrt.models.coreml.config_overrides import ConfigOverrides, read_config_overrides
    from sdrt.models.coreml.layout import Layout, find_layout
    from sdrt.models.coreml.model import CoreMLFolder
    from sdrt.models.coreml.ports import Ports, read_ports

__all__ = [
    "ConfigOverrides",
    "CoreMLControlNet",
    "CoreMLFolder",
    "Layout",
    "Ports",
    "find_layout",
    "read_config_overrides",
    "read_ports",
]

_HOMES = {
    "ConfigOverrides": "config_overrides",
    "CoreMLControlNet": "component",
    "CoreMLFolder": "model",
    "Layout": "layout",
    "Ports": "ports",
    "find_layout": "layout",
    "read_config_overrides": "config_overrides",
    "read_ports": "ports",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sdrt.models.coreml' has no attribute {name!r}")
    globals()[name] = value = getattr(importlib.import_module(f"sdrt.models.coreml.{_HOMES[name]}"), name)
    return value
