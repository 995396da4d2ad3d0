"""The arithmetic of ``numerics="exact"``: the same bytes for any BLAS, thread count, numpy and IEEE processor."""

from sdrt.backends.numpy.arithmetic import Arithmetic
from sdrt.backends.numpy.exact_attention import LOG2_E, attend_heads
from sdrt.backends.numpy.exact_operand import operand, picture
from sdrt.backends.numpy.exponential import Exponential
from sdrt.exact.exponential import exp2
from sdrt.exact.functions import cos, exp, sin
from sdrt.exact.product import multiply, round_right
from sdrt.exact.sums import tree_sum

__all__ = ["EXACT"]

EXACT = Arithmetic(round_right, operand, picture, multiply, tree_sum, Exponential(exp2, LOG2_E), attend_heads, exp, cos, sin, one_way=True)
