"""The options of ``generate`` that are files on the command line and in a batch: pictures and arrays, opened as the options take them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdrt.errors import ConfigError
from sdrt.pipeline.option_table import OPTIONS

__all__ = ["FILE_OPTIONS", "check_count", "open_inputs"]

FILE_OPTIONS = {name: option for name, option in OPTIONS.items() if option.kind in ("picture", "pictures", "array", "arrays")}


def check_count(name: str, what: str, count: int) -> None:
    """Check that an option has no more files than it takes.

    Parameters
    ----------
    name : str
        One of `FILE_OPTIONS`.
    what : str
        The option in the message: its flag, or its column.
    count : int

    Raises
    ------
    ConfigError : several where one is taken
    """
    if FILE_OPTIONS[name].kind not in ("pictures", "arrays") and count > 1:
        raise ConfigError(f"{what} must be one file, got {count}; leave the others out")


def open_inputs(files: Mapping[str, tuple[Path, ...]]) -> dict[str, Any]:
    """Open pictures and arrays as ``generate`` takes them.

    Raises
    ------
    ImageError : a file that is missing, or is no picture
    MissingFileError, ModelError, ConfigError : a file that is missing, or is no array
    """
    from sdrt.images import open_picture
    from sdrt.npy import read_npy

    readers = {name: read_npy if FILE_OPTIONS[name].kind in ("array", "arrays") else open_picture for name in files}
    opened = {name: [readers[name](path) for path in paths] for name, paths in files.items()}
    lists = ("control_image", "adapter_image", "region_mask")
    return {name: values if name in lists or len(values) > 1 else values[0] for name, values in opened.items()}
