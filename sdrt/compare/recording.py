"""Recordings as the comparisons read them."""

from sdrt.recordings import ArraySpec, Event, Recording

__all__ = ["ArraySpec", "Event", "Recording"]
