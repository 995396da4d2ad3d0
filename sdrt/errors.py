"""Define every error that sdrt raises on purpose, in one tree.

::

    SdrtError
    ├── ConfigError            (ValueError)        an unusable setting, name or configuration
    ├── ArrayContractError     (TypeError)         an array whose shape, dtype or values break its contract, NaN included
    ├── ModelError             (ValueError)        an unusable model folder
    │   ├── MissingFileError   (FileNotFoundError) a missing file or component
    │   └── WeightsError                           a corrupt weights file, or a tensor that does not fit the configuration
    ├── BackendError           (RuntimeError)      an unknown, broken or closed backend
    │   └── MissingExtraError  (ImportError)       an optional package that is not installed
    ├── ConversionError        (ValueError)        a conversion that cannot be done, or whose result is not close enough
    ├── ImageError             (ValueError)        an image that cannot be read or written
    └── RecordingError         (ValueError)        a recording of a run that is damaged, or does not hold what is asked of it

Each message is one line: the rule, the offending value, the fix. What a message quotes from a file or a caller is made printable.
"""

from sdrt.printable import printable

__all__ = [
    "ArrayContractError",
    "BackendError",
    "ConfigError",
    "ConversionError",
    "ImageError",
    "MissingExtraError",
    "MissingFileError",
    "ModelError",
    "RecordingError",
    "SdrtError",
    "WeightsError",
]


class SdrtError(Exception):
    """Root of the tree: ``except SdrtError`` catches everything that sdrt raises on purpose.

    Parameters
    ----------
    message : str
        Made printable: one line, without control characters, cut in its middle where it is long.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(str(message)))


class ConfigError(SdrtError, ValueError):
    """An unusable setting, name or configuration."""


class ArrayContractError(SdrtError, TypeError):
    """An array whose shape, dtype or values break the contract of the function or network that receives it."""


class ModelError(SdrtError, ValueError):
    """An unusable model folder."""


class MissingFileError(ModelError, FileNotFoundError):
    """A file or component that the model should have but does not."""

    # OSError.__str__ would expect errno and a file name; here the only argument is the message.
    __str__ = Exception.__str__


class WeightsError(ModelError):
    """A corrupt weights file, or a tensor that does not fit the configuration."""


class BackendError(SdrtError, RuntimeError):
    """An unknown, broken or closed backend."""


class MissingExtraError(BackendError, ImportError):
    """An optional package that is not installed; the message names the extra that brings it."""


class ConversionError(SdrtError, ValueError):
    """A model that cannot be converted, or a conversion less accurate than requested."""


class ImageError(SdrtError, ValueError):
    """An image that cannot be read or written."""


class RecordingError(SdrtError, ValueError):
    """A recording of a run that is damaged or cannot be written, or that does not hold what is asked of it."""
