"""Backends run the networks; this package holds their protocols, their contract and the built-in ones."""

from sdrt.backends.base import Backend, BackendOptions, Network, SharingNetwork, TraceableNetwork
from sdrt.backends.binding import BoundNetwork
from sdrt.backends.component_options import PLAIN, ComponentOptions
from sdrt.backends.contract import signature

__all__ = [
    "PLAIN",
    "Backend",
    "BackendOptions",
    "BoundNetwork",
    "ComponentOptions",
    "Network",
    "SharingNetwork",
    "TraceableNetwork",
    "signature",
]
