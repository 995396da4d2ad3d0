"""Pictures: floats to bytes, bytes to PNG written whole or not at all, and pictures from files."""

from sdrt.images.png import open_picture, read_text, save_png, to_bytes, to_pil

__all__ = ["open_picture", "read_text", "save_png", "to_bytes", "to_pil"]
