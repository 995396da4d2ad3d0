"""The options of ``generate`` in one table: their flags, how a flag writes the value, and their place in the record of a picture.

The command line is built from this table, which imports nothing of sdrt but its rows, so that ``sdrt --help`` stays fast.
"""

from sdrt.pipeline.option_rows import changing, drawing, following, guiding, prompts, sdxl
from sdrt.pipeline.option_rows.row import Kind, Option

__all__ = ["OPTIONS", "Kind", "Option"]

OPTIONS = {row.name: row for rows in (drawing.ROWS, guiding.ROWS, prompts.ROWS, changing.ROWS, following.ROWS, sdxl.ROWS) for row in rows}
