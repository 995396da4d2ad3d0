"""Check a backend of one's own: every component of small models beside the numpy backend in float64."""

from sdrt.testing.networks.check import check_backend

__all__ = ["check_backend"]
