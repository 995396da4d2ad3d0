"""Folders of Core ML packages: which networks they hold, and what is known of them without their weights."""

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
