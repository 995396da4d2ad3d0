"""Pictures: conversion from floats to bytes, atomic files, the input pictures of a call, and what ControlNets are shown of them."""

from sdrt.images.files import picture_name, save_new_picture, save_new_png
from sdrt.images.grid import grid
from sdrt.images.inputs import Picture
from sdrt.images.labelled_grid import labelled_grid
from sdrt.images.opening import open_picture
from sdrt.images.outpainting import outpaint
from sdrt.images.png import save_png, to_bytes, to_pil
from sdrt.images.preprocessors.canny import canny
from sdrt.images.preprocessors.hole import with_hole
from sdrt.images.preprocessors.scribble import scribble
from sdrt.images.preprocessors.soft_edges import soft_edges
from sdrt.images.preprocessors.tile import tile
from sdrt.images.preprocessors.tones import grey, invert
from sdrt.images.saving import save_picture
from sdrt.images.text import read_text

__all__ = [
    "Picture",
    "canny",
    "grey",
    "grid",
    "invert",
    "labelled_grid",
    "open_picture",
    "outpaint",
    "picture_name",
    "read_text",
    "save_new_picture",
    "save_new_png",
    "save_picture",
    "save_png",
    "scribble",
    "soft_edges",
    "tile",
    "to_bytes",
    "to_pil",
    "with_hole",
]
