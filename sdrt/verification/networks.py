"""Networks of the embedded models, module by module: one call each on given numbers."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from sdrt import models
from sdrt.arrays import Array, TensorSpec
from sdrt.backends import BackendOptions
from sdrt.backends.numpy import NumpyBackend
from sdrt.models.components import ComponentName
from sdrt.verification.check import Check, Stages
from sdrt.verification.digests import digest, numbers

__all__ = ["networks"]

_CALLS: tuple[tuple[str, ComponentName], ...] = (
    ("nano", "text_encoder"),
    ("nano", "unet"),
    ("nano", "vae_decoder"),
    ("nano", "vae_encoder"),
    ("nano-inpaint", "unet"),
    ("nano-edges", "controlnet"),
)
# The sides of inputs that may have any: latents, and pictures.
_SIDES = {"sample": 16, "z": 16, "x": 64, "controlnet_cond": 128}
_LENGTH = 77


def networks(threads: int | None) -> Iterator[Check]:
    """Yield a check of each component."""
    for model, component in _CALLS:
        yield Check("networks", f"{model} {component}", partial(_modules, model, component, threads))


def _modules(name: str, component: ComponentName, threads: int | None) -> Stages:
    model = models.open_component(name, component) if component == "controlnet" else models.open_model(name)
    network = NumpyBackend().open(component, model, BackendOptions(numerics="exact", threads=threads))
    try:
        inputs = {spec.name: _input(spec, seed) for seed, spec in enumerate(network.signature.inputs)}
        values: Mapping[str, Array] = network.trace(network.trace_names, None, **inputs)
        for module, value in values.items():
            yield module, digest(value)
        for output, value in network(**inputs).items():
            yield f"output {output}", digest(value)
    finally:
        network.close()


def _input(spec: TensorSpec, seed: int) -> Array:
    if spec.name == "timestep":
        return np.full(1, 500.0, spec.dtype)
    if spec.name == "input_ids":
        return (np.arange(_LENGTH, dtype=np.int32) * 5 % 256)[None]
    side = _SIDES.get(spec.name, _LENGTH)
    shape = (1, *(side if size is None else size for size in spec.shape[1:]))
    return numbers(tuple(int(size) for size in shape), seed)  # type: ignore[arg-type]
