"""Whose defects to reproduce.

By default a sampler does what is right, and each docstring says where its peer does not. ``compat="diffusers"`` does as diffusers 0.42.1
does instead, ``compat="apple"`` as Apple's Swift package ml-stable-diffusion 1.1.1: for those who check a port against either.
"""

from typing import Literal, TypeAlias

__all__ = ["COMPATS", "Compat"]

Compat: TypeAlias = Literal["diffusers", "apple"] | None

COMPATS = ("diffusers", "apple")
