"""A comparison as one page that opens without a network: its plots, pictures, styles and few lines of script are inside it."""

from sdrt.compare.html.page import page, write_page

__all__ = ["page", "write_page"]
