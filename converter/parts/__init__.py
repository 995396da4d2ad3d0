"""The networks of a model as Core ML sees them: one file each."""

from converter.parts.part import Part

__all__ = ["Part"]
