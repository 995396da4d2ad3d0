"""The source itself: on the way of exact numerics no function is called that IEEE 754 leaves open, unless a reason says why it may."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sdrt

ROOT = Path(sdrt.__file__).parent
ROOMS = ("exact", "guidance", "images", "pipeline", "prompt", "records", "rng", "schedulers", "models/lora", "models/families")

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

# By file: what it calls, and why it may.
ALLOWED: dict[str, dict[str, str]] = {
    "exact/mathematics.py": dict.fromkeys(OPEN, "the platform's functions, which exact numerics do not choose"),
    "exact/product.py": {"matmul": "of numbers whose products and sums are whole multiples below 2**53"},
    "images/deflate.py": {"cumsum": "of whole numbers"},
    "images/exact_png.py": {"sum": "of whole numbers"},
    "images/preprocessors/soft_edges.py": {"sum": "of three arrays, one after the other"},
    "models/lora/matching.py": {"sum": "of whole numbers"},
    "pipeline/denoiser.py": {"argsort": "of places that differ"},
    "pipeline/loaded_model.py": {"sum": "of whole numbers"},
    "pipeline/pipeline.py": {"power": "of whole numbers"},
    "prompt/chunks.py": {"sum": "of whole numbers"},
    "prompt/syntax.py": {"sum": "of whole numbers"},
    "rng/numpy_stream.py": {"standard_normal": "of the other numerics; exact ones have polar.py"},
    "rng/generator_stream.py": {"standard_normal": "of the other numerics; exact ones have ziggurat.py"},
    "schedulers/core/run.py": {"sum": "of a few numbers whose size alone is looked at"},
    "schedulers/samplers/restart.py": {"sum": "of whole numbers"},
}


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


FILES = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_open_function_is_called(file: Path) -> None:
    allowed = ALLOWED.get(str(file.relative_to(ROOT)), {})
    found = [f"line {line}: {name}" for line, name in calls(ast.parse(file.read_text(encoding="utf-8"))) if name not in allowed]
    assert not found, "take it from the record of functions (sdrt.exact.mathematics), or give a reason in ALLOWED"


def test_every_permission_is_used() -> None:
    for name, allowed in ALLOWED.items():
        file = ROOT / name
        if name == "exact/mathematics.py":
            continue
        used = {call for _, call in calls(ast.parse(file.read_text(encoding="utf-8")))}
        assert set(allowed) <= used, name


@pytest.mark.parametrize(
    "source", ["np.exp(x)", "math.log(x)", "x ** 0.5", "a @ b", "x.mean()", "sum(x)", "np.linalg.norm(x)", "x**2", "self.x.sum(1)"]
)
def test_open_calls_are_seen(source: str) -> None:
    assert list(calls(ast.parse(source)))


@pytest.mark.parametrize("source", ["functions.exp(x)", "self.functions.sum(x, 1)", "2.0**-24", "2**count", "np.sqrt(x)", "x * x"])
def test_others_are_not(source: str) -> None:
    assert not list(calls(ast.parse(source)))
