"""The Brownian tree compared with torchsde, as diffusers' DPMSolverSDEScheduler uses it."""

import importlib
import itertools
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.rng import BrownianTree

peer = importlib.import_module("diffusers.schedulers.scheduling_dpmsolver_sde")

pytestmark = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="a torch build without AVX2 draws other normals"
)

LOW, HIGH = 0.03125, 14.625  # float32 numbers of six decimals: torchsde warns if rounding makes the interval smaller
times = st.floats(LOW, HIGH, width=32)
shapes = st.sampled_from([(1, 4, 8, 8), (3,), (2, 3, 5)])


def theirs(shape: tuple[int, ...], seed: Any) -> Any:
    return peer.BrownianTreeNoiseSampler(torch.zeros(shape), LOW, HIGH, seed)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), shape=shapes, queries=st.lists(st.tuples(times, times), min_size=1, max_size=8))
def test_increments_are_torchsdes_bit_for_bit_in_any_order(seed: int, shape: tuple[int, ...], queries: list[tuple[float, float]]) -> None:
    reference, ours = theirs(shape, seed), BrownianTree(shape, LOW, HIGH, seed)
    for ta, tb in queries:
        if round(ta, 6) != round(tb, 6):  # torchsde splits intervals without end for a point that rounds
            np.testing.assert_array_equal(ours.increment(ta, tb), reference.tree(ta, tb).numpy(), strict=True)


def karras(n: int) -> np.ndarray:
    rho = np.linspace(HIGH ** (1 / 7), LOW ** (1 / 7), n) ** 7
    sigmas: np.ndarray = np.clip(rho, LOW, HIGH).astype(np.float32)
    return sigmas


@pytest.mark.parametrize("n", [2, 3, 11, 31])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_samplers_noise_is_diffusers(n: int, backwards: bool) -> None:
    """Equal except for the square root of the step, which MKL may round wrongly: one unit in its last place, and one in the quotient's."""
    sigmas = karras(n)[::-1] if backwards else karras(n)
    reference, ours = theirs((1, 4, 16, 16), 7), BrownianTree((1, 4, 16, 16), LOW, HIGH, 7)
    for a, b in itertools.pairwise(sigmas):
        np.testing.assert_allclose(ours.normal_between(a, b), reference(torch.tensor(a), torch.tensor(b)).numpy(), rtol=2.4e-7, atol=0)


@settings(max_examples=15, deadline=None)
@given(queries=st.permutations([(LOW, HIGH), (1.0, 2.0), (0.3, 9.0), (2.0, 1.5), (9.0, HIGH), (1.5, 1.6)]))
def test_the_order_of_the_questions_does_not_matter(queries: list[tuple[float, float]]) -> None:
    tree = BrownianTree((6,), LOW, HIGH, 11)
    for query in queries:
        np.testing.assert_array_equal(tree.increment(*query), BrownianTree((6,), LOW, HIGH, 11).increment(*query))


def test_more_steps_than_are_remembered_change_nothing() -> None:
    tree = BrownianTree((5,), LOW, HIGH, 2)
    first = tree.increment(1.0, 1.25)
    for t in np.linspace(LOW, HIGH, 40):
        tree.increment(LOW, float(t))
    np.testing.assert_array_equal(tree.increment(1.0, 1.25), first)


def test_each_picture_of_a_batch_is_what_it_is_alone() -> None:
    seeds = [5, 2**40, 0]
    batch = BrownianTree((3, 4, 8), LOW, HIGH, seeds)
    found = batch.increment(3.0, 0.5)
    np.testing.assert_array_equal(found, theirs((3, 4, 8), seeds).tree(3.0, 0.5).numpy(), strict=True)
    for row, seed in zip(found, seeds, strict=True):
        np.testing.assert_array_equal(row, BrownianTree((4, 8), LOW, HIGH, seed).increment(3.0, 0.5))
    assert not np.array_equal(found[0], found[1])


def test_the_motion_adds_up_and_has_the_variance_of_its_steps() -> None:
    tree = BrownianTree((40_000,), LOW, HIGH, 3)
    parts = [tree.increment(a, b) for a, b in ((0.5, 2.0), (2.0, 2.25), (2.25, 11.0))]
    # float32 sums of about 25 terms of size 3.
    np.testing.assert_allclose(sum(parts), tree.increment(0.5, 11.0), rtol=0, atol=2e-5)
    for part, step in zip(parts, (1.5, 0.25, 8.75), strict=True):
        assert abs(part.var() / step - 1) < 0.03  # four standard deviations of a variance of 40,000 values
    assert abs(np.corrcoef(parts[0], parts[2])[0, 1]) < 0.02
    np.testing.assert_array_equal(tree.increment(2.0, 0.5), -parts[0])
    assert not tree.increment(2.0, 2.0).any()
    assert not tree.increment(2.0, 2.0 + 1e-8).any()


def test_a_level_that_float32_moved_just_outside_is_the_end() -> None:
    """diffusers queries exp(log(sigma)) in float32; torchsde clamps it, with a warning."""
    tree = BrownianTree((3,), LOW, HIGH, 1)
    np.testing.assert_array_equal(tree.increment(LOW - 1e-7, HIGH + 5e-6), tree.increment(LOW, HIGH))


@pytest.mark.filterwarnings("ignore:Should have:UserWarning")
def test_ends_that_are_no_numbers_of_six_decimals_are_rounded_as_in_torchsde() -> None:
    low, high = float(np.float32(0.0291675)), float(np.float32(14.6146555))
    reference, ours = peer.BatchedBrownianTree(torch.zeros(4, 4), low, high, 3), BrownianTree((4, 4), low, high, 3)
    for ta, tb in ((low, high), (high, 2.0), (2.0, low)):
        np.testing.assert_array_equal(ours.increment(ta, tb), reference(ta, tb).numpy())


@pytest.mark.parametrize("t", [0.0, HIGH + 0.01, float("nan"), float("inf")])
def test_a_time_outside_is_refused(t: float) -> None:
    with pytest.raises(ConfigError, match=r"a time of (this Brownian tree must lie in|a Brownian tree must be a finite number)"):
        BrownianTree((3,), LOW, HIGH, 1).increment(1.0, t)


def test_settings_that_make_no_tree_are_refused() -> None:
    for t0, t1 in ((2.0, 1.0), (1.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)):
        with pytest.raises(ConfigError, match=r"a Brownian tree needs t0 < t1|t[01] must be a finite number"):
            BrownianTree((3,), t0, t1, 1)
    for seed in (-1, [3, -1, 2]):
        with pytest.raises(ConfigError, match="a seed of a Brownian tree must be a whole number of at least 0"):
            BrownianTree((3, 2), 0, 1, seed)
    with pytest.raises(ConfigError, match="a Brownian tree needs one seed for each row of"):
        BrownianTree((3, 2), 0, 1, [1, 2])
    with pytest.raises(ConfigError, match="noise between two levels needs different levels"):
        BrownianTree((3,), 0, 1, 1).normal_between(0.5, 0.5)


def test_a_tree_can_be_stored() -> None:
    tree = BrownianTree((3,), LOW, HIGH, 1)
    expected = tree.increment(1.0, 2.0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(tree)).increment(1.0, 2.0), expected)  # noqa: S301
