"""Convolution, pooling, products, normalisation and resizing, against torch in float64."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.backends.coreml.peer import computed, peer_value, worst_difference

# products of some hundred float32 numbers, against float64: sqrt(hundreds) roundings of 6e-8
_PRODUCT = 3e-6
_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def _draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _wide(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x)).double()


def _last(x: np.ndarray) -> np.ndarray:
    """The same numbers with channels side by side in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


@settings(max_examples=60)
@given(data=st.data(), rank=st.integers(1, 3), groups=st.sampled_from([1, 1, 2, 3]), seed=st.integers(0, 999), last=st.booleans())
def test_convolutions(data: st.DataObject, rank: int, groups: int, seed: int, last: bool) -> None:
    numbers = st.lists(st.integers(1, 3), min_size=rank, max_size=rank)
    kernel, strides, dilations = data.draw(numbers), data.draw(numbers), data.draw(numbers)
    pads = data.draw(st.lists(st.integers(0, 2), min_size=2 * rank, max_size=2 * rank))
    sizes = [(size - 1) * dilation + data.draw(st.integers(1, 4)) for size, dilation in zip(kernel, dilations, strict=True)]
    x, weight, bias = _draw(seed, 2, 2 * groups, *sizes), _draw(seed + 1, 3 * groups, 2, *kernel), _draw(seed + 2, 3 * groups)
    kind = data.draw(st.sampled_from(["custom", "valid"]))  # a pad that comes with "valid" is ignored
    around = [pad for axis in reversed(range(rank)) for pad in pads[2 * axis : 2 * axis + 2]] if kind == "custom" else [0] * 2 * rank
    wanted = _CONVOLUTIONS[rank](F.pad(_wide(x), around), _wide(weight), _wide(bias), strides, 0, dilations, groups)
    arguments = {"x": _last(x) if last else x, "weight": weight, "bias": bias, "strides": strides, "dilations": dilations, "pad": pads}
    assert worst_difference(computed("conv", arguments | {"pad_type": kind, "groups": groups}), wanted.numpy()) <= _PRODUCT


@settings(max_examples=15)
@given(sizes=st.tuples(st.integers(3, 7), st.integers(3, 7)), stride=st.integers(1, 3), seed=st.integers(0, 99), lower=st.booleans())
def test_same_padding_gives_one_window_a_step(sizes: tuple[int, int], stride: int, seed: int, lower: bool) -> None:
    x, weight = _draw(seed, 1, 2, *sizes), _draw(seed + 1, 2, 2, 3, 2)
    around = []
    for size, window in zip(reversed(sizes), (2, 3), strict=True):
        total = max(0, (math.ceil(size / stride) - 1) * stride + window - size)
        around += [total - total // 2, total // 2] if lower else [total // 2, total - total // 2]
    wanted = F.conv2d(F.pad(_wide(x), around), _wide(weight), None, stride)
    kind = "same_lower" if lower else "same"
    found = computed("conv", {"x": x, "weight": weight, "strides": [stride, stride], "pad_type": kind})
    assert found.shape[2:] == tuple(math.ceil(size / stride) for size in sizes)
    assert worst_difference(found, wanted.numpy()) <= _PRODUCT


@settings(max_examples=40)
@given(data=st.data(), rank=st.integers(1, 3), groups=st.integers(1, 2), seed=st.integers(0, 999))
def test_transposed_convolutions(data: st.DataObject, rank: int, groups: int, seed: int) -> None:
    numbers = st.lists(st.integers(1, 3), min_size=rank, max_size=rank)
    kernel, strides, dilations = data.draw(numbers), data.draw(numbers), data.draw(numbers)
    sizes = data.draw(st.lists(st.integers(2, 4), min_size=rank, max_size=rank))
    x, weight, bias = _draw(seed, 2, 2 * groups, *sizes), _draw(seed + 1, 2 * groups, 3, *kernel), _draw(seed + 2, 3 * groups)
    pads = [data.draw(st.integers(0, min(1, (size - 1) * gap))) for size, gap in zip(kernel, dilations, strict=True)]
    extra = [data.draw(st.integers(0, step - 1)) if max(strides) > 1 else 0 for step in strides]
    extra = [min(more, max(step, gap) - 1) for more, step, gap in zip(extra, strides, dilations, strict=True)]
    wanted = _TRANSPOSED[rank](_wide(x), _wide(weight), _wide(bias), strides, pads, extra, groups, dilations).numpy()
    arguments = {"x": x, "weight": weight, "bias": bias, "strides": strides, "dilations": dilations, "groups": groups}
    arguments |= {"pad_type": "custom", "pad": [pad for pad in pads for _ in range(2)], "output_shape": list(wanted.shape)}
    assume(all(wanted.shape[2:]))
    assert worst_difference(computed("conv_transpose", arguments), wanted) <= _PRODUCT
    if not any(extra):
        assert (
            worst_difference(computed("conv_transpose", {key: value for key, value in arguments.items() if key != "output_shape"}), wanted)
            <= _PRODUCT
        )


@pytest.mark.parametrize("ceil_mode", [False, True])
@settings(max_examples=20)
@given(data=st.data(), rank=st.integers(1, 2), seed=st.integers(0, 999))
def test_pooling(ceil_mode: bool, data: st.DataObject, rank: int, seed: int) -> None:
    kernel = data.draw(st.lists(st.integers(2, 3), min_size=rank, max_size=rank))
    strides = data.draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    pads = data.draw(st.lists(st.integers(0, 1), min_size=rank, max_size=rank))
    x = _draw(seed, 2, 3, *data.draw(st.lists(st.integers(3, 7), min_size=rank, max_size=rank)))
    arguments = {"x": x, "kernel_sizes": kernel, "strides": strides, "pad_type": "custom", "pad": [pad for pad in pads for _ in range(2)]}
    arguments |= {"ceil_mode": ceil_mode}
    largest = {1: F.max_pool1d, 2: F.max_pool2d}[rank](_wide(x), kernel, strides, pads, 1, ceil_mode)
    assert np.array_equal(computed("max_pool", arguments), largest.float().numpy())
    for excluded in (False, True):
        mean = {1: F.avg_pool1d, 2: F.avg_pool2d}[rank](_wide(x), kernel, strides, pads, ceil_mode, not excluded)
        found = computed("avg_pool", arguments | {"exclude_padding_from_average": excluded})
        assert worst_difference(found, mean.numpy()) <= _PRODUCT


def test_l2_pooling() -> None:
    x = _draw(0, 2, 3, 6, 7)
    wanted = F.lp_pool2d(_wide(x), 2.0, (2, 3), (1, 2))
    assert (
        worst_difference(computed("l2_pool", {"x": x, "kernel_sizes": [2, 3], "strides": [1, 2], "pad_type": "valid"}), wanted.numpy())
        <= _PRODUCT
    )


@settings(max_examples=25)
@given(data=st.data(), seed=st.integers(0, 999), flips=st.tuples(st.booleans(), st.booleans()))
def test_matrix_products_broadcast(data: st.DataObject, seed: int, flips: tuple[bool, bool]) -> None:
    rows, inner, columns = (data.draw(st.integers(1, 5)) for _ in range(3))
    lead = data.draw(st.lists(st.integers(1, 3), max_size=2))
    thin = [1 if data.draw(st.booleans()) else size for size in lead]
    x, y = _draw(seed, *lead, rows, inner), _draw(seed + 1, *thin, inner, columns)
    given_x, given_y = (np.swapaxes(part, -1, -2) if flip else part for part, flip in zip((x, y), flips, strict=True))
    arguments = {"x": np.ascontiguousarray(given_x), "y": np.ascontiguousarray(given_y), "transpose_x": flips[0], "transpose_y": flips[1]}
    assert worst_difference(computed("matmul", arguments), (_wide(x) @ _wide(y)).numpy()) <= _PRODUCT
    assert worst_difference(computed("matmul", arguments), peer_value("matmul", arguments)) <= _PRODUCT


def test_products_with_vectors() -> None:
    x, y = _draw(0, 3), _draw(1, 2, 3, 4)
    assert worst_difference(computed("matmul", {"x": x, "y": y}), x @ y) <= _PRODUCT
    weight, bias = _draw(2, 5, 4), _draw(3, 5)
    assert worst_difference(computed("linear", {"x": y, "weight": weight, "bias": bias}), y @ weight.T + bias) <= _PRODUCT


@pytest.mark.parametrize("equation", ["nchw,nwhu->nchu", "bkhc,bchq->bkhq", "bchk,bkhq->bchq", "chw,whr->chr"])
def test_einsum_in_any_letters(equation: str) -> None:
    shapes = ((2, 3, 4, 5), (2, 5, 4, 6)) if len(equation.split(",")[0]) == 4 else ((3, 4, 5), (5, 4, 6))
    values = [_draw(index, *shape) for index, shape in enumerate(shapes)]
    found = computed("einsum", {"values": values, "equation": equation})
    assert worst_difference(found, np.einsum(equation, *values)) <= _PRODUCT
    assert worst_difference(found, peer_value("einsum", {"values": values, "equation": equation})) <= _PRODUCT


@pytest.mark.parametrize("mask", [None, "bool", "float"])
@settings(max_examples=6)
@given(heads=st.integers(1, 3), queries=st.integers(1, 9), keys=st.integers(1, 9), width=st.integers(1, 6), seed=st.integers(0, 99))
def test_attention(mask: str | None, heads: int, queries: int, keys: int, width: int, seed: int) -> None:
    q, k, v = _draw(seed, 2, heads, queries, width), _draw(seed + 1, 2, heads, keys, width), _draw(seed + 2, 2, heads, keys, width)
    arguments = {"query": q, "key": k, "value": v}
    seen = np.random.default_rng(seed).random((queries, keys)) < 0.7
    seen[:, 0] = True  # a query that sees nothing has no answer
    given_mask = {"bool": seen, "float": _draw(seed + 3, queries, keys)}.get(mask or "")
    extra = {} if given_mask is None else {"attn_mask": given_mask}
    theirs = None if given_mask is None else torch.from_numpy(given_mask) if mask == "bool" else _wide(given_mask)
    wanted = F.scaled_dot_product_attention(_wide(q), _wide(k), _wide(v), theirs)
    assert worst_difference(computed("scaled_dot_product_attention", arguments | extra), wanted.numpy()) <= _PRODUCT


def test_normalisations_over_channels_and_pixels() -> None:
    x = 3 + _draw(0, 2, 4, 5, 6)
    mean, variance, gamma, beta = (np.abs(_draw(seed, 4)) + 0.1 for seed in range(1, 5))
    arguments = {"x": x, "mean": mean, "variance": variance, "gamma": gamma, "beta": beta, "epsilon": np.float32(1e-3)}
    wanted = F.batch_norm(_wide(x), _wide(mean), _wide(variance), _wide(gamma), _wide(beta), eps=1e-3)
    assert worst_difference(computed("batch_norm", arguments), wanted.numpy()) <= _PRODUCT
    instance = F.instance_norm(_wide(x), None, None, _wide(gamma), _wide(beta), eps=1e-5)
    assert worst_difference(computed("instance_norm", {"x": x, "gamma": gamma, "beta": beta}), instance.numpy()) <= _PRODUCT
    local = F.local_response_norm(_wide(x), 3, 1e-2, 0.7, 1.5)
    numbers = {"size": 3, "alpha": np.float32(1e-2), "beta": np.float32(0.7), "k": np.float32(1.5)}
    assert worst_difference(computed("local_response_norm", {"x": x, **numbers}), local.numpy()) <= _PRODUCT
    assert worst_difference(computed("l2_norm", {"x": x}), peer_value("l2_norm", {"x": x})) <= _PRODUCT


@settings(max_examples=20)
@given(data=st.data(), seed=st.integers(0, 99))
def test_layer_norm_over_any_axes(data: st.DataObject, seed: int) -> None:
    shape = data.draw(st.lists(st.integers(2, 5), min_size=2, max_size=4).map(tuple))
    axes = sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    inner = [shape[axis] for axis in axes]
    turned = np.array([axis - len(shape) if data.draw(st.booleans()) else axis for axis in axes], np.int32)
    arguments = {
        "x": _draw(seed, *shape),
        "axes": turned,
        "gamma": _draw(seed + 1, *inner),
        "beta": _draw(seed + 2, *inner),
        "epsilon": np.float32(1e-3),
    }
    # two numbers that are nearly equal leave few digits in their difference
    assert worst_difference(computed("layer_norm", arguments), peer_value("layer_norm", arguments)) <= 1e-5


@settings(max_examples=15)
@given(
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    factor=st.sampled_from([1.0, 1.5, 2.0, 2.5, 3.0]),
    last=st.booleans(),
    seed=st.integers(0, 9),
)
def test_nearest_neighbours(height: int, width: int, factor: float, last: bool, seed: int) -> None:
    x = _draw(seed, 2, 3, height, width)
    arguments = {"x": _last(x) if last else x, "scale_factor_height": np.float32(factor), "scale_factor_width": np.float32(2)}
    size = (math.floor(height * factor), width * 2)
    wanted = F.interpolate(torch.from_numpy(x), size=size, mode="nearest").numpy()
    assert np.array_equal(computed("upsample_nearest_neighbor", arguments), wanted)
    assert np.array_equal(
        computed("resize_nearest_neighbor", {"x": x, "target_size_height": size[0], "target_size_width": size[1]}), wanted
    )


@pytest.mark.parametrize("corners", [True, False])
@settings(max_examples=10)
@given(height=st.integers(2, 6), width=st.integers(2, 6), seed=st.integers(0, 9))
def test_bilinear(corners: bool, height: int, width: int, seed: int) -> None:
    x = _draw(seed, 2, 3, height, width)
    wanted = F.interpolate(_wide(x), size=(2 * height, 3 * width), mode="bilinear", align_corners=corners).numpy()
    found = computed("upsample_bilinear", {"x": x, "scale_factor_height": 2, "scale_factor_width": 3, "align_corners": corners})
    assert worst_difference(found, wanted) <= _PRODUCT
    mode = "STRICT_ALIGN_CORNERS" if corners else "UNALIGN_CORNERS"
    target = {"target_size_height": 2 * height, "target_size_width": 3 * width, "sampling_mode": mode}
    assert worst_difference(computed("resize_bilinear", {"x": x, **target}), wanted) <= _PRODUCT
    shape = {"shape": np.array([1, 2 * height, 3 * width], np.int32), "resized_dims": 2, "sampling_mode": mode}
    assert worst_difference(computed("resize", {"x": x, **shape}), wanted) <= _PRODUCT


def test_the_sampling_points_of_each_mode() -> None:
    # the tables of MIL's own documentation of resize_bilinear, two pixels to five
    x = np.array([[[0.0, 1.0]]], np.float32)
    rows = {
        "UNALIGN_CORNERS": [0.0, 0.1, 0.5, 0.9, 1.0],
        "STRICT_ALIGN_CORNERS": [0.0, 0.25, 0.5, 0.75, 1.0],
        "ALIGN_CORNERS": [0.0, 0.25, 0.5, 0.75, 1.0],
        "DEFAULT": [0.0, 0.4, 0.8, 1.0, 1.0],
        "OFFSET_CORNERS": [0.1, 0.3, 0.5, 0.7, 0.9],
    }
    for mode, wanted in rows.items():
        found = computed("resize_bilinear", {"x": x, "target_size_height": 1, "target_size_width": 5, "sampling_mode": mode})
        assert np.allclose(found[0, 0], wanted, atol=1e-6), mode


def test_whole_axes_are_kept_where_resize_says_nothing() -> None:
    x = _draw(0, 2, 3, 4)
    found = computed("resize", {"x": x, "shape": np.array([0, 8], np.int32), "resized_dims": 2, "interpolation_mode": "NEAREST_NEIGHBOR"})
    assert np.array_equal(found, np.repeat(x, 2, axis=-1))
