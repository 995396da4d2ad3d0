"""Folders of Core ML packages: which networks they hold, and what is known of them without their weights.

Imported part by part: to see that a folder is none of these takes :mod:`~sdrt.models.coreml.layout` alone.
"""

from typing import TYPE_CHECKING

from sdrt.late import late_names

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


__getattr__ = late_names(__name__, _HOMES)
