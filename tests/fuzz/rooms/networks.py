"""The seam of networks: backends of strangers that break its contract in every way."""

from collections.abc import Mapping
from typing import Any

import numpy as np

import sdrt
from tests.fake_backend import FakeBackend
from tests.fuzz.drawing import Draw
from tests.fuzz.values import any_value, ascii_of

_OUTPUTS = {"text_encoder": "last_hidden_state", "unet": "noise_pred", "vae_decoder": "image"}


def _raises(draw: Draw) -> Exception:
    kinds = (
        KeyError("sample"),
        RuntimeError("CUDA\nout of \x1b[31mmemory"),
        ValueError("x" * 9_000),
        ZeroDivisionError(),
        TypeError("\ud800"),
        OSError(5, "io"),
    )
    return draw.choice(kinds)


def network_outputs(draw: Draw) -> str | None:
    """A network that gives something else than it should."""
    component: Any = draw.choice(list(_OUTPUTS))
    name = _OUTPUTS[component]
    kind = draw.choice(
        ("raises", "none", "tuple", "list", "missing", "extra", "shape", "dtype", "nan", "inf", "any", "value", "alias", "float16")
    )
    draw.note(f"{component} {kind}")
    sound = FakeBackend()
    error, other, value = _raises(draw), any_value(draw), any_value(draw)
    draw.note(f"{ascii_of(error)}, {ascii_of(other)}")

    def broken(**inputs: Any) -> Any:
        true = _compute(sound, component, inputs)
        array = true[name]
        if kind == "raises":
            raise error
        bad = {
            "shape": array[..., :-1],
            "dtype": array.astype(np.int32),
            "float16": array.astype(np.float16),
            "alias": next(iter(inputs.values())),
        }
        if kind in ("nan", "inf"):
            bad[kind] = np.full_like(array, np.nan if kind == "nan" else np.inf)
        if kind in bad:
            return {**true, name: bad[kind]}
        whole = {"none": None, "tuple": (array,), "list": [true], "missing": {}, "extra": {**true, "\x1b[31m": array}, "any": other}
        return whole.get(kind, {**true, name: value})

    with sdrt.load("nano", FakeBackend({component: broken})) as pipe:
        result = pipe.generate("a", seed=1, num_inference_steps=2, height=64, width=64)
    wrong = kind in ("raises", "none", "tuple", "list", "missing", "shape", "dtype", "nan", "inf")
    return f"{component} {kind} passes" if wrong or not result.images else None


def _compute(sound: FakeBackend, component: Any, inputs: Mapping[str, Any]) -> Any:
    network = sound.open(component, sdrt.models.open_model("nano"), sdrt.BackendOptions())
    return network.compute(**inputs)


class Stranger:
    """A backend of which one member is another than the protocol says."""

    name = "stranger"
    option_names: Any = ()
    component_options: Any = ()

    def __init__(self, changes: Mapping[str, Any]) -> None:
        self.changes = dict(changes)
        self.sound = FakeBackend()
        for member in ("name", "option_names", "component_options"):
            if member in self.changes:
                setattr(self, member, self.changes[member])

    def open(self, component: Any, model: Any, options: Any, component_options: Any = None) -> Any:
        if "open" in self.changes:
            value = self.changes["open"]
            if isinstance(value, Exception):
                raise value
            return value
        network: Any = self.sound.open(component, model, options)
        for member in ("signature", "bind", "close"):
            if member in self.changes:
                network = _Shell(network, member, self.changes[member])
        return network


class _Shell:
    """A network of which one member is replaced."""

    def __init__(self, network: Any, member: str, value: Any) -> None:
        self._network, self._member, self._value = network, member, value

    def __getattr__(self, name: str) -> Any:
        if name == self._member:
            if isinstance(self._value, Exception):
                raise self._value
            return self._value if name == "signature" else lambda **_: self._value
        return getattr(self._network, name)

    def __call__(self, **inputs: Any) -> Any:
        return self._network(**inputs)


def backends(draw: Draw) -> str | None:
    """A backend that opens what is no network, or raises, or describes itself wrongly."""
    members = ("name", "option_names", "component_options", "open", "signature", "bind", "close")
    member = draw.choice(members)
    value: Any = _raises(draw) if draw.chance(0.4) and member in ("open", "signature", "bind") else any_value(draw)
    draw.note(f"{member} = {ascii_of(value)}")
    backend: Any = Stranger({member: value})
    if draw.chance(0.1):
        backend = {draw.choice(("unet", "vae_decoder", "\x1b[31m")): value}
    with sdrt.load("nano", backend) as pipe:
        pipe.generate("a", seed=1, num_inference_steps=1, height=64, width=64)
    return None


GENERATORS = {"network-outputs": network_outputs, "backends": backends}
