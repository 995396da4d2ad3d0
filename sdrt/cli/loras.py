"""``--lora FILE[:STRENGTH]``, as every command takes it."""

from pathlib import Path

from sdrt.errors import ConfigError
from sdrt.printable import shown

__all__ = ["parse_lora"]


def parse_lora(text: str) -> tuple[str, float]:
    r"""Return a LoRA's file and its strength, 1 where none is given.

    A path may hold colons: what follows the last one is a strength if it reads as a number, and no file has the whole name.

    Raises
    ------
    ConfigError : no file is named

    >>> parse_lora("style.safetensors:0.8"), parse_lora("C:\\loras\\style.safetensors")
    (('style.safetensors', 0.8), ('C:\\loras\\style.safetensors', 1.0))
    """
    file, colon, strength = text.rpartition(":")
    if not text or (colon and not file):
        raise ConfigError(f"--lora must be a file or FILE:STRENGTH, got {shown(text)}; name a file")
    if not colon or _is_file(text):
        return text, 1.0
    try:
        return file, float(strength)
    except ValueError:
        return text, 1.0


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False
