"""Operations that move numbers: shapes, slices, gathering, sorting, making; against coremltools' own evaluation, numpy and torch."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backends.coreml.peer import computed, peer_value

_shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


def _numbers(*shape: int) -> np.ndarray:
    return np.arange(1, 1 + int(np.prod(shape)), dtype=np.float32).reshape(shape)


def _check(name: str, arguments: dict[str, Any], target: str = "iOS17") -> None:
    """The same numbers in the same places."""
    ours, theirs = computed(name, arguments), peer_value(name, arguments, target)
    ours, theirs = (item if isinstance(item, tuple) else (item,) for item in (ours, theirs))
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == np.shape(other)
        assert np.array_equal(one, other)


def _signed(data: st.DataObject, axis: int, rank: int) -> int:
    return axis - rank if data.draw(st.booleans()) else axis


@settings(max_examples=20)
@given(shape=_shapes, data=st.data())
def test_reshape_with_a_remainder_and_copied_axes(shape: tuple[int, ...], data: st.DataObject) -> None:
    target = list(data.draw(st.permutations(shape)))
    target[data.draw(st.integers(0, len(shape) - 1))] = -1
    if target[0] == shape[0] and data.draw(st.booleans()):
        target[0] = 0
    _check("reshape", {"x": _numbers(*shape), "shape": np.array(target, np.int32)})


@settings(max_examples=20)
@given(shape=_shapes, data=st.data())
def test_transpose_with_negative_axes(shape: tuple[int, ...], data: st.DataObject) -> None:
    order = [_signed(data, axis, len(shape)) for axis in data.draw(st.permutations(range(len(shape))))]
    _check("transpose", {"x": _numbers(*shape), "perm": np.array(order, np.int32)})


@settings(max_examples=20)
@given(shape=_shapes, data=st.data())
def test_new_and_removed_axes(shape: tuple[int, ...], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 2))
    places = data.draw(st.lists(st.integers(0, len(shape) + count - 1), min_size=count, max_size=count, unique=True))
    axes = np.array([_signed(data, axis, len(shape) + count) for axis in places], np.int32)
    _check("expand_dims", {"x": _numbers(*shape), "axes": axes})
    _check("squeeze", {"x": np.expand_dims(_numbers(*shape), tuple(places)), "axes": axes})


@settings(max_examples=20)
@given(shape=_shapes, data=st.data())
def test_concat_stack_and_split(shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = _signed(data, data.draw(st.integers(0, len(shape) - 1)), len(shape))
    parts = [_numbers(*shape), -_numbers(*shape)]
    _check("concat", {"values": parts, "axis": axis})
    _check("stack", {"values": parts, "axis": axis})
    whole = np.concatenate(parts, axis)
    sizes = np.array([1, whole.shape[axis] - 1], np.int32)
    _check("split", {"x": whole, "split_sizes": sizes, "axis": axis})
    _check("split", {"x": whole, "num_splits": 2, "axis": axis})


def test_interleaved_concat_takes_one_of_each_in_turn() -> None:
    # the peer's evaluation forgets to interleave; its documentation is what counts
    parts = (_numbers(1, 2, 2), -_numbers(1, 2, 2))
    found = computed("concat", {"values": parts, "axis": 1, "interleave": True})
    assert found[0, :, 0].tolist() == [1, -1, 3, -3]


def test_scalars_are_put_side_by_side() -> None:
    found = computed("concat", {"values": (np.array(2, np.int32), np.array([3], np.int32)), "axis": 0})
    assert found.tolist() == [2, 3]


@settings(max_examples=15)
@given(shape=_shapes, data=st.data())
def test_tile_and_reverse(shape: tuple[int, ...], data: st.DataObject) -> None:
    times = data.draw(st.lists(st.integers(1, 3), min_size=len(shape), max_size=len(shape)))
    _check("tile", {"x": _numbers(*shape), "reps": np.array(times, np.int32)})
    axes = data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    _check("reverse", {"x": _numbers(*shape), "axes": np.array([_signed(data, axis, len(shape)) for axis in axes], np.int32)})


@settings(max_examples=60)
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple), data=st.data())
def test_slices_with_masks_and_negative_numbers(shape: tuple[int, ...], data: st.DataObject) -> None:
    arguments: dict[str, Any] = {"begin": [], "end": [], "stride": [], "begin_mask": [], "end_mask": [], "squeeze_mask": []}
    for size in shape:
        start = data.draw(st.integers(0, size - 1))
        stop = data.draw(st.integers(start + 1, size))
        back = data.draw(st.booleans())
        squeezed = data.draw(st.integers(0, 4)) == 0
        masks = data.draw(st.tuples(st.booleans(), st.booleans()))
        arguments["begin"].append(start - size if back else start)
        arguments["end"].append(stop - size if back and stop < size else stop)
        arguments["stride"].append(1 if squeezed else data.draw(st.integers(1, 3)))
        arguments["begin_mask"].append(masks[0] and not squeezed)
        arguments["end_mask"].append(masks[1])
        arguments["squeeze_mask"].append(squeezed)
    typed = {key: np.array(value, bool if key.endswith("mask") else np.int32) for key, value in arguments.items()}
    x = _numbers(*shape)
    if not all(arguments["squeeze_mask"]):
        _check("slice_by_index", {"x": x, **typed})
        part = computed("slice_by_index", {"x": x, **typed})
        changed = computed("slice_update", {"x": x, "update": -part, **typed})
        assert np.array_equal(computed("slice_by_index", {"x": changed, **typed}), -part)
        assert np.count_nonzero(changed < 0) == part.size
    else:
        assert computed("slice_by_index", {"x": x, **typed}) == x[tuple(arguments["begin"])]


def test_slices_run_backwards() -> None:
    x = _numbers(4, 3)
    found = computed("slice_by_index", {"x": x, "begin": [3, -1], "end": [0, 0], "stride": [-2, -1], "end_mask": [False, True]})
    assert np.array_equal(found, x[3:0:-2, ::-1])


@settings(max_examples=15)
@given(shape=_shapes, data=st.data())
def test_slices_by_size(shape: tuple[int, ...], data: st.DataObject) -> None:
    begin = [data.draw(st.integers(0, size - 1)) for size in shape]
    size = [data.draw(st.sampled_from([-1, *range(1, have - start + 1)])) for have, start in zip(shape, begin, strict=True)]
    _check("slice_by_size", {"x": _numbers(*shape), "begin": np.array(begin, np.int32), "size": np.array(size, np.int32)})


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
@settings(max_examples=10)
@given(data=st.data())
def test_pads_of_the_last_axes(mode: str, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(2, 4), min_size=2, max_size=4).map(tuple))
    count = data.draw(st.integers(1, min(2, len(shape))))
    pads = data.draw(st.lists(st.integers(0, 1), min_size=2 * count, max_size=2 * count))
    x = _numbers(*shape)
    arguments = {"x": x, "pad": np.array(pads, np.int32), "mode": mode, "constant_val": np.float32(0.5)}
    _check("pad", arguments)
    turned = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    assert np.array_equal(computed("pad", arguments | {"x": turned}), computed("pad", arguments))


def test_bands_windows_and_crops() -> None:
    x = _numbers(2, 4, 5)
    for lower, upper in ((-1, 0), (0, -1), (1, 2), (0, 0)):
        _check("band_part", {"x": x, "lower": lower, "upper": upper})
    found = computed("sliding_windows", {"x": x, "axis": -2, "size": 2, "stride": 2})
    assert np.array_equal(found, torch.from_numpy(x).unfold(1, 2, 2).permute(0, 1, 3, 2).numpy())
    cut = computed("crop", {"x": x[None], "crop_height": [1, 1], "crop_width": [2, 0]})
    assert np.array_equal(cut, x[None, :, 1:3, 2:])


@settings(max_examples=20)
@given(shape=st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple), data=st.data(), seed=st.integers(0, 99))
def test_gathering_with_negative_indices(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    place = data.draw(st.integers(0, len(shape) - 1))
    axis = _signed(data, place, len(shape))
    generator = np.random.default_rng(seed)
    x = _numbers(*shape)
    indices = generator.integers(-shape[place], shape[place], (2, 3)).astype(np.int32)
    _check("gather", {"x": x, "indices": indices, "axis": axis}, "iOS16")
    along = generator.integers(-shape[place], shape[place], shape).astype(np.int32)
    _check("gather_along_axis", {"x": x, "indices": along, "axis": axis}, "iOS16")
    coordinates = np.stack([generator.integers(0, size, (4,)) for size in shape[:2]], -1).astype(np.int32)
    assert np.array_equal(computed("gather_nd", {"x": x, "indices": coordinates}), x[tuple(coordinates.T)])


def test_gathering_in_batches() -> None:
    x, indices = _numbers(2, 3, 4), np.array([[0, 2], [1, 1]], np.int32)
    _check("gather", {"x": x, "indices": indices, "axis": 1, "batch_dims": 1}, "iOS16")
    found = computed("gather_nd", {"x": x, "indices": indices[..., None], "batch_dims": 1})
    assert np.array_equal(found, np.stack([x[row][indices[row]] for row in range(2)]))


def test_an_index_outside_the_array_is_refused() -> None:
    with pytest.raises(IndexError):
        computed("gather", {"x": _numbers(3), "indices": np.array([3], np.int32)})


@pytest.mark.parametrize(("mode", "reduce"), [("update", None), ("add", "sum"), ("mul", "prod"), ("max", "amax"), ("min", "amin")])
def test_scattering_agrees_with_torch(mode: str, reduce: str | None) -> None:
    data, updates = _numbers(3, 4), -_numbers(3, 2)
    # a place comes twice where numbers are combined
    indices = np.array([[0, 3], [1, 1 if reduce else 2], [-1, 2 if reduce else 0]], np.int32)
    target, places = torch.from_numpy(data), torch.from_numpy(indices % 4).long()
    wanted = (
        target.scatter(1, places, torch.from_numpy(updates))
        if reduce is None
        else target.scatter_reduce(1, places, torch.from_numpy(updates), reduce)
    )
    found = computed("scatter_along_axis", {"data": data, "indices": indices, "updates": updates, "axis": 1, "mode": mode})
    assert np.array_equal(found, wanted.numpy())


def test_scattering_of_slices() -> None:
    data, rows = np.zeros((3, 2), np.float32), np.array([0, 2, 0], np.int32)
    updates = _numbers(3, 2)
    added = computed("scatter", {"data": data, "indices": rows, "updates": updates, "axis": 0, "mode": "add"})
    assert added.tolist() == [[6, 8], [0, 0], [3, 4]]
    same = computed("scatter_nd", {"data": data, "indices": rows[:, None], "updates": updates, "mode": "add"})
    assert np.array_equal(added, same)
    less = computed("scatter", {"data": data + 12, "indices": rows[:2], "updates": updates[:2], "axis": 0, "mode": "sub"})
    part = computed("scatter", {"data": data + 12, "indices": rows[:2], "updates": updates[:2], "axis": 0, "mode": "div"})
    assert less.tolist() == [[11, 10], [12, 12], [9, 8]]
    assert part.tolist() == [[12, 6], [12, 12], [4, 3]]


@settings(max_examples=15)
@given(shape=_shapes, data=st.data(), seed=st.integers(0, 99))
def test_sorting(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    place = data.draw(st.integers(0, len(shape) - 1))
    x = np.random.default_rng(seed).permutation(int(np.prod(shape))).astype(np.float32).reshape(shape)
    ascending, count = data.draw(st.booleans()), data.draw(st.integers(1, shape[place]))
    wanted = torch.from_numpy(x).topk(count, dim=place, largest=not ascending)
    values, places = computed("topk", {"x": x, "k": count, "axis": place - len(shape), "ascending": ascending})
    assert np.array_equal(values, wanted.values.numpy())
    assert np.array_equal(places, wanted.indices.numpy())
    order = computed("argsort", {"x": x, "axis": place, "ascending": ascending})
    assert np.array_equal(order, torch.from_numpy(x).argsort(dim=place, descending=not ascending).numpy())
    only = computed("topk", {"x": x, "k": -1, "axis": place, "return_indices": False})
    assert only[0].shape == x.shape


def test_making_numbers() -> None:
    _check("fill", {"shape": np.array([2, 3], np.int32), "value": np.float32(1.5)})
    _check("fill_like", {"ref_tensor": _numbers(2, 3), "value": np.int32(4)})
    _check("range_1d", {"start": np.int32(1), "end": np.int32(8), "step": np.int32(3)})
    _check("range_1d", {"start": np.float32(2), "end": np.float32(-1), "step": np.float32(-0.5)})
    _check("non_zero", {"x": np.array([[0, 2], [3, 0]], np.float32)})
    _check("identity", {"x": _numbers(2)})
    assert computed("shape", {"x": _numbers(2, 3)}).tolist() == [2, 3]
    hot = computed("one_hot", {"indices": np.array([0, 2, 7], np.int32), "one_hot_vector_size": 3, "axis": 0, "on_value": np.float32(2)})
    assert hot.tolist() == [[2, 0, 0], [0, 0, 0], [0, 2, 0]]


@settings(max_examples=10)
@given(exclusive=st.booleans(), backwards=st.booleans(), axis=st.integers(-3, 2))
def test_running_sums(exclusive: bool, backwards: bool, axis: int) -> None:
    x = torch.from_numpy(_numbers(2, 3, 4))
    way = x.flip(axis) if backwards else x
    sums = way.cumsum(axis) - (way if exclusive else 0)
    wanted = sums.flip(axis) if backwards else sums
    found = computed("cumsum", {"x": x.numpy(), "axis": axis, "exclusive": exclusive, "reverse": backwards})
    assert np.array_equal(found, wanted.numpy())


def test_pixels_and_channels_change_places_as_torch_has_it() -> None:
    x = _numbers(2, 8, 4, 6)
    shuffled = torch.nn.functional.pixel_shuffle(torch.from_numpy(x), 2).numpy()
    assert np.array_equal(computed("pixel_shuffle", {"x": x, "upscale_factor": 2}), shuffled)
    assert np.array_equal(computed("pixel_unshuffle", {"x": shuffled, "downscale_factor": 2}), x)


def test_depth_and_space_change_places_with_the_block_slow() -> None:
    # ONNX's DCR mode and TensorFlow's depth_to_space: channel (i * b + j) * c' + k goes to pixel (i, j) of channel k
    x = _numbers(1, 8, 1, 1)
    found = computed("depth_to_space", {"x": x, "block_size": 2})
    assert found.reshape(2, 4).tolist() == [[1, 3, 5, 7], [2, 4, 6, 8]]
    wide = _numbers(2, 3, 4, 6)
    assert np.array_equal(
        computed("depth_to_space", {"x": computed("space_to_depth", {"x": wide, "block_size": 2}), "block_size": 2}), wide
    )


def test_batch_and_space_change_places() -> None:
    x = _numbers(1, 1, 2, 3)
    blocks = {"block_shape": [2, 2]}
    batch = computed("space_to_batch", {"x": x, **blocks, "paddings": [[0, 0], [0, 1]]})
    # TensorFlow's own example order: the block's place is the slow part of the batch
    assert batch.reshape(4, 2).tolist() == [[1, 3], [2, 0], [4, 6], [5, 0]]
    assert np.array_equal(computed("batch_to_space", {"x": batch, **blocks, "crops": [[0, 0], [0, 1]]}), x)


def test_other_shapes() -> None:
    x = _numbers(2, 3, 4)
    assert computed("flatten2d", {"x": x, "axis": -1}).shape == (6, 4)
    same = {"ref_tensors": (_numbers(12, 5), _numbers(9, 2)), "begins": (np.int32(0), np.int32(1)), "ends": (np.int32(1), np.int32(0))}
    found = computed(
        "reshape_like",
        {"x": x, **{key: tuple(map(np.asarray, value)) for key, value in same.items()}, "end_masks": (np.array(False), np.array(True))},
    )
    assert found.shape == (12, 2)
    turned = computed("reverse_sequence", {"x": _numbers(2, 3), "lengths": np.array([2, 3], np.int32), "seq_axis": 1, "batch_axis": 0})
    assert turned.tolist() == [[2, 1, 3], [6, 5, 4]]
