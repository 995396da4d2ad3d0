"""What a run computes with outside its networks, where IEEE 754 leaves last bits open: the platform's functions, or those of `sdrt.exact`.

One frozen record of functions is chosen by the numerics, and passed to whatever needs one. The networks of the numpy backend have a record
of their own, for their kernels: `sdrt.backends.numpy.arithmetic`.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sdrt.arrays import F64, Array, Float, Numerics
from sdrt.exact import functions as exact
from sdrt.exact import statistics
from sdrt.exact.log_gamma import log_gamma
from sdrt.exact.quadrature import gauss_legendre
from sdrt.exact.sums import tree_sum

__all__ = ["EXACT", "PLATFORM", "Functions", "functions_of"]

OfOne: TypeAlias = Callable[[Any], Any]
OfTwo: TypeAlias = Callable[[Any, Any], Any]


@dataclass(frozen=True, kw_only=True)
class Functions:
    """Functions of floats and float arrays; elementwise ones give results of the argument's kind and dtype."""

    numerics: Numerics  # that they are chosen by
    exp: OfOne
    expm1: OfOne
    log: OfOne
    log1p: OfOne
    sin: OfOne
    cos: OfOne
    arccos: OfOne
    arctan2: OfTwo
    tanh: OfOne
    power: OfTwo
    square: OfOne
    log_gamma: OfOne  # of Python floats above 0
    sum: Callable[..., Any]  # sum(x, axis, dtype=None, keepdims=False), as np.sum takes them
    mean: Callable[..., Any]  # mean(x, axis=None, dtype=None), as np.mean takes them
    deviation: Callable[[Float, tuple[int, ...]], Float]  # of a sample over some axes, which stay with length 1
    matmul: Callable[[Array, Float], Float]
    tensordot: Callable[..., Float]  # tensordot(a, b, axes=(i, j)), of one axis of each
    each: Callable[[OfOne, F64], F64]  # one of the functions above, of every number as the Python float that it is
    gauss_legendre: Callable[[int], tuple[F64, F64]]  # points and weights of the quadrature in [-1, 1]

    def __reduce__(self) -> tuple[Callable[..., "Functions"], tuple[str]]:
        """Copy and store it by its name: there is one record of each kind."""
        return functions_of, (self.numerics,)


def _either(of_floats: OfOne, of_arrays: OfOne) -> OfOne:
    """Take one function for Python's own floats, another for numpy's numbers: on some processors they differ in the last bit."""

    def function(x: Any) -> Any:
        return of_floats(x) if type(x) is float else of_arrays(x)

    return function


def _legendre(num_points: int) -> tuple[F64, F64]:
    points, shares = np.polynomial.legendre.leggauss(num_points)
    return points, shares


PLATFORM = Functions(
    numerics="float32",
    exp=_either(math.exp, np.exp),
    expm1=_either(math.expm1, np.expm1),
    log=_either(math.log, np.log),
    log1p=_either(math.log1p, np.log1p),
    sin=_either(math.sin, np.sin),
    cos=_either(math.cos, np.cos),
    arccos=np.arccos,
    arctan2=np.arctan2,
    tanh=np.tanh,
    power=operator.pow,
    square=lambda x: x**2,
    log_gamma=math.lgamma,
    sum=np.sum,
    mean=np.mean,
    deviation=lambda x, axis: np.std(x, axis=axis, ddof=1, keepdims=True),
    matmul=np.matmul,
    tensordot=np.tensordot,
    each=lambda function, x: np.array([function(number) for number in x.ravel().tolist()]).reshape(x.shape),
    gauss_legendre=_legendre,
)


def _power(x: Any, y: Any) -> Any:
    """Return x**y; of a Python float and a whole number by repeated multiplication, which the series of a scheduler need often."""
    if type(x) is not float or type(y) is not int or y < 0:
        return exact.power(x, y)
    product = 1.0
    for _ in range(y):
        product *= x
    return product


EXACT = Functions(
    numerics="exact",
    exp=exact.exp,
    expm1=exact.expm1,
    log=exact.log,
    log1p=exact.log1p,
    sin=exact.sin,
    cos=exact.cos,
    arccos=exact.arccos,
    arctan2=exact.arctan2,
    tanh=exact.tanh,
    power=_power,
    square=lambda x: x * x,
    log_gamma=log_gamma,
    sum=tree_sum,
    mean=statistics.mean,
    deviation=statistics.deviation,
    matmul=statistics.matmul,
    tensordot=statistics.tensordot,
    each=lambda function, x: function(x),  # of arrays and of numbers it is the same
    gauss_legendre=gauss_legendre,
)


def functions_of(numerics: Numerics) -> Functions:
    """Return the functions that numerics compute with."""
    return EXACT if numerics == "exact" else PLATFORM
