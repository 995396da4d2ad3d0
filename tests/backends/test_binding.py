"""What every network does around its numbers: names, bound inputs, closing, calls that are under way."""

import gc
import threading
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest

from sdrt.arrays import Array, Signature, TensorSpec
from sdrt.backends import BoundNetwork
from sdrt.errors import ArrayContractError, BackendError

A, B = np.ones(2), np.full(2, 2.0)
R0, R1 = np.full(2, 10.0), np.full(2, 20.0)
SIGNATURE = Signature(
    inputs=(TensorSpec("a", "float64", (None,)), TensorSpec("b", "float64", (None,))),
    outputs=(TensorSpec("sum", "float64", (None,)),),
    optional=(TensorSpec("r0", "float64", (None,)), TensorSpec("r1", "float64", (None,))),
)
EVERYTHING = {"a": A, "b": B, "r0": R0, "r1": R1}


class Adding(BoundNetwork):
    """Sums its inputs, and notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__("unet", SIGNATURE)
        self.asked: list[tuple[str, ...]] = []
        self.released: list[str] = []
        self.name = "root"

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.asked.append(tuple(inputs))
        return {"sum": np.sum(list(inputs.values()), axis=0)}

    def _bind(self, constants: Mapping[str, Array]) -> None:
        self.name = f"{self.name} {''.join(constants)}"

    def _release(self) -> None:
        self.released.append(self.name)


class Waiting(Adding):
    """Runs until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.go_on = threading.Event(), threading.Event()

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.started.set()
        assert self.go_on.wait(30)
        assert not self.released
        return super()._run(inputs)


@pytest.mark.parametrize("count", range(5))
def test_any_inputs_may_be_bound_and_all_arrive_in_the_signatures_order(count: int) -> None:
    """Required ones in any combination, optional ones together; bound in one go or one after another."""
    for names in combinations(EVERYTHING, count):
        if ("r0" in names) != ("r1" in names):
            continue
        network = Adding()
        rest = {name: x for name, x in reversed(EVERYTHING.items()) if name not in names}
        assert np.array_equal(network.bind(**{name: EVERYTHING[name] for name in names})(**rest)["sum"], [33, 33])
        bound = network
        for name in sorted(names, reverse=True):
            if name != "r1":
                bound = bound.bind(**({name: EVERYTHING[name]} if name != "r0" else {"r0": R0, "r1": R1}))
        assert np.array_equal(bound(**rest)["sum"], [33, 33])
        assert network.asked == [tuple(EVERYTHING)] * 2


def test_optional_inputs_may_be_left_out() -> None:
    assert np.array_equal(Adding().bind(b=B)(a=A)["sum"], [3, 3])


@pytest.mark.parametrize(
    ("bound", "inputs", "message"),
    [
        ((), ("a",), r"must be a, b, and all or none of r0 to r1, got a; pass each"),
        ((), (), r"must be a, b, and all or none of r0 to r1, got none;"),
        ((), ("a", "b", "r0"), r"must be a, b, .*, got a, b, r0;"),
        ((), ("a", "b", "c"), r"must be a, b, .*, got a, b, c;"),
        (("b",), ("a", "b"), r"must be a, and all or none of r0 to r1 \(b bound\), got a, b;"),
        (("a", "b", "r0", "r1"), ("a",), r"must be nothing \(a, b, r0, r1 bound\), got a;"),
    ],
)
def test_names_that_do_not_fit_are_listed(bound: tuple[str, ...], inputs: tuple[str, ...], message: str) -> None:
    network = Adding().bind(**{name: EVERYTHING[name] for name in bound})
    with pytest.raises(ArrayContractError, match=f"^unet input: names {message}"):
        network(**{name: EVERYTHING.get(name, A) for name in inputs})


@pytest.mark.parametrize("inputs", [("c",), ("r0",), ("b", "r1")])
def test_names_that_cannot_be_bound_are_listed(inputs: tuple[str, ...]) -> None:
    with pytest.raises(ArrayContractError, match=f"^unet input: names must be a, b, .*, got {', '.join(inputs)};"):
        Adding().bind(**{name: EVERYTHING.get(name, A) for name in inputs})
    with pytest.raises(ArrayContractError, match=r"\(a bound\), got a;"):
        Adding().bind(a=A).bind(a=A)


def test_what_is_bound_is_a_copy() -> None:
    constant = B.copy()
    bound = Adding().bind(b=constant)
    constant[...] = 100
    assert np.array_equal(bound(a=A)["sum"], [3, 3])


def test_closing_ends_what_was_bound_and_nothing_else() -> None:
    """Each network releases its memory once; who was bound from a closed one says so, at any depth."""
    root = Adding()
    first, second = root.bind(a=A), root.bind(b=B)
    third = first.bind(b=B)
    first.close()
    first.close()
    assert [network.closed for network in (root, first, second, third)] == [False, True, False, True]
    assert root.released == ["root a"]
    assert np.array_equal(second(a=A)["sum"], root(a=A, b=B)["sum"])
    root.close()
    root.close()
    assert root.released == ["root a", "root"]
    for call in (lambda: root(a=A, b=B), lambda: root.bind(a=A), lambda: second(a=A), third, lambda: first.bind(b=B)):
        with pytest.raises(BackendError, match=r"^unet: this network is closed; open the model again to use it$"):
            call()
    third.close()
    second.close()
    assert sorted(root.released) == ["root", "root a", "root a b", "root b"]


def test_a_call_under_way_ends_undisturbed() -> None:
    """Closing the network, or the one that it was bound from, does not wait; memory is released by the call that ends last."""
    root = Waiting()
    bound = root.bind(b=B)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(bound, a=A)
        assert root.started.wait(30)
        root.close()
        bound.close()
        with pytest.raises(BackendError, match="closed"):
            root.bind(a=A)
        assert root.released == []
        root.go_on.set()
        assert np.array_equal(running.result(30)["sum"], [3, 3])
    assert root.released == ["root b", "root"]


def test_a_call_that_fails_is_over() -> None:
    class Failing(Adding):
        def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
            raise ValueError(f"no {', '.join(inputs)}")

    network = Failing()
    with pytest.raises(ValueError, match="no a, b"):
        network(a=A, b=B)
    network.close()
    assert network.released == ["root"]


def test_a_bound_network_is_freed_with_its_last_user() -> None:
    """Keys and values of a text are large: no cycle keeps them until the collector comes by."""
    gc.disable()
    try:
        bound = Adding().bind(a=A)
        seen = weakref.ref(bound)
        del bound
        assert seen() is None
    finally:
        gc.enable()
