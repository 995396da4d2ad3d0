"""Backends with one fault each: the numpy backend's networks with something done before or after, and torch's with one module changed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from sdrt.arrays import Array
from sdrt.backends import PLAIN, BackendOptions, BoundNetwork, ComponentOptions, Network, registry
from sdrt.models import ComponentName, Model
from sdrt.testing.networks.mistakes import Mistake

__all__ = ["Before", "Mistaken", "Spoiled", "SpoiledTorch", "after", "before"]

Run = Callable[[Mapping[str, Array]], dict[str, Array]]
Spoil = Callable[[Run, Mapping[str, Array]], dict[str, Array]]
Before = Callable[[dict[str, Array]], dict[str, Array]]


class _Network(BoundNetwork):
    """A network whose calls go through a function; everything else is as it should be."""

    def __init__(self, component: ComponentName, inner: Network, spoil: Spoil) -> None:
        super().__init__(component, inner.signature)
        self.inner, self.spoil = inner, spoil

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self.spoil(lambda given: self.inner(**given), inputs)

    def _release(self) -> None:
        if self._parent is None:
            self.inner.close()


@dataclass
class Spoiled:
    """The numpy backend with a fault.

    Parameters
    ----------
    spoil : callable
        Takes the right network and inputs, and returns what the wrong one gives.
    only : tuple of ComponentName
        What it spoils; all where empty.
    """

    spoil: Spoil
    only: tuple[ComponentName, ...] = ()
    name: str = "spoiled"
    option_names: tuple[str, ...] = ()
    component_options: tuple[str, ...] = ("clip_skip",)
    inner: Any = field(default_factory=lambda: registry.get("numpy"))

    def open(self, component: ComponentName, model: Model, options: BackendOptions, component_options: ComponentOptions = PLAIN) -> Network:
        network: Network = self.inner.open(component, model, options, component_options)
        return network if self.only and component not in self.only else _Network(component, network, self.spoil)


def before(change: Before) -> Spoil:
    """Spoil what a network is given."""
    return lambda run, inputs: run(change(dict(inputs)))


def after(change: Callable[[Mapping[str, Array], dict[str, Array]], dict[str, Array]]) -> Spoil:
    """Spoil what a network gives."""
    return lambda run, inputs: change(inputs, run(inputs))


@dataclass
class SpoiledTorch:
    """The torch backend with changed modules, or in another dtype: an independent way to make a mistake."""

    change: Callable[[torch.nn.Module], None] = lambda module: None
    dtype: str = "float32"
    name: str = "spoiled-torch"
    option_names: tuple[str, ...] = ()
    component_options: tuple[str, ...] = ()

    def open(self, component: ComponentName, model: Model, options: BackendOptions, component_options: ComponentOptions = PLAIN) -> Network:
        network: Any = registry.get("torch").open(component, model, replace(options, extra={"dtype": self.dtype}), component_options)
        for module in network._adapter.modules():
            self.change(module)
        opened: Network = network
        return opened


@dataclass
class Mistaken:
    """The numpy backend with one of the mistakes that the check knows, in float32."""

    mistake: Mistake
    name: str = "mistaken"
    option_names: tuple[str, ...] = ()
    component_options: tuple[str, ...] = ()

    def open(self, component: ComponentName, model: Model, options: BackendOptions, component_options: ComponentOptions = PLAIN) -> Network:
        network: Any = registry.get("numpy").open(component, model, options, component_options)
        opened: Network = network.changed(self.mistake.program)
        return opened
