"""No operation of the executor goes without a comparison."""

import ast
from pathlib import Path

from sdrt.backends.coreml.ops import OPERATIONS

HERE = Path(__file__).parent
BY_NAME = ("test_elementwise.py", "test_kernels.py", "test_moving.py", "test_weights.py")

# Made by compressing a layer, not by name, in test_weights.py.
COMPRESSED = {
    *("constexpr_affine_dequantize", "constexpr_blockwise_shift_scale", "constexpr_lut_to_dense", "constexpr_lut_to_sparse"),
    *("constexpr_sparse_blockwise_shift_scale", "constexpr_sparse_to_dense"),
}


def words_of(file: Path) -> set[str]:
    """The strings of a file."""
    constants = (node.value for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


def test_every_operation_is_compared_with_a_peer() -> None:
    """Its name stands in a test that computes it: in a table that the test is run over, or in the call."""
    named = set().union(*(words_of(HERE / name) for name in BY_NAME))
    assert set(OPERATIONS) - named == COMPRESSED
