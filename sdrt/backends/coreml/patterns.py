from collections.abc import Sequence
from sdrt.backends.coreml.constants import Constants
from sdrt.backends.coreml.mil import Function
from sdrt.backends.coreml.step import Computation
def fused_computations(function: Function, constants: Constants, plain: Sequence[Computation]) -> list[Computation]:
    return list(plain)
