"""A short soak: memory, descriptors and threads stay flat, and every byte is as drawn alone. A long one: ``python -m tests.soak``."""

import math
import sys

import pytest

from tests.soak import Soak

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc"),
    # a fork while threads run is what this is about
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


@pytest.fixture(scope="module", params=["numpy", "torch"])
def soak(request: pytest.FixtureRequest) -> Soak:
    return Soak(request.param, math.inf)


def test_pictures_in_many_threads_are_as_alone_and_leave_nothing(soak: Soak) -> None:
    assert soak.pictures(200, threads=16) == 200


def test_a_model_that_is_opened_and_closed_leaves_nothing(soak: Soak) -> None:
    assert soak.loads(40) == 40


def test_forked_children_draw_what_their_parent_draws(soak: Soak) -> None:
    assert soak.forks(6) == 6


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_pools_of_processes_draw_the_same(soak: Soak, method: str) -> None:
    assert soak.pools(8, method) == 8
