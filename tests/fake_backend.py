"""A backend whose networks are a line of numpy each: the whole pipeline in milliseconds, and every input shows in the output."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sdrt.arrays import Array, Signature
from sdrt.backends import PLAIN, BackendOptions, BoundNetwork, ComponentOptions, signature
from sdrt.models import ComponentName, Model

Compute = Callable[..., dict[str, Array]]


class FakeNetwork(BoundNetwork):
    """A network that runs `compute`."""

    def __init__(self, component: ComponentName, signature: Signature, compute: Compute) -> None:
        super().__init__(component, signature)
        self.compute = compute

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self.compute(**inputs)


class FakeBackend:
    """Opens fake networks; `broken` replaces the function of some components."""

    name = "fake"
    option_names = ("glitter",)
    component_options: tuple[str, ...] = ("clip_skip",)

    def __init__(self, broken: Mapping[ComponentName, Compute] | None = None) -> None:
        self.broken = dict(broken or {})
        self.opened: list[FakeNetwork] = []
        self.options: list[BackendOptions] = []
        self.asked_options: list[ComponentOptions] = []
        self.rows: list[int] = []

    def open(
        self, component: ComponentName, model: Model, options: BackendOptions, component_options: ComponentOptions = PLAIN
    ) -> FakeNetwork:
        config, dtype = model.config(component), options.numerics
        computes: dict[ComponentName, Compute] = {
            "text_encoder": lambda input_ids: _encode(input_ids, config["hidden_size"], dtype),
            "unet": self._predict,
            "vae_decoder": lambda z: {"image": np.tanh(np.repeat(np.repeat(z[:, :3], 8, axis=2), 8, axis=3))},
        }
        network = FakeNetwork(component, signature(component, config, dtype), self.broken.get(component) or computes[component])
        self.opened.append(network)
        self.options.append(options)
        self.asked_options.append(component_options)
        return network

    def _predict(self, sample: Array, timestep: Array, encoder_hidden_states: Array) -> dict[str, Array]:
        self.rows.append(len(sample))
        told = encoder_hidden_states[:, :4].mean(axis=(1, 2))[:, None, None, None]
        return {"noise_pred": (np.sin(sample * (1 + told)) + told + (timestep / 1000)[:, None, None, None]).astype(sample.dtype)}


def _encode(input_ids: Array, width: int, dtype: str) -> dict[str, Array]:
    states = np.sin(input_ids[:, :, None] * 0.1 + np.arange(width) * 0.05).astype(dtype)
    return {"last_hidden_state": states, "penultimate_hidden_state": states, "pooled": states[:, -1]}


def nan_like(name: str) -> Compute:
    """A network of which every value is NaN where the fake U-Net has a number."""

    def compute(**inputs: Any) -> dict[str, Array]:
        return {name: np.full_like(inputs["sample"], np.nan)}

    return compute
