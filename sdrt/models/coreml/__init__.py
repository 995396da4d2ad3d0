"""Folders of Core ML packages: which networks they hold, and what is known of them without their weights."""

from sdrt.models.coreml.component import CoreMLControlNet
from sdrt.models.coreml.given import GivenConfigs, read_given
from sdrt.models.coreml.interface import FeatureLike, InterfaceLike, PackageReader, Ports, read_ports
from sdrt.models.coreml.layout import Layout, find_layout
from sdrt.models.coreml.model import CoreMLFolder

__all__ = [
    "CoreMLControlNet",
    "CoreMLFolder",
    "FeatureLike",
    "GivenConfigs",
    "InterfaceLike",
    "Layout",
    "PackageReader",
    "Ports",
    "find_layout",
    "read_given",
    "read_ports",
]
