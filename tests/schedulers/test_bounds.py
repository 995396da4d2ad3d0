"""How far a predicted x0 may go, against diffusers' ``_threshold_sample`` and torch's clamp."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sdrt.rng
from sdrt.errors import ConfigError
from sdrt.schedulers.steps.bounds import NO_BOUND, X0Bound
from tests.schedulers.peers import peer

shapes = st.one_of(
    st.tuples(st.integers(1, 3), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 7)),
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
)


def values(shape: tuple[int, ...], dtype: type[Any], spread: float, seed: int) -> np.ndarray:
    return (sdrt.rng.stream("numpy", seed).normal(shape).astype(np.float64) * spread).astype(dtype)


@settings(max_examples=200)
@given(
    shape=shapes,
    dtype=st.sampled_from([np.float32, np.float64]),
    spread=st.sampled_from([0.3, 1.0, 5.0]),
    ratio=st.one_of(st.sampled_from([0.0, 0.5, 0.995, 1.0]), st.floats(0, 1)),
    highest=st.sampled_from([0.5, 1.0, 1.7, 100.0]),
    seed=st.integers(0, 99),
)
def test_thresholding_is_diffusers_to_the_last_bits(
    shape: tuple[int, ...], dtype: type[Any], spread: float, ratio: float, highest: float, seed: int
) -> None:
    x0 = values(shape, dtype, spread, seed)
    theirs = peer({"_class_name": "DDPMScheduler", "thresholding": True, "dynamic_thresholding_ratio": ratio, "sample_max_value": highest})
    before = x0.copy()
    bounded = X0Bound(thresholding=True, dynamic_thresholding_ratio=ratio, sample_max_value=highest)(x0)
    wide = torch.from_numpy(x0).reshape(*shape, 1)  # it cannot take an array of two axes
    # torch's builds fuse a multiplication and an addition between two quantiles, or not: one bit of the limit, two of the quotient
    np.testing.assert_allclose(bounded, theirs._threshold_sample(wide).numpy()[..., 0], rtol=3 * np.finfo(dtype).eps, atol=0)
    assert bounded.dtype == dtype
    np.testing.assert_array_equal(x0, before)


@settings(max_examples=40)
@given(shape=shapes, limit=st.floats(0.1, 3), seed=st.integers(0, 99))
def test_clipping_is_torchs_clamp(shape: tuple[int, ...], limit: float, seed: int) -> None:
    x0 = values(shape, np.float32, 2.0, seed)
    bounded = X0Bound(clip_sample_range=limit)(x0)
    np.testing.assert_array_equal(bounded, torch.from_numpy(x0).clamp(-limit, limit).numpy())


def test_each_picture_has_a_threshold_of_its_own() -> None:
    """Alone or in a batch, a picture is bounded alike."""
    x0 = np.concatenate([values((1, 3, 8, 8), np.float32, spread, 1) for spread in (0.1, 1.0, 9.0)])
    bound = X0Bound(thresholding=True, sample_max_value=20.0)
    together = bound(x0)
    for k in range(3):
        np.testing.assert_array_equal(together[k], bound(x0[k : k + 1])[0])
    np.testing.assert_array_equal(together[0], x0[0])  # its quantile lies below 1: plain clipping to 1, which it never reaches
    assert np.abs(together[2]).max() == 1


def test_a_row_by_hand() -> None:
    """The quantile 0.5 of the magnitudes 0, 1, 2, 3, 4 is 2: clipped to 2, then halved; and held at 1.5 where no more is allowed."""
    x0 = np.array([[-4.0, 3.0, 0.0, 1.0, -2.0]])
    np.testing.assert_array_equal(
        X0Bound(thresholding=True, dynamic_thresholding_ratio=0.5, sample_max_value=9.0)(x0), [[-1.0, 1.0, 0.0, 0.5, -1.0]]
    )
    np.testing.assert_array_equal(
        X0Bound(thresholding=True, dynamic_thresholding_ratio=0.5, sample_max_value=1.5)(x0), [[-1.0, 1.0, 0.0, 1 / 1.5, -1.0]]
    )


def test_thresholding_takes_the_place_of_clipping() -> None:
    x0 = values((1, 3, 8, 8), np.float32, 5.0, 2)
    both = X0Bound(clip_sample_range=0.1, thresholding=True, sample_max_value=2.0)
    np.testing.assert_array_equal(both(x0), X0Bound(thresholding=True, sample_max_value=2.0)(x0))


def test_no_bound_hands_the_array_back() -> None:
    x0 = values((1, 3), np.float32, 5.0, 3)
    assert NO_BOUND(x0) is x0
    assert [bool(bound) for bound in (NO_BOUND, X0Bound(thresholding=True), X0Bound(clip_sample_range=1.0))] == [False, True, True]


@settings(max_examples=40)
@given(clip=st.booleans(), size=st.floats(0.1, 5), thresholding=st.booleans(), ratio=st.floats(0, 1), highest=st.floats(0.1, 9))
def test_a_configuration_is_read_as_it_was_written(clip: bool, size: float, thresholding: bool, ratio: float, highest: float) -> None:
    bound = X0Bound(
        clip_sample_range=size if clip else None,
        thresholding=thresholding,
        dynamic_thresholding_ratio=ratio,
        sample_max_value=highest,
    )
    assert X0Bound.read(bound.config()) == bound
    assert X0Bound.read({}) == NO_BOUND


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"clip_sample_range": 0.0}, "clip_sample_range must be a finite number above 0 and at most 1e[+]30, got 0.0; pass"),
        ({"clip_sample_range": float("nan")}, "clip_sample_range must be a finite number above 0 and at most 1e[+]30, got nan"),
        ({"dynamic_thresholding_ratio": -0.1}, "dynamic_thresholding_ratio must be a finite number from 0 to 1, got -0.1"),
        ({"dynamic_thresholding_ratio": 1.1}, "dynamic_thresholding_ratio must be a finite number from 0 to 1, got 1.1"),
        ({"sample_max_value": 0.0}, "sample_max_value must be a finite number above 0 and at most 1e[+]30, got 0.0"),
    ],
)
def test_a_range_that_holds_nothing_is_refused(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        X0Bound(**settings_)
