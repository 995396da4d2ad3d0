"""The kernels take from their arithmetic whatever IEEE 754 leaves open: outside of it, none is called."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdrt.backends import numpy as backend
from tests.exact.open_calls import calls

ROOT = Path(backend.__file__).parent

# By file: what it calls, and why it may.
ALLOWED: dict[str, dict[str, str]] = {
    "arithmetic.py": dict.fromkeys(("sum", "matmul", "exp", "cos", "sin"), "of FLOATING"),
    "attention_heads.py": dict.fromkeys(("sum", "matmul", "power", "add.reduce"), "of FLOATING"),
    "clip_vision.py": {"power": "of whole numbers"},
    "compact.py": {"power": "of whole numbers"},
    "exponential.py": dict.fromkeys(("exp", "exp2", "log2"), "of FLOATING"),
    "exact_attention.py": {"matmul": "of numbers whose products and sums are whole multiples below 2**53"},
    "framed_winograd.py": dict.fromkeys(("power", "sum"), "of whole numbers"),
    "pixels.py": {"power": "of whole numbers"},
    "rrdb.py": dict.fromkeys(("power", "sum"), "of whole numbers"),
    "t2i_adapter.py": {"power": "of whole numbers"},
    "token_merging.py": {"argsort": "stable, so that equal ones keep their order", "cumsum": "of whole numbers"},
    "winograd.py": {"power": "of whole numbers"},
}


def open_calls(source: str) -> Iterator[str]:
    """Yield what is called whose last bits or order are open, reductions of numpy's functions among them; the largest of some is not."""
    tree = ast.parse(source)
    yield from (name for _, name in calls(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("reduce", "accumulate", "reduceat") and isinstance(node.value, ast.Attribute):
            name = f"{node.value.attr}.{node.attr}"
            if name not in ("maximum.reduce", "minimum.reduce"):
                yield name


@pytest.mark.parametrize("file", sorted(ROOT.glob("*.py")), ids=lambda file: file.name)
def test_kernels_leave_nothing_open(file: Path) -> None:
    found, allowed = set(open_calls(file.read_text(encoding="utf-8"))), ALLOWED.get(file.name, {})
    assert found == set(allowed), "take it from team.arithmetic, or give a reason in ALLOWED"


@pytest.mark.parametrize("source", ["np.add.reduce(x)", "np.matmul(a, b)", "x.sum(1)", "np.multiply.accumulate(x)", "a @ b"])
def test_open_calls_are_seen(source: str) -> None:
    assert list(open_calls(source))
    assert not list(open_calls("np.maximum.reduce(x) + team.arithmetic.total(x, 1)"))
