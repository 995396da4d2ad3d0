"""What converters write in pieces, recognised and computed with the numpy backend's kernels.

Only in float32: a fused computation rounds nothing in between, so that it could not tell what half precision does. Each file finds one kind
of pattern; what does not match exactly stays as it is.
"""

from collections.abc import Sequence

import numpy as np

from sdrt.backends.coreml.constants import Constants
from sdrt.backends.coreml.patterns.attention import fuse_attentions, fuse_heads
from sdrt.backends.coreml.patterns.gates import fuse_feed_forwards, fuse_sigmoid_gates
from sdrt.backends.coreml.patterns.graph import Graph, without_float_casts
from sdrt.backends.coreml.patterns.group_norm import fuse_group_norms
from sdrt.backends.coreml.patterns.products import fuse_products
from sdrt.backends.coreml.step import Computation
from sdrt.models.mlpackage.mil import Function

__all__ = ["fused_computations"]


def fused_computations(function: Function, constants: Constants, plain: Sequence[Computation]) -> list[Computation]:
    """Return the same function in fewer and faster computations.

    Parameters
    ----------
    function : Function
    constants : Constants
    plain : sequence of Computation
        Every operation by itself, in order.

    Returns
    -------
    list of Computation
        Results differ by rounding alone.
    """
    graph = Graph(function, constants, without_float_casts(function, plain))
    # constants may be infinite, as a causal mask's are
    with np.errstate(all="ignore"):
        fuse_group_norms(graph)
        fuse_attentions(graph)
        fuse_heads(graph)
        fuse_sigmoid_gates(graph)
        fuse_products(graph)
        fuse_feed_forwards(graph)
    return graph.computations()
