"""Backends and networks that others wrote: whatever is wrong with them is named, and ends in an SdrtError."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

import sdrt
from sdrt.arrays import Signature, TensorSpec
from sdrt.backends import BackendOptions
from sdrt.backends.pool import CheckedNetwork, NetworkPool
from sdrt.errors import ArrayContractError, BackendError, ConfigError, SdrtError
from sdrt.models import open_model
from tests.fake_backend import FakeBackend


def raising(error: BaseException) -> Callable[..., Any]:
    def compute(**_: Any) -> Any:
        raise error

    return compute


@pytest.mark.parametrize(
    ("compute", "kind", "named"),
    [
        (lambda **_: None, ArrayContractError, r"unet output: expected a mapping of arrays by name, got None"),
        (lambda sample, **_: (sample,), ArrayContractError, r"unet output: expected a mapping of arrays by name, got \(array"),
        (lambda sample, **_: sample, ArrayContractError, r"unet output: expected a mapping of arrays by name, got array"),
        (lambda **_: {}, ArrayContractError, r"unet output: missing noise_pred"),
        (lambda sample, **_: {"noise": sample}, ArrayContractError, r"unet output: missing noise_pred"),
        (lambda sample, **_: {"noise_pred": sample, 3: sample}, ArrayContractError, r"unet output: does not take 3"),
        (lambda **_: {"noise_pred": None}, ArrayContractError, r"unet output: expected noise_pred float32.*, got NoneType"),
        (lambda sample, **_: {"noise_pred": sample.tolist()}, ArrayContractError, r"unet output: expected noise_pred float32"),
        (lambda sample, **_: {"noise_pred": sample.astype(object)}, ArrayContractError, r"expected noise_pred float32.*, got object"),
        (lambda sample, **_: {"noise_pred": sample[:, :1]}, ArrayContractError, r"expected noise_pred float32"),
        (lambda sample, **_: {"noise_pred": sample * np.nan}, ArrayContractError, r"unet output: noise_pred holds .* NaN or infinite"),
        (raising(KeyError("w")), BackendError, r"unet: FakeNetwork failed \(KeyError: 'w'\)"),
        (raising(MemoryError("8 GiB")), BackendError, r"unet: FakeNetwork: not enough memory \(8 GiB\); draw fewer"),
        (raising(ZeroDivisionError("two\nlines\x1b[2J")), BackendError, r"ZeroDivisionError: two\\nlines\\x1b\[2J"),
        (raising(ConfigError("its own words")), ConfigError, r"^its own words$"),
    ],
)
def test_a_network_that_breaks_its_contract_is_named(compute: Any, kind: type[SdrtError], named: str) -> None:
    with sdrt.load("nano", backend=FakeBackend({"unet": compute})) as pipe:
        with pytest.raises(kind, match=named) as caught:
            pipe.generate("red", num_inference_steps=2)
        assert "\n" not in str(caught.value)
        # nothing of it stays behind
        with pytest.raises(kind, match=named):
            pipe.generate("red", num_inference_steps=2)


def test_a_key_that_is_pressed_is_no_fault_of_a_network() -> None:
    with sdrt.load("nano", backend=FakeBackend({"unet": raising(KeyboardInterrupt())})) as pipe, pytest.raises(KeyboardInterrupt):
        pipe.generate("red", num_inference_steps=2)


SPEC = TensorSpec("z", "float32", (None,))


class Bare:
    """What a network must have, but for the signature."""

    signature: Any = Signature((SPEC,), (TensorSpec("noise_pred", "float32", (None,)),))

    def __call__(self, **_: Any) -> dict[str, Any]:
        return {}

    def bind(self, **_: Any) -> Any:
        raise KeyError("bind")

    def close(self) -> None:
        raise OSError("close")


def with_signature(signature: Any) -> Bare:
    bare = Bare()
    bare.signature = signature
    return bare


class Opening:
    """A backend that opens whatever it is given, or raises it."""

    name, option_names, component_options = "opening", (), ()

    def __init__(self, network: Any) -> None:
        self.network = network

    def open(self, *_: Any) -> Any:
        if isinstance(self.network, Exception):
            raise self.network
        return self.network


@pytest.mark.parametrize(
    ("opened", "named"),
    [
        (None, r"unet: a network must have signature, bind, close and a call, got None; see sdrt\.backends\.Network"),
        ((), r"must have signature, bind, close and a call, got \(\)"),
        (with_signature(None), r"must have signature, bind, close and a call"),
        (with_signature(Signature(("z",), ())), r"must have a signature of TensorSpecs, got 'z'"),  # type: ignore[arg-type]
        (with_signature(Signature((TensorSpec("z", "float31", ()),), ())), r"must have a signature of TensorSpecs, got TensorSpec"),
        (with_signature(Signature((SPEC,), (SPEC,))), r"unet: a network must give noise_pred, got z; name its output so"),
        (KeyError("open"), r"unet: backend 'opening' failed \(KeyError: 'open'\); this is a fault of the backend"),
        (MemoryError("Unable to allocate 9 GiB"), r"unet: backend 'opening': not enough memory \(Unable to allocate 9 GiB\); draw fewer"),
    ],
)
def test_what_is_no_network_is_refused_where_it_is_opened(opened: Any, named: str) -> None:
    backend: Any = Opening(opened)
    pool = NetworkPool(open_model("nano"), {"unet": backend}, {"unet": BackendOptions()})
    with pytest.raises(BackendError, match=named):
        pool.get("unet")
    assert not pool.is_open("unet")


@pytest.mark.parametrize("given", [None, (), 3, "text", b"bytes", [[1]]], ids=repr)
def test_what_bind_gives_is_a_network(given: Any) -> None:
    class Bound(Bare):
        def bind(self, **_: Any) -> Any:
            return given

    network = CheckedNetwork("unet", Bound())
    with pytest.raises(BackendError, match=r"^unet: a bound network must have signature, bind, close and a call, got "):
        network.bind(z=np.zeros(3, np.float32))


def test_faults_in_binding_and_closing_are_named_and_the_others_are_closed() -> None:
    closed: list[str] = []

    class Closing(Bare):
        def close(self) -> None:
            closed.append("closed")

    first, second = Opening(Bare()), Opening(Closing())
    backends: Any = {"unet": first, "vae_decoder": second}
    Closing.signature = Signature((SPEC,), (TensorSpec("image", "float32", (None,)),))
    pool = NetworkPool(open_model("nano"), backends, dict.fromkeys(("unet", "vae_decoder"), BackendOptions()))
    network = pool.get("unet")
    pool.get("vae_decoder")
    with pytest.raises(BackendError, match=r"unet: Bare failed \(KeyError: 'bind'\)"):
        network.bind(z=np.zeros(3, np.float32))
    with pytest.raises(BackendError, match=r"unet: Bare failed \(OSError: close\)"):
        pool.close()
    assert closed == ["closed"]


class Odd:
    name: ClassVar[Any] = "odd"
    option_names: ClassVar[Any] = ()
    component_options: ClassVar[Any] = ()

    def open(self) -> None: ...


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("name", 3),
        ("name", ""),
        ("name", property(raising(KeyError("name")))),
        ("option_names", "ab"),
        ("option_names", [3]),
        ("component_options", None),
        ("open", 3),
    ],
)
def test_a_backend_of_other_attributes_is_refused_when_it_is_passed(attribute: str, value: Any) -> None:
    backend: Any = type("Other", (Odd,), {attribute: value})()
    with pytest.raises(ConfigError, match="backend must be a name, a Backend, or a mapping by component, got"):
        sdrt.load("nano", backend=backend)
