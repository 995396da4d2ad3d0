"""Core ML packages as files: protobuf, ML Program text, weight blobs, and what a package takes and gives. Nothing here computes."""

from sdrt.models.mlpackage.reading import read_interface

__all__ = ["read_interface"]
