"""Operations on numbers and reductions, against coremltools' own evaluation of them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backends.coreml.peer import computed, peer_value, worst_difference

_shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)

# where a function is defined, and far enough inside that float32 is good for 1e-6
_BETWEEN = {
    "log": (0.1, 9),
    "sqrt": (0, 9),
    "rsqrt": (0.1, 9),
    "inverse": (0.1, 9),
    "acos": (-0.9, 0.9),
    "asin": (-0.9, 0.9),
    "atanh": (-0.9, 0.9),
}
UNARY = (
    *("abs", "acos", "asin", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp", "exp2", "floor", "inverse", "log", "round", "rsqrt"),
    *("sign", "sin", "sinh", "sqrt", "square", "tan", "tanh", "relu", "relu6", "sigmoid", "softplus", "softsign"),
)
UNARY_INTEGER = ("abs", "exp2", "sign", "square")
BINARY = ("add", "sub", "mul", "maximum", "minimum", "floor_div", "mod", "real_div")
COMPARISONS = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
LOGICAL = ("logical_and", "logical_or", "logical_xor")
WITH_NUMBERS = {
    "clamped_relu": {"alpha": 0.3, "beta": 1.5},
    "elu": {"alpha": 0.7},
    "leaky_relu": {"alpha": 0.2},
    "linear_activation": {"alpha": 1.5, "beta": -0.25},
    "scaled_tanh": {"alpha": 1.5, "beta": 0.6},
    "sigmoid_hard": {"alpha": 0.3, "beta": 0.4},
    "thresholded_relu": {"alpha": 0.5},
    "threshold": {"alpha": 0.5},
    "clip": {"alpha": -0.5, "beta": 0.75},
}
REDUCTIONS = (
    *("reduce_mean", "reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_l1_norm", "reduce_l2_norm", "reduce_sum_square"),
    *("reduce_log_sum", "reduce_log_sum_exp"),
)
# float32 has 24 bits, so that sums of a few dozen numbers agree to some units of 6e-8; the peer computes some in float64
_ROUNDING = 2e-6


def _draw(seed: int, shape: tuple[int, ...], low: float = -3, high: float = 3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=8)
@given(shape=_shapes, seed=st.integers(0, 999))
def test_functions_of_one_number(name: str, shape: tuple[int, ...], seed: int) -> None:
    x = _draw(seed, shape, *_BETWEEN.get(name, (-3, 3)))
    assert worst_difference(computed(name, {"x": x}), peer_value(name, {"x": x})) <= _ROUNDING


@pytest.mark.parametrize("name", UNARY_INTEGER)
@settings(max_examples=5)
@given(seed=st.integers(0, 999))
def test_functions_of_one_integer_stay_integers(name: str, seed: int) -> None:
    x = np.random.default_rng(seed).integers(-9 if name != "exp2" else 0, 9, (2, 3)).astype(np.int32)
    ours = computed(name, {"x": x})
    assert ours.dtype == np.int32
    assert np.array_equal(ours, peer_value(name, {"x": x}))


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that broadcast: some axes 1, leading ones left out."""
    shape = draw(_shapes)
    masks = [draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape))) for _ in range(2)]
    first, second = (tuple(1 if thin else size for size, thin in zip(shape, mask, strict=True)) for mask in masks)
    return first, second[draw(st.integers(0, len(shape) - 1)) :]


@pytest.mark.parametrize("name", [*BINARY, *COMPARISONS])
@settings(max_examples=8)
@given(shapes=_pairs(), seed=st.integers(0, 999), whole=st.booleans())
def test_functions_of_two_numbers_broadcast(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]], seed: int, whole: bool) -> None:
    if whole and name != "real_div":
        generator = np.random.default_rng(seed)
        x, y = generator.integers(-9, 9, shapes[0]).astype(np.int32), generator.integers(1, 5, shapes[1]).astype(np.int32)
    else:
        x, y = _draw(seed, shapes[0]), _draw(seed + 1, shapes[1], 0.5, 3)
    ours = computed(name, {"x": x, "y": y})
    assert ours.dtype == (np.bool_ if name in COMPARISONS else x.dtype)
    assert worst_difference(ours, peer_value(name, {"x": x, "y": y})) <= _ROUNDING


@settings(max_examples=10)
@given(shapes=_pairs(), seed=st.integers(0, 999))
def test_powers(shapes: tuple[tuple[int, ...], tuple[int, ...]], seed: int) -> None:
    x, y = _draw(seed, shapes[0], 0.2, 2), _draw(seed + 1, shapes[1])
    assert worst_difference(computed("pow", {"x": x, "y": y}), peer_value("pow", {"x": x, "y": y})) <= _ROUNDING


@pytest.mark.parametrize("name", LOGICAL)
def test_logic(name: str) -> None:
    x, y = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert np.array_equal(computed(name, {"x": x, "y": y}), peer_value(name, {"x": x, "y": y}))


def test_logical_not_and_select_and_silu() -> None:
    condition, x, y = np.array([True, False, True]), _draw(0, (2, 3)), _draw(1, (2, 1))
    assert np.array_equal(computed("logical_not", {"x": condition}), ~condition)
    assert np.array_equal(computed("select", {"cond": condition, "a": x, "b": y}), np.where(condition, x, y))
    assert worst_difference(computed("silu", {"x": x}), x / (1 + np.exp(-x.astype(np.float64)))) <= _ROUNDING


@pytest.mark.parametrize("name", WITH_NUMBERS)
@settings(max_examples=5)
@given(shape=_shapes, seed=st.integers(0, 999))
def test_functions_with_constants(name: str, shape: tuple[int, ...], seed: int) -> None:
    x = _draw(seed, shape)
    arguments: dict[str, Any] = {"x": x, **{key: np.float32(value) for key, value in WITH_NUMBERS[name].items()}}
    theirs = peer_value(name, arguments | {"x": x.copy()})  # some of the peer's evaluations write into their input
    assert worst_difference(computed(name, arguments), theirs) <= _ROUNDING


@pytest.mark.parametrize("name", ["prelu", "softplus_parametric"])
def test_functions_with_a_constant_a_channel(name: str) -> None:
    alpha, x = np.array([0.5, -0.25, 1.5], np.float32), _draw(3, (2, 3, 4, 2))
    arguments = {"x": x, "alpha": alpha} | ({"beta": alpha[::-1].copy()} if name == "softplus_parametric" else {})
    assert worst_difference(computed(name, arguments), peer_value(name, arguments)) <= _ROUNDING


@pytest.mark.parametrize("mode", ["EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"])
def test_gelu_in_each_mode(mode: str) -> None:
    x = _draw(1, (3, 5, 7), -8, 8)
    assert worst_difference(computed("gelu", {"x": x, "mode": mode}), peer_value("gelu", {"x": x, "mode": mode})) <= _ROUNDING


@settings(max_examples=15)
@given(shape=_shapes, axis=st.integers(-4, 3), seed=st.integers(0, 999))
def test_softmax_along_any_axis(shape: tuple[int, ...], axis: int, seed: int) -> None:
    axis = axis % len(shape) - (len(shape) if axis < 0 else 0)
    arguments = {"x": _draw(seed, shape, -30, 30), "axis": axis}
    assert worst_difference(computed("softmax", arguments), peer_value("softmax", arguments)) <= _ROUNDING


@pytest.mark.parametrize("name", REDUCTIONS)
@settings(max_examples=10)
@given(shape=_shapes, data=st.data(), seed=st.integers(0, 999))
def test_reductions_over_any_axes(name: str, shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    chosen = data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    # one axis alone: the peer's log-sum-exp squeezes all of them otherwise
    axes = sorted(chosen)[: 1 if name == "reduce_log_sum_exp" else None]
    signs = data.draw(st.lists(st.booleans(), min_size=len(axes), max_size=len(axes)))
    turned = np.array([axis - len(shape) if back else axis for axis, back in zip(axes, signs, strict=True)], np.int32)
    arguments = {"x": _draw(seed, shape, 0.2, 2), "axes": turned, "keep_dims": data.draw(st.booleans())}
    assert worst_difference(computed(name, arguments), peer_value(name, arguments)) <= _ROUNDING


@pytest.mark.parametrize("name", ["reduce_argmax", "reduce_argmin"])
@settings(max_examples=8)
@given(shape=_shapes, axis=st.integers(-4, 3), keep=st.booleans(), kind=st.sampled_from(["int32", "uint16"]), seed=st.integers(0, 999))
def test_places_of_extremes(name: str, shape: tuple[int, ...], axis: int, keep: bool, kind: str, seed: int) -> None:
    axis = axis % len(shape) - (len(shape) if axis < 0 else 0)
    x = np.random.default_rng(seed).integers(0, 3, shape).astype(np.float32)  # ties: the first counts
    ours = computed(name, {"x": x, "axis": axis, "keep_dims": keep, "output_dtype": kind})
    assert ours.dtype == np.dtype(kind)
    assert np.array_equal(ours, peer_value(name, {"x": x, "axis": axis, "keep_dims": keep, "output_dtype": kind}))


@pytest.mark.parametrize("kind", ["int32", "int16", "uint8", "bool", "fp32"])
def test_casts_cut_towards_zero(kind: str) -> None:
    x = np.array([0.0, 0.9, 1.5, 2.0, 100.7] + ([-0.9, -1.5] if kind != "uint8" else []), np.float32)
    ours = computed("cast", {"x": x, "dtype": kind})
    theirs = peer_value("cast", {"x": x, "dtype": kind})
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs)
