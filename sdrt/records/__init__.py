"""The record of a picture: every setting that determines it, as one frozen dataclass and as text inside the picture's file."""

from sdrt.records.formats import read_record
from sdrt.records.png_metadata import parameters_text, text_chunks
from sdrt.records.settings import Settings

__all__ = ["Settings", "parameters_text", "read_png_record", "read_record", "text_chunks"]

# its name when all pictures were PNG
read_png_record = read_record
