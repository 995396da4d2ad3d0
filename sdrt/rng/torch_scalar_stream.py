"""The stream ``torch-scalar``: a torch CPU generator as builds without AVX2 draw from it (ARM, Macs, ``ATEN_CPU_CAPABILITY=default``).

Those builds call the platform's float32 libm, and no two platforms have the same. Here log, cosine and sine are correctly rounded, which
those of a good libm nearly always are. Against torch 2.13 on glibc, a million values at a time: 1.5 % differ, by at most three units in the
last place (2.4e-7), and one in a million of the half precisions' values. Whatever else a generator draws, float64 normals and draws of less
than 16 values among it, does not depend on the build: it is what :mod:`sdrt.rng.torch_stream` draws.
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
