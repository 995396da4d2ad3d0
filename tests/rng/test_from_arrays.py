"""Streams of existing arrays."""

import numpy as np
import pytest

import sdrt.rng
from sdrt.errors import ArrayContractError, ConfigError


def array(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(dtype)


def test_pieces_come_in_order_and_as_copies() -> None:
    latents, fresh = array(4, 8, 8), array(2, 3)
    noise = sdrt.rng.from_arrays([latents, fresh])
    assert (noise.name, noise.seed) == ("given", 0)
    first = noise.normal((4, 8, 8))
    np.testing.assert_array_equal(first, latents)
    first[:] = latents[:] = 0
    np.testing.assert_array_equal(noise.normal((2, 3)), fresh)
    assert np.any(sdrt.rng.from_arrays(first).normal((4, 8, 8)) == 0)


def test_one_array_is_one_piece() -> None:
    np.testing.assert_array_equal(sdrt.rng.from_arrays(array(3, 2)).normal((3, 2)), array(3, 2))


@pytest.mark.parametrize(("held", "asked"), [((1, 4, 8), (4, 8)), ((4, 8), (1, 4, 8)), ((1, 1), ()), ((), (1,)), ((1, 0), (0,))])
def test_ones_at_the_front_do_not_count(held: tuple[int, ...], asked: tuple[int, ...]) -> None:
    assert sdrt.rng.from_arrays(array(*held)).normal(asked).shape == asked


@pytest.mark.parametrize(("held", "asked"), [((4, 8), (8, 4)), ((4, 8), (32,)), ((4, 1), (4,)), ((2, 4), (1, 4))])
def test_another_shape_is_refused_and_the_piece_stays(held: tuple[int, ...], asked: tuple[int, ...]) -> None:
    noise = sdrt.rng.from_arrays([array(*held)])
    with pytest.raises(ConfigError, match="array 0 of noise must have the shape of its draw, "):
        noise.normal(asked)
    np.testing.assert_array_equal(noise.normal(held), array(*held))


def test_an_exhausted_stream_says_so() -> None:
    noise = sdrt.rng.from_arrays([array(2), array(2)])
    noise.advance(2)
    noise.normal(2)
    with pytest.raises(ConfigError, match=r"noise needs one array for each draw, got 2 and a further draw of \(2,\)"):
        noise.normal(2)


@pytest.mark.parametrize("piece", [[1.0, 2.0], np.zeros(2, int), np.array([1.0, np.nan]), "abc", np.zeros(2, complex)])
def test_only_finite_float_arrays_are_noise(piece: object) -> None:
    with pytest.raises(ArrayContractError, match="array 1 "):
        sdrt.rng.from_arrays([array(2), piece])  # type: ignore[list-item]


def test_no_array_is_no_noise() -> None:
    with pytest.raises(ConfigError, match="a stream of arrays must have at least one array, got none"):
        sdrt.rng.from_arrays([])


def test_precision_is_what_is_asked_for() -> None:
    wide = array(50, dtype="float64")
    assert sdrt.rng.from_arrays(wide).normal(50).dtype == np.float32
    np.testing.assert_array_equal(sdrt.rng.from_arrays(wide).normal(50, "float64"), wide)
    np.testing.assert_array_equal(sdrt.rng.from_arrays(wide).normal(50, "float16"), wide.astype(np.float16))


def test_a_state_goes_on_with_the_same_arrays_only() -> None:
    pieces = [array(2), array(3), array(2, 2)]
    noise = sdrt.rng.from_arrays(pieces)
    noise.normal(2)
    again = sdrt.rng.from_arrays(pieces)
    again.restore(noise.state)
    np.testing.assert_array_equal(again.normal(3), array(3))
    with pytest.raises(ConfigError, match="a state of a stream of arrays must belong to the same arrays"):
        sdrt.rng.from_arrays(pieces[:2]).restore(noise.state)
    with pytest.raises(ConfigError, match=r"does not hold the arrays; make the stream with sdrt\.rng\.from_arrays"):
        sdrt.rng.from_state(noise.state)


def test_the_old_name_works_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match=r"call sdrt\.rng\.from_arrays"):
        noise = sdrt.rng.given(array(2))
    np.testing.assert_array_equal(noise.normal(2), array(2))
