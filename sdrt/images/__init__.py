"""Pictures: conversion from floats to bytes, atomic PNG files, and the input pictures of a call."""

from sdrt.images.chunks import read_text
from sdrt.images.files import picture_name, save_new_png
from sdrt.images.grid import grid
from sdrt.images.inputs import Picture
from sdrt.images.opening import open_picture
from sdrt.images.png import save_png, to_bytes, to_pil

__all__ = ["Picture", "grid", "open_picture", "picture_name", "read_text", "save_new_png", "save_png", "to_bytes", "to_pil"]
