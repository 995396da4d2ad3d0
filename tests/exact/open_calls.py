"""Calls in source code whose last bits or order of additions IEEE 754 leaves open."""

import ast
from collections.abc import Iterator

__all__ = ["OPEN", "calls"]

# Rounded otherwise by other libraries, or added in an order that numpy chooses.
_NAMES = (
    "exp exp2 expm1 log log1p log2 log10 sin cos tan sinh cosh tanh arcsin arccos arctan arctan2 asin acos atan atan2 "
    "pow power float_power hypot lgamma gamma erf erfc cbrt logaddexp dist "
    "sum mean std var average median quantile percentile trapezoid dot vdot inner outer matmul tensordot einsum norm leggauss "
    "interp linspace logspace geomspace convolve correlate cumsum argsort standard_normal randn"
)
OPEN = set(_NAMES.split())
# numpy's own modules and arrays; a record of functions goes by other names.
OF_LIBRARIES = {"np", "numpy", "math"}
# Methods of arrays that add.
METHODS = {"sum", "mean", "std", "var", "dot", "cumsum", "argsort", "standard_normal", "randn"}


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield each open call or operator with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in OPEN:
            base = node.value
            of_library = isinstance(base, ast.Name) and base.id in OF_LIBRARIES
            of_library |= isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name) and base.value.id in OF_LIBRARIES
            if of_library:
                yield node.lineno, node.attr
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name) and function.id == "sum":
                yield node.lineno, "sum"
            if isinstance(function, ast.Attribute) and function.attr in METHODS and not _is_record(function.value):
                yield node.lineno, function.attr
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield node.lineno, "matmul"
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and not _is_constant(node):
            yield node.lineno, "power"


def _is_record(base: ast.expr) -> bool:
    """Whether an attribute is that of a record of functions: `functions.sum`, `self._functions.sum`, `scales.functions.exp`."""
    name = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
    return "functions" in name.lower() or name in OF_LIBRARIES or name == "statistics"


def _is_constant(node: ast.BinOp) -> bool:
    """Whether a power is of whole numbers, or of two with a whole exponent, which every libm gives exactly."""
    operands = [each.operand if isinstance(each, ast.UnaryOp) else each for each in (node.left, node.right)]
    if all(isinstance(each, ast.Constant) and isinstance(each.value, int) for each in operands):
        return True
    left, right = operands
    two = isinstance(left, ast.Constant) and left.value in (2, 2.0)
    return two and not (isinstance(right, ast.Constant) and isinstance(right.value, float))
