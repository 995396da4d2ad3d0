"""The stream `nv` and its engine: published vectors, a second implementation in plain integers, and a GPU if there is one."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sdrt.rng
from sdrt.errors import ConfigError
from sdrt.rng.philox import philox4x32

word = st.integers(0, 2**32 - 1)
A100, RTX_3090 = 108 * 2048, 82 * 1536


def encrypt(counter: list[int], key: int) -> list[int]:
    """Philox 4x32-10 as the paper's formulas state it, one counter at a time."""
    x0, x1, x2, x3 = counter
    k0, k1 = key % 2**32, key >> 32
    for _ in range(10):
        (high0, low0), (high1, low1) = divmod(0xD2511F53 * x0, 2**32), divmod(0xCD9E8D57 * x2, 2**32)
        x0, x1, x2, x3 = high1 ^ x1 ^ k0, low1, high0 ^ x3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [x0, x1, x2, x3]


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_the_known_answers_of_random123(counter: str, key: str, expected: str) -> None:
    """The three lines `philox4x32 10` of tests/kat_vectors in D. E. Shaw Research's Random123."""
    c0, c1, c2, c3 = (int(w, 16) for w in counter.split())
    low, high = (int(w, 16) for w in key.split())
    found = philox4x32((c0, c1, c2, c3), low | high << 32, 1)
    assert [f"{w:08x}" for w in found.ravel().tolist()] == expected.split()
    assert encrypt([c0, c1, c2, c3], low | high << 32) == [int(w, 16) for w in expected.split()]


@given(counters=st.lists(st.tuples(word, word, word, word), min_size=1, max_size=5), key=st.integers(0, 2**64 - 1))
def test_many_counters_at_once_are_each_alone(counters: list[tuple[int, int, int, int]], key: int) -> None:
    c0, c1, c2, c3 = np.array(counters, np.uint32).T
    np.testing.assert_array_equal(philox4x32((c0, c1, c2, c3), key, len(counters)).T, [encrypt(list(c), key) for c in counters])


def test_the_published_noise_of_seed_0() -> None:
    """The twelve values in the docstring of stable-diffusion-webui's modules/rng_philox.py, and the start of the next draw.

    They were computed in float64 throughout. A GPU's float32 angle is off by up to 6e-7 (word, constant and angle are rounded), times a
    radius of up to 2.7 here; the result is off by 5.6e-7.
    """
    noise = sdrt.rng.stream("nv", 0)
    first = [
        [-0.92466259, -0.42534415, -2.6438457, 0.14518388],
        [-0.12086647, -0.57972564, -0.62285122, -0.32838709],
        [-1.07454231, -0.36314407, -1.67105067, 2.26550497],
    ]
    np.testing.assert_allclose(noise.normal((3, 4)), first, rtol=0, atol=6.5e-7)
    np.testing.assert_allclose(noise.normal(4), [0.1808259, -0.55226276, 0.92381338, -0.73497056], rtol=0, atol=6.5e-7)


def model(seed: int, sizes: list[int], threads: int, dtype: str) -> list[list[float]]:
    """The grid-stride kernel as written: a loop over threads, each with its own cursor, in Python floats."""
    per = 2 if dtype == "float64" else 4
    turn = float(np.float32(2.3283064e-10) * np.float32(6.2831855))  # curand_globals.h, CURAND_2POW32_INV_2PI
    offset, results = 0, []
    for size in sizes:
        width = min(256 * math.ceil(size / 256), threads)
        out, calls = [math.nan] * size, math.ceil(size / (width * per)) if size else 0
        for thread in range(width if size else 0):
            for call in range(calls):
                a, b, c, d = encrypt([(offset + call) % 2**32, (offset + call) >> 32, thread, 0], seed % 2**64)
                if per == 2:
                    radius = math.sqrt(-2 * math.log((a ^ b << 21) * 2.0**-53 + 2.0**-54))
                    angle = math.pi * ((c ^ d << 21) * 2.0**-52 + 2.0**-53)
                    values = [radius * math.sin(angle), radius * math.cos(angle)]
                else:
                    values = []
                    for x, y in ((a, b), (c, d)):
                        u = float(np.float32(np.float32(x) * np.float32(2.0**-32) + np.float32(2.0**-33)))
                        angle = float(np.float32(float(np.float32(y)) * turn + turn / 2))
                        radius = math.sqrt(-2 * math.log(u))
                        values += [radius * math.sin(angle), radius * math.cos(angle)]
                for k, value in enumerate(values):
                    if (place := thread + width * (call * per + k)) < size:
                        out[place] = value
        offset += calls
        results.append(out)
    return results


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(-(2**63), 2**64 - 1),
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=3),
    threads=st.sampled_from([256, 512, 1024]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_a_card_of_any_width_draws_as_its_kernel_is_written(seed: int, sizes: list[int], threads: int, dtype: str) -> None:
    noise = sdrt.rng.stream("nv", seed, threads=threads)
    for size, expected in zip(sizes, model(seed, sizes, threads, dtype), strict=True):
        # float32: one rounding (2**-24). float64: libm and numpy may differ by one unit in each function, and near pi by one of the angle.
        rtol, atol = (6e-8, 1e-14) if dtype == "float32" else (0.0, 4e-15)
        np.testing.assert_allclose(noise.normal(size, dtype), expected, rtol=rtol, atol=atol)


def test_draws_that_fit_are_the_same_on_every_card_and_larger_ones_are_not() -> None:
    """The reported differences of noise on A100 and RTX 3090 (pytorch issues 143086, 158398) start at the smaller width."""
    large, small = (sdrt.rng.stream("nv", 5, threads=threads) for threads in (A100, RTX_3090))
    a, b = large.normal(400_000), small.normal(400_000)
    differ = np.flatnonzero(a != b)
    assert differ[0] == RTX_3090 == 125_952
    assert round(differ.size / a.size, 3) == 0.685
    unlimited = sdrt.rng.stream("nv", 5)
    np.testing.assert_array_equal(unlimited.normal(400_000)[:A100], a[:A100])
    for noise in (large, small, unlimited):  # each has used one counter of every thread
        assert noise.state["cursor"] == {"offset": 1}


def test_narrow_noise_is_float32_noise_rounded() -> None:
    single = sdrt.rng.stream("nv", 2).normal(5000)
    np.testing.assert_array_equal(sdrt.rng.stream("nv", 2).normal(5000, "float16"), single.astype(np.float16))
    bfloat16 = torch.from_numpy(single).to(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(sdrt.rng.stream("nv", 2).normal(5000, "bfloat16"), bfloat16)


@pytest.mark.parametrize("threads", [0, -256, 100, 257, 256.0, "256", True])
def test_a_width_that_no_card_has_is_refused(threads: object) -> None:
    with pytest.raises(ConfigError, match="threads must be a positive multiple of 256 or None, got"):
        sdrt.rng.stream("nv", 0, threads=threads)


def test_a_numpy_integer_is_a_width() -> None:
    assert sdrt.rng.stream("nv", 0, threads=np.int64(512)).state["options"] == {"threads": 512}


@pytest.mark.parametrize(("seed", "same"), [(-1, 2**64 - 1), (-(2**63), 2**63)])
def test_negative_seeds_wrap_at_64_bits(seed: int, same: int) -> None:
    np.testing.assert_array_equal(sdrt.rng.stream("nv", seed).normal(50), sdrt.rng.stream("nv", same).normal(50))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device to compare with")
@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-5), ("float16", 4e-3), ("float64", 1e-13)])
def test_a_card_draws_the_same(dtype: str, atol: float) -> None:
    """A GPU's fast sine is accurate to 2**-21 near 0 and less up to 2 pi, times a radius of at most 6.7; float16 has 10 bits."""
    card = torch.cuda.get_device_properties(0)
    threads = card.multi_processor_count * (card.max_threads_per_multi_processor // 256) * 256
    noise, generator = sdrt.rng.stream("nv", 93, threads=threads), torch.Generator("cuda").manual_seed(93)
    for size in (1, 16_384, 5 * threads + 3, 20):
        expected = torch.randn(size, device="cuda", dtype=getattr(torch, dtype), generator=generator).cpu().numpy()
        np.testing.assert_allclose(noise.normal(size, dtype), expected, rtol=0, atol=atol)
