"""The numpy backend."""

from sdrt.backends.numpy.backend import NumpyBackend

__all__ = ["NumpyBackend"]
