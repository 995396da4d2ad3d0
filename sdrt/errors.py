"""Every error that sdrt raises on purpose, in one tree.

::

    SdrtError
    ├── ConfigError            (ValueError)        a setting, name or configuration that cannot be used
    ├── ArrayContractError     (TypeError)         an array of another shape or dtype than the contract says, or one with NaN
    ├── ModelError             (ValueError)        a model folder that cannot be used
    │   ├── MissingFileError   (FileNotFoundError) a file or component that is not there
    │   └── WeightsError                           a weights file that is corrupt, or a tensor that does not fit
    ├── BackendError           (RuntimeError)      a backend that is unknown, broken or closed
    │   └── MissingExtraError  (ImportError)       an optional package that is not installed
    ├── ConversionError        (ValueError)        a conversion that cannot be made, or is not good enough
    └── ImageError             (ValueError)        a picture that cannot be read or written

Each message holds the rule, the value seen and the repair, in one line.
"""

__all__ = [
    "ArrayContractError",
    "BackendError",
    "ConfigError",
    "ConversionError",
    "ImageError",
    "MissingExtraError",
    "MissingFileError",
    "ModelError",
    "SdrtError",
    "WeightsError",
]


class SdrtError(Exception):
    """Root of the tree: ``except SdrtError`` catches all that sdrt raises on purpose."""


class ConfigError(SdrtError, ValueError):
    """A setting, a name or a configuration that cannot be used."""


class ArrayContractError(SdrtError, TypeError):
    """An array whose shape, dtype or values break the contract of the place that it enters."""


class ModelError(SdrtError, ValueError):
    """A model folder that cannot be used."""


class MissingFileError(ModelError, FileNotFoundError):
    """A file or a component that the model should have and has not."""

    # OSError.__str__ would look for errno and file name: the message is the one argument.
    __str__ = Exception.__str__


class WeightsError(ModelError):
    """A weights file that is corrupt, or a tensor that does not fit the configuration."""


class BackendError(SdrtError, RuntimeError):
    """A backend that is unknown, broken or closed."""


class MissingExtraError(BackendError, ImportError):
    """An optional package that is not installed; the message names the extra that brings it."""


class ConversionError(SdrtError, ValueError):
    """A model that cannot be converted, or whose conversion is not as close to it as was asked for."""


class ImageError(SdrtError, ValueError):
    """A picture that cannot be read or written."""
