"""Wrong streams are told by their mistakes, and right ones are not accused."""

from functools import partial

import numpy as np
import pytest
import torch

import sdrt
from sdrt.errors import ConfigError
from sdrt.testing import check_stream
from tests.testing.streams.wrong_streams import WRONG_STREAMS, RightStream


@pytest.mark.parametrize("wrong", WRONG_STREAMS, ids=lambda wrong: wrong.__name__)
def test_a_wrong_stream_is_told_by_its_mistake(wrong: type[RightStream]) -> None:
    assert [fault.kind for fault in check_stream(wrong, "torch")] == [WRONG_STREAMS[wrong]]


def test_the_stream_that_they_are_made_of_is_right() -> None:
    assert check_stream(RightStream) == []


@pytest.mark.parametrize("name", sdrt.rng.names())
def test_no_stream_of_sdrt_is_accused(name: str) -> None:
    assert check_stream(partial(sdrt.rng.stream, name), name) == []
    assert check_stream(lambda seed, shape: sdrt.rng.stream(name, seed).normal(shape), name) == []
    assert check_stream(sdrt.rng.stream(name, 5), name) == []


def test_torch_itself_is_not_accused() -> None:
    assert check_stream(lambda seed, shape: torch.randn(shape, generator=torch.Generator().manual_seed(seed))) == []


def test_numpy_itself_is_not_accused() -> None:
    assert check_stream(lambda seed, shape: np.random.RandomState(seed).randn(*shape), "numpy") == []
    assert check_stream(lambda seed, shape: np.random.default_rng(seed).standard_normal(shape, "f4"), "generator") == []


def test_seeds_of_a_gpu_have_64_bits() -> None:
    faults = check_stream(lambda seed, shape: sdrt.rng.stream("nv", seed % 2**32).normal(shape), "nv")
    assert [fault.kind for fault in faults] == ["seed_truncated"]
    assert faults[0].message.startswith("seeds are cut to 32 bits; nv, seed 4294967389, shape (4, 8, 8): value [0, 0, 0] must be -0.4")


def test_the_rows_of_a_gpus_grid_are_told_apart() -> None:
    def swapped(seed: int, shape: tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(shape))
        width = -(-size // 256) * 256
        rows = sdrt.rng.stream("nv", seed, threads=width).normal((2, 2, width))
        return rows[:, ::-1].ravel()[:size].reshape(shape)

    assert [fault.kind for fault in check_stream(swapped, "nv")] == ["cos_and_sin_swapped"]


def test_two_mistakes_are_two_faults() -> None:
    class Both(RightStream):
        def normal(self, shape: tuple[int, ...]) -> np.ndarray:
            size = int(np.prod(shape))
            return self.groups(-(-size // 16) * 16)[:size].reshape(shape)

    assert {fault.kind for fault in check_stream(Both)} == {"small_draws_missing", "tail_of_draws_wrong"}


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (lambda seed, shape: np.zeros(shape, np.int64), "wrong_dtype"),
        (lambda seed, shape: np.zeros((1, *shape)), "wrong_shape"),
        (lambda seed, shape: np.full(shape, np.nan), "not_finite"),
        (lambda seed, shape: [][seed], "raises"),
    ],
)
def test_what_is_no_draw_at_all_is_said_once(stream: object, kind: str) -> None:
    assert [fault.kind for fault in check_stream(stream)] == [kind]


def test_a_stream_without_a_seed_is_not_repeatable() -> None:
    shared = np.random.RandomState(0)
    kinds = {fault.kind for fault in check_stream(lambda seed, shape: shared.randn(*shape))}
    assert "not_repeatable" in kinds


def test_the_arguments_of_the_check_are_checked() -> None:
    with pytest.raises(ConfigError, match="must be a function of"):
        check_stream(3)
    with pytest.raises(ConfigError, match="a noise stream must be one of"):
        check_stream(RightStream, "philox")


def test_seeds_and_tolerance_may_be_set() -> None:
    assert check_stream(lambda seed, shape: np.round(sdrt.rng.stream("torch", seed).normal(shape), 2), seeds=[3], tolerance=0.01) == []
