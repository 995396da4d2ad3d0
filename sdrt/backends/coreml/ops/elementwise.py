"""Operations on each number by itself, with broadcasting. Integers stay integers, comparisons give bool."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.arguments import number, text
from sdrt.backends.coreml.ops.registry import Shape, operation
from sdrt.backends.coreml.ops.spread import spread
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.models.mlpackage.dtypes import NUMPY

__all__ = ["cast", "select"]


def _broadcast(x: Array, y: Array) -> Shape:
    return np.broadcast_shapes(x.shape, y.shape)


def _binary(name: str, function: Callable[..., Any], dtype: Any = None) -> None:
    @operation(name, sizes=_broadcast, team=True)
    def binary(team: ThreadTeam, x: Array, y: Array) -> Array:
        return spread(team, function, x, y, dtype=dtype or np.result_type(x.dtype, y.dtype))


_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "floor_div": np.floor_divide,
    "mod": np.mod,  # the sign of the divisor, as Python has it
    "pow": np.power,
}
for _name, _function in _ARITHMETIC.items():
    _binary(_name, _function)

_RELATIONS: dict[str, Callable[..., Any]] = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}
for _name, _function in _RELATIONS.items():
    _binary(_name, _function, np.bool_)


@operation("real_div", sizes=_broadcast, team=True)
def real_div(team: ThreadTeam, x: Array, y: Array) -> Array:
    """X / y. Of integers the quotient is cut to an integer; MIL leaves that open, and no converter writes it."""
    if x.dtype.kind in "iu":
        quotient: Array = np.trunc(np.true_divide(x, y)).astype(x.dtype)
        return quotient
    return spread(team, np.divide, x, y)


def _unary(name: str, function: Callable[..., Any], cost: float = 1.0) -> None:
    @operation(name, team=True)
    def unary(team: ThreadTeam, x: Array) -> Array:
        return spread(team, function, x, cost=cost)


_CHEAP: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "sign": np.sign,
    "square": np.square,
    "sqrt": np.sqrt,
    "ceil": np.ceil,
    "floor": np.floor,
    "round": np.rint,  # halves to the even neighbour
    "logical_not": np.logical_not,
}
for _name, _function in _CHEAP.items():
    _unary(_name, _function)

_COSTLY: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atanh": np.arctanh,
}
for _name, _function in _COSTLY.items():
    _unary(_name, _function, 8.0)


@operation("exp2")
def exp2(x: Array) -> Array:
    """2**x; an integer power of two stays an integer."""
    return np.asarray(np.exp2(x).astype(x.dtype))


@operation("erf")
def erf(x: Array) -> Array:
    """Compute the error function number by number with the C library: exact, and slow; converters write ``gelu`` where they can."""
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x)).astype(x.dtype)


@operation("log")
def log(x: Array, epsilon: Array | float = 1e-45) -> Array:
    """ln(x + epsilon)."""
    return np.asarray(np.log(x + _like(epsilon, x)))


@operation("rsqrt")
def rsqrt(x: Array, epsilon: Array | float = 1e-12) -> Array:
    """1 / sqrt(x + epsilon)."""
    return np.asarray(1.0 / np.sqrt(x + _like(epsilon, x)))


@operation("inverse")
def inverse(x: Array, epsilon: Array | float = 1e-4) -> Array:
    """1 / (x + epsilon)."""
    return np.asarray(1.0 / (x + _like(epsilon, x)))


@operation("clip", team=True)
def clip(team: ThreadTeam, x: Array, alpha: Array, beta: Array) -> Array:
    """X cut to [alpha, beta]; beta wins where they cross."""
    low, high = _like(alpha, x), _like(beta, x)

    def bounded(piece: Array, out: Array) -> None:
        np.maximum(piece, low, out=out)
        np.minimum(out, high, out=out)

    return spread(team, bounded, x)


@operation("threshold")
def threshold(x: Array, alpha: Array) -> Array:
    """max(x, alpha)."""
    return np.asarray(np.maximum(x, _like(alpha, x)))


@operation("cast")
def cast(x: Array, dtype: Array) -> Array:
    """Another element type. Floats are cut towards zero to become integers; anything but 0 is true."""
    name = text(dtype)
    if name not in NUMPY:
        raise ValueError(f"dtype must be {', '.join(NUMPY)}, got {name!r}")
    target = NUMPY[name]
    # a float16 value is held in float32, and rounded by whoever called
    if target.kind == "f":
        return x.astype(np.float32 if name == "fp16" else target, copy=False)
    if x.dtype.kind == "f" and target.kind in "iu":
        # through int64: what a float that fits no int32 becomes is then at least the same everywhere
        return np.asarray(np.trunc(np.nan_to_num(x, posinf=2.0**31, neginf=-(2.0**31)))).astype(np.int64).astype(target)
    return x.astype(target, copy=False)


@operation("select", sizes=lambda cond, a, b: np.broadcast_shapes(cond.shape, a.shape, b.shape))
def select(cond: Array, a: Array, b: Array) -> Array:
    """Select a where ``cond`` is true, else b."""
    return np.asarray(np.where(cond.astype(bool), a, b)).astype(a.dtype, copy=False)


@operation("identity", moves=True)
def identity(x: Array) -> Array:
    """X itself."""
    return x


def _like(value: Array | float, x: Array) -> Any:
    return x.dtype.type(number(value))
