"""The stream ``torch-scalar``: a torch CPU generator as builds without AVX2 draw from it (ARM, Macs, ``ATEN_CPU_CAPABILITY=default``).

MEASURED
"""

from sdrt.arrays import F32
from sdrt.rng.torch_normals import U32, fill_scalar
from sdrt.rng.torch_stream import TorchStream

__all__ = ["TorchScalarStream"]


class TorchScalarStream(TorchStream):
    """A torch CPU generator whose float32 kernel is scalar; parameters and errors are :class:`TorchStream`'s."""

    name = "torch-scalar"

    def _fill(self, words: U32, out: F32) -> None:
        fill_scalar(words, out)
