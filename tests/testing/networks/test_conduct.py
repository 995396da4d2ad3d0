"""Networks with the right numbers that behave badly otherwise, each found under its name."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdrt.arrays import Array, Signature
from sdrt.backends import PLAIN, BackendOptions, ComponentOptions, Network, registry
from sdrt.models import ComponentName, Model
from sdrt.testing.networks import check, check_backend
from sdrt.testing.networks.cases import Case
from sdrt.testing.networks.opening import OPENING
from sdrt.testing.networks.trials import settings_of

Arrays = dict[str, Array]


class Wrapped:
    """The numpy backend's network behind a class that does nothing by itself; each fault below changes one method."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    @property
    def signature(self) -> Signature:
        signature: Signature = self.inner.signature
        return signature

    def __call__(self, **inputs: Array) -> Arrays:
        outputs: Arrays = self.inner(**inputs)
        return outputs

    def bind(self, **constants: Array) -> Any:
        return type(self)(self.inner.bind(**constants))

    def close(self) -> None:
        self.inner.close()


class NeverCloses(Wrapped):
    def close(self) -> None:
        pass


class ChangesInputs(Wrapped):
    def __call__(self, **inputs: Array) -> Arrays:
        outputs = super().__call__(**inputs)
        for x in inputs.values():
            if x.flags.writeable:
                x[...] = np.roll(x, 1)
        return outputs


class OneWorkspace(Wrapped):
    """Outputs are written into the same arrays each time."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.kept: dict[Any, Array] = {}

    def __call__(self, **inputs: Array) -> Arrays:
        outputs = {}
        for name, x in super().__call__(**inputs).items():
            outputs[name] = self.kept.setdefault((name, x.shape), x)
            outputs[name][...] = x
        return outputs


class Restless(Wrapped):
    calls = 0

    def __call__(self, **inputs: Array) -> Arrays:
        self.calls += 1
        return {name: x * np.float32(1 + 2e-6 * (self.calls % 3)) for name, x in super().__call__(**inputs).items()}


class KeepsConstants(Wrapped):
    def __init__(self, inner: Any, constants: Mapping[str, Array] | None = None) -> None:
        super().__init__(inner)
        self.constants = dict(constants or {})

    def __call__(self, **inputs: Array) -> Arrays:
        outputs: Arrays = self.inner(**self.constants, **inputs) if not self.constants.keys() & inputs.keys() else self.inner(x=1)
        return outputs

    def bind(self, **constants: Array) -> Any:
        self.inner.bind(**constants).close()
        return KeepsConstants(self.inner, {**self.constants, **constants})


class IgnoresUnknownNames(Wrapped):
    def __call__(self, **inputs: Array) -> Arrays:
        return super().__call__(**{name: x for name, x in inputs.items() if name != "glitter"})


class ClipsIds(Wrapped):
    def __call__(self, **inputs: Array) -> Arrays:
        return super().__call__(**{name: np.clip(x, 0, 500) if x.dtype == np.int32 and x.max() > 600 else x for name, x in inputs.items()})


class GivesFloat64(Wrapped):
    def __call__(self, **inputs: Array) -> Arrays:
        return {name: x.astype(np.float64) for name, x in super().__call__(**inputs).items()}


class GivesNaN(Wrapped):
    def __call__(self, **inputs: Array) -> Arrays:
        outputs = super().__call__(**inputs)
        if len(next(iter(inputs.values()))) == 2:
            next(iter(outputs.values())).flat[0] = np.nan
        return outputs


class LacksAnOutput(Wrapped):
    def __call__(self, **inputs: Array) -> Arrays:
        outputs = super().__call__(**inputs)
        return {name: outputs[name] for name in list(outputs)[:-1]}


class RenamesAnInput(Wrapped):
    @property
    def signature(self) -> Signature:
        right: Signature = self.inner.signature
        return replace(right, inputs=(replace(right.inputs[0], name="ids"),))


class ReadsMemory(Wrapped):
    """Takes an array's memory as if it had no steps."""

    def __call__(self, **inputs: Array) -> Arrays:
        return super().__call__(**{name: _without_steps(x) for name, x in inputs.items()})


def _without_steps(x: Array) -> Array:
    return x if x.flags.c_contiguous or x.base is None else x.base.ravel()[: x.size].reshape(x.shape)


class FailsOnOneRow(Wrapped):
    def __call__(self, **inputs: Array) -> Arrays:
        if len(next(iter(inputs.values()))) == 1:
            raise IndexError("list index out of range")
        return super().__call__(**inputs)


class Backend:
    """Opens the numpy backend's networks behind one of these classes."""

    name = "badly behaved"
    option_names = ()
    component_options: tuple[str, ...] = ("clip_skip",)

    def __init__(self, kind: type[Wrapped], *, skips: bool = True, weights_matter: bool = True) -> None:
        self.kind, self.skips, self.weights_matter = kind, skips, weights_matter
        self.first: Any = None

    def open(self, component: ComponentName, model: Model, options: BackendOptions, component_options: ComponentOptions = PLAIN) -> Network:
        if self.weights_matter or self.first is None:
            self.first = model
        opened: Any = registry.get("numpy").open(component, self.first, options, component_options if self.skips else PLAIN)
        network: Network = self.kind(opened)
        return network


PLANTS: dict[str, Backend] = {
    "closing_ignored": Backend(NeverCloses),
    "changes_its_input": Backend(ChangesInputs),
    "output_is_others_memory": Backend(OneWorkspace),
    "not_repeatable": Backend(Restless),
    "bound_inputs_not_copied": Backend(KeepsConstants),
    "wrong_names_accepted": Backend(IgnoresUnknownNames),
    "wrong_values_accepted": Backend(ClipsIds),
    "wrong_dtype": Backend(GivesFloat64),
    "not_finite": Backend(GivesNaN),
    "output_missing": Backend(LacksAnOutput),
    "signature_wrong": Backend(RenamesAnInput),
    "strided_inputs_wrong": Backend(ReadsMemory),
    "raises": Backend(FailsOnOneRow),
    "clip_skip_wrong": Backend(Wrapped, skips=False),
    "bad_weights_accepted": Backend(Wrapped, weights_matter=False),
}


@pytest.fixture(autouse=True)
def _one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "CASES", (Case("sd2", "text_encoder"),))
    monkeypatch.setattr(check, "settings_of", lambda case: [each for each in settings_of(case) if each[1].rows < 3])


@pytest.mark.parametrize("kind", PLANTS)
def test_a_planted_fault_is_named(kind: str) -> None:
    """Some faults bring others: NaN is not repeatable as numbers, and a network that fails fails in many places."""
    kinds = {fault.kind for fault in check_backend(PLANTS[kind])}
    assert kind in kinds
    assert len(kinds) <= 3, kinds


def test_an_option_of_a_unet_that_is_ignored_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "CASES", (Case("sd1", "unet"),))
    monkeypatch.setattr(check, "settings_of", lambda case: list(settings_of(case))[:1])
    monkeypatch.setattr(check, "CONDUCT", ())
    monkeypatch.setattr(check, "OPENING", [each for each in OPENING if each.__name__ == "_unet_options"])
    assert check_backend("numpy") == []
    backend = Backend(Wrapped, skips=False)
    backend.component_options = ("freeu", "identity_attention")
    faults = check_backend(backend)
    assert {fault.kind for fault in faults} == {"component_option_wrong"}
    assert len(faults) == 2


class FailsLater(Wrapped):
    """Wrong, and after so many calls it fails, closing too."""

    calls = 0

    def __call__(self, **inputs: Array) -> Arrays:
        self.calls += 1
        if self.calls > 15:
            raise OSError("the device is gone")
        return {name: 1.1 * x for name, x in super().__call__(**inputs).items()}

    def close(self) -> None:
        raise OSError("the device is gone")


def test_a_network_that_fails_in_the_experiments_is_reported() -> None:
    kinds = [fault.kind for fault in check_backend(Backend(FailsLater))]
    assert "unexplained" in kinds
    assert "raises" in kinds


def test_good_conduct_has_no_fault() -> None:
    assert check_backend(Backend(Wrapped)) == []


def test_the_document_lists_every_planted_fault() -> None:
    document = (Path(__file__).parents[3] / "docs" / "testing.md").read_text(encoding="utf-8")
    assert {kind for kind in PLANTS if f"`{kind}`" not in document.partition("**Backends: conduct**")[2]} == set()
