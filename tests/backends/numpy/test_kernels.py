"""The kernels against torch's, where networks with random weights do not reach."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from sdrt.arrays import Array
from sdrt.backends.numpy.activations import geglu, gelu, quick_gelu, silu
from sdrt.backends.numpy.attention import attend
from sdrt.backends.numpy.conv import Conv3x3, padded_copy
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.norm import GroupNorm, LayerNorm
from sdrt.backends.numpy.scratch import Scratch
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.tiles import split, tiles
from sdrt.backends.numpy.winograd import worth_winograd
from tests.backends.numpy.reference import relative_error
from tests.factories import normal

BOUND = {"float32": 2e-6, "float64": 1e-14}


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def team(request: pytest.FixtureRequest) -> ThreadTeam:
    return ThreadTeam(request.param)


def _attention(q: Array, k: Array, v: Array, heads: int, causal: bool) -> Array:
    q, k, v = (x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3) for x in (q, k, v))
    out = functional.scaled_dot_product_attention(torch.from_numpy(q), torch.from_numpy(k), torch.from_numpy(v), is_causal=causal)
    found: Array = out.transpose(1, 2).reshape(out.shape[0], out.shape[2], -1).numpy()
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("queries", "keys", "causal"),
    [*((n, n, causal) for n in (1, 5, 77, 1100) for causal in (False, True)), (300, 77, False), (600, 2500, False)],
)
def test_attention(team: ThreadTeam, dtype: str, queries: int, keys: int, causal: bool) -> None:
    """One block or many of queries and of keys; a causal mask is for as many of both."""
    q, k, v = (normal(i, 2, length, 24, dtype=dtype) for i, length in enumerate((queries, keys, keys)))
    assert relative_error(attend(team, q, k, v, 3, causal=causal), _attention(q, k, v, 3, causal)) < BOUND[dtype]


@pytest.mark.parametrize("scale", [30.0, 300.0])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_with_logits_far_beyond_exp(team: ThreadTeam, scale: float, causal: bool) -> None:
    """Logits of thousands, as float16 models with large activations have them, neither overflow nor vanish."""
    q, k, v = scale * normal(0, 1, 1500, 16), normal(1, 1, 1500, 16), normal(2, 1, 1500, 16)
    k[:, 1200] *= 20
    wide_q, wide_k, wide_v = (x.astype(np.float64) for x in (q, k, v))
    found = attend(team, wide_q, wide_k, wide_v, 2, causal=causal)
    assert relative_error(found, _attention(wide_q, wide_k, wide_v, 2, causal)) < 1e-11
    # float32 logits of that size are themselves off by 1e-3: what is left of the agreement, and everything finite
    assert relative_error(attend(team, q, k, v, 2, causal=causal), found) < 1e-2


def test_attention_of_parts_of_a_wider_array(team: ThreadTeam) -> None:
    """Queries, keys and values may be columns of one product."""
    joined = normal(0, 2, 70, 3 * 16)
    q, k, v = np.split(joined, 3, axis=2)
    assert np.array_equal(attend(team, q, k, v, 4), attend(team, q.copy(), k.copy(), v.copy(), 4))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations(dtype: str) -> None:
    """Over the whole range, the flat tails and the overflow of exp included."""
    x = np.concatenate([np.linspace(-12, 12, 40001), [-1e4, -150.0, -88.8, 0.0, 88.8, 150.0, 1e4]]).astype(dtype)
    same, ones = torch.from_numpy(x.astype(np.float64)), np.ones_like(x)
    tolerance = 5e-7 if dtype == "float32" else 2e-15
    scratch = Scratch()
    with np.errstate(over="ignore", under="ignore"):
        found = {"silu": np.empty_like(x), "gelu": x.copy(), "quick_gelu": x.copy(), "geglu": np.empty((1, x.size), dtype)}
        silu(x, scratch, found["silu"])
        gelu(found["gelu"], scratch)
        quick_gelu(found["quick_gelu"], scratch)
        geglu(ones[None], x.copy()[None], scratch, found["geglu"])
    wanted = {"silu": functional.silu(same), "gelu": functional.gelu(same), "quick_gelu": same * torch.sigmoid(1.702 * same)}
    wanted["geglu"] = wanted["gelu"][None]
    for name, reference in wanted.items():
        error = np.abs(found[name] - reference.numpy()) / np.maximum(1, np.abs(reference.numpy()))
        assert error.max() < tolerance, name


def _normed(x: Array, axes: tuple[int, ...]) -> Array:
    wide = x.astype(np.longdouble)
    wide -= wide.mean(axis=axes, keepdims=True)
    normed: Array = (wide / np.sqrt((wide * wide).mean(axis=axes, keepdims=True) + 1e-5)).astype(np.float64)
    return normed


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norms(team: ThreadTeam, offset: float, dtype: str) -> None:
    """A mean that is a thousand deviations away costs no more digits than it costs the input itself."""
    x = (normal(0, 3, 40, 30, 48) + offset).astype(dtype)
    weight, bias = normal(1, 48, dtype=dtype), normal(2, 48, dtype=dtype)
    # torch's own group norm in float64 is off by 6e-10 here: exact sums in long double instead
    group = _normed(x.reshape(3, 1200, 6, 8), (1, 3)).reshape(x.shape) * weight + bias
    layer = _normed(x, (3,)) * weight + bias
    bound = BOUND[dtype] * (1 + offset / 10)
    assert relative_error(GroupNorm(weight, bias, 6, 1e-5)(team, x), group) < bound
    assert relative_error(LayerNorm(weight, bias, 1e-5)(team, x), layer) < bound
    padded = GroupNorm(weight, bias, 6, 1e-5).silu_padded(team, x)
    assert relative_error(padded[:, 1:-1, 1:-1], functional.silu(torch.from_numpy(group)).numpy()) < bound
    assert not padded[:, 0].any()
    assert not padded[:, -1].any()
    assert not padded[:, :, 0].any()
    assert not padded[:, :, -1].any()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (2, 5, 7, 4), (1, 70, 33, 8), (5, 4, 4, 130)])
def test_convolution(team: ThreadTeam, stride: int, shape: tuple[int, int, int, int]) -> None:
    """One block, many blocks, several pictures a block; with what is added to each picture and to each pixel."""
    n, _, _, channels = shape
    x, weight, bias = normal(0, *shape, dtype="float64"), normal(1, 6, channels, 3, 3, dtype="float64"), normal(2, 6, dtype="float64")
    packed = np.ascontiguousarray(weight.transpose(2, 3, 1, 0).reshape(-1, 6))
    wanted = functional.conv2d(
        torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(weight), torch.from_numpy(bias), stride=stride, padding=1
    )
    plain = wanted.permute(0, 2, 3, 1).numpy()
    shift, residual = normal(3, n, 6, dtype="float64"), normal(4, *plain.shape, dtype="float64")
    conv = Conv3x3(packed, bias)
    assert relative_error(conv(team, padded_copy(team, x), stride=stride), plain) < 1e-13
    found = conv(team, padded_copy(team, x), stride=stride, shift=shift, residual=residual)
    assert relative_error(found, plain + shift[:, None, None] + residual) < 1e-13


@pytest.mark.parametrize("shape", [(1, 32, 32, 96), (3, 32, 40, 100), (2, 96, 64, 128)])
def test_convolution_by_winograd(team: ThreadTeam, shape: tuple[int, int, int, int]) -> None:
    """Large pictures in float32 take the way with fewer products: within a few units of float32's last place of the largest value."""
    n, _, _, channels = shape
    x, weight, bias = normal(0, *shape), normal(1, 9 * channels, 97) / np.float32(3 * channels**0.5), normal(2, 97)
    shift, residual = normal(3, n, 97), normal(4, *shape[:3], 97)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    assert worth_winograd(padded, 97)
    assert not worth_winograd(padded.astype(np.float64), 97)
    assert not worth_winograd(padded[:, 1:], 97)
    wanted = Conv3x3(weight.astype(np.float64), bias.astype(np.float64))(team, padded.astype(np.float64), shift=shift, residual=residual)
    found = Conv3x3(weight, bias)(team, padded, shift=shift, residual=residual)
    assert relative_error(found, wanted) < 5e-6
    # one picture alone and in a batch: the same to rounding, nothing of a neighbour leaks in
    alone = Conv3x3(weight, bias)(team, padded[-1:].copy(), shift=shift[-1:], residual=residual[-1:])
    assert relative_error(alone, found[-1:]) < 5e-6


@pytest.mark.parametrize("rows", [1, 2, 130, 1300])
def test_linear(team: ThreadTeam, rows: int) -> None:
    """Rows or columns split, with bias and residual or without."""
    x, weight, bias, residual = normal(0, rows, 33), normal(1, 33, 200), normal(2, 200), normal(3, rows, 200)
    assert relative_error(Linear(weight, bias)(team, x, residual), x @ weight + bias + residual) < 1e-6
    assert relative_error(Linear(weight, None)(team, x), x @ weight) < 1e-6


@given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40), st.integers(1, 600))
def test_tiles_cover_every_row_once(images: int, height: int, width: int, pixels: int) -> None:
    """No row is left out or done twice, and no block is larger than asked for unless it is one row."""
    seen = np.zeros((images, height), int)
    for tile in tiles(images, height, width, pixels):
        seen[tile.images, tile.rows] += 1
        count = (tile.images.stop - tile.images.start) * (tile.rows.stop - tile.rows.start) * width
        assert count <= max(pixels + width, width)
    assert (seen == 1).all()


@given(st.integers(1, 300), st.integers(1, 20))
def test_split_is_even(total: int, parts: int) -> None:
    sizes = [run.stop - run.start for run in split(total, parts)]
    assert sum(sizes) == total
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == min(total, parts)


def test_a_failure_in_a_block_reaches_the_caller() -> None:
    """Whichever thread meets it, and the team works on afterwards."""
    team = ThreadTeam(3)

    def work(block: int) -> None:
        if block == 7:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        team.map_blocks(work, range(20), 1e12)
    done: list[int] = []
    team.map_blocks(done.append, range(20), 1e12)
    assert sorted(done) == list(range(20))
    team.close()
    team.map_blocks(done.append, range(20), 1e12)
    assert len(done) == 40
