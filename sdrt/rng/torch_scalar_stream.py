"""The stream ``torch-scalar``: a torch CPU generator as builds without AVX2 draw from it (ARM, Macs, ``ATEN_CPU_CAPABILITY=default``).

Those builds call the platform's float32 libm, and libms differ. Here log, cosine and sine are correctly rounded, as those of a good libm
nearly always are. Against torch 2.13 on glibc, a million values at a time: 1.5 % differ, by at most three units in the last place (2.4e-7),
and one in a million of the half-precision values. All other draws, such as float64 normals and draws of fewer than 16 values, do not depend
on the build: they are those of `sdrt.rng.torch_stream`.
"""

from sdrt.arrays import F32
from sdrt.rng.torch_normals import U32, fill_scalar
from sdrt.rng.torch_stream import TorchStream

__all__ = ["TorchScalarStream"]


class TorchScalarStream(TorchStream):
    """A torch CPU generator whose float32 kernel is scalar; parameters and errors are those of `TorchStream`."""

    name = "torch-scalar"

    def _fill(self, words: U32, out: F32) -> None:
        fill_scalar(words, out, self._functions)
