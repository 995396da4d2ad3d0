"""Reference vectors for ports in other languages: JSON and safetensors files that need no Python to be read."""

from sdrt.testing.vectors.write import write_vectors

__all__ = ["write_vectors"]
