"""Read numpy's own files of one array; nothing in them is unpickled."""

from io import BytesIO
from pathlib import Path

import numpy as np

from sdrt.arrays import Array
from sdrt.errors import ConfigError
from sdrt.files import check_given, read_bytes, user_path
from sdrt.limits import DEFAULT_LIMITS, Limits

__all__ = ["read_npy"]

_MAGIC = b"\x93NUMPY"


def read_npy(file: str | Path, limits: Limits = DEFAULT_LIMITS) -> Array:
    """Return the array in a ``.npy`` file.

    Raises
    ------
    MissingFileError, ModelError : the file is missing, may not be read, or is too large
    ConfigError : it is of another format, holds Python objects, or is damaged
    """
    path = user_path("an array's file", file)
    check_given(path, "an array's file")
    data = read_bytes(path, limits=limits)
    if not data.startswith(_MAGIC):
        raise ConfigError(f"{path}: must be a .npy file, got another kind of file; write it with numpy.save")
    try:
        array: Array = np.load(BytesIO(data), allow_pickle=False)
    except Exception as error:  # numpy raises whatever a damaged header leads it to
        raise ConfigError(f"{path}: cannot be read as an array ({error or type(error).__name__}); write it anew with numpy.save") from error
    return array
