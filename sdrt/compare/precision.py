"""The least precise type that a side's networks compute in."""

from collections.abc import Mapping
from typing import Any

from sdrt.backends.pool import NetworkPool
from sdrt.compare.tolerances import Precision
from sdrt.models import ComponentName
from sdrt.pipeline.pipeline import Pipeline

__all__ = ["precision_of", "recorded_precision", "taken_precision"]

_TYPES: tuple[Precision, ...] = ("float64", "exact", "float32", "float16", "bfloat16")


def precision_of(pipe: Pipeline) -> Precision:
    """Return the least precise type of a pipeline's networks."""
    assembly = pipe._assembly
    found = {_of_pool(pool) for pool in assembly.pools}
    return max(found, key=_TYPES.index)


def taken_precision(pipe: Pipeline) -> Precision:
    """Return the least precise type to which a pipeline's denoiser rounds its inputs: that of packages of Core ML."""
    from sdrt.models.coreml import CoreMLFolder
    from sdrt.models.coreml.ports import read_ports

    model, denoiser = pipe._assembly.base.model, pipe._assembly.base.family.denoiser
    if not isinstance(model, CoreMLFolder) or pipe.backends.get(denoiser) != "coreml":
        return "float64"
    roles = (read_ports(paths) for paths in model.roles(denoiser).values())
    dtypes = {feature.dtype for ports in roles for feature in ports.inputs.values()}
    return "float16" if "float16" in dtypes else "float64"


def recorded_precision(header: Mapping[str, Any]) -> Precision:
    """Return what a recording says of its numerics: packages of Core ML compute in float16 unless somebody says otherwise."""
    backends = header.get("backends")
    if isinstance(backends, Mapping) and "coreml" in backends.values():
        return "float16"
    return next((each for each in _TYPES if each == header.get("numerics")), "float32")


def _of_pool(pool: NetworkPool) -> Precision:
    return max((_of_component(pool, component) for component in pool.model.components), key=_TYPES.index, default="float32")


def _of_component(pool: NetworkPool, component: ComponentName) -> Precision:
    backend, options = pool.runner(component)
    name = str(options.extra.get("dtype") or options.numerics)
    if backend.name == "coreml":
        return _of_packages(pool.model, component, options.extra.get("precision"))
    if backend.name == "torch":
        from sdrt.backends.torch.options import TorchOptions

        # what it chose where nothing was said, which depends on the device
        name = str(TorchOptions.read(options).dtype).removeprefix("torch.")
    return next((each for each in _TYPES if each == name), "float32")


def _of_packages(model: Any, component: ComponentName, precision: str | None) -> Precision:
    """Return float16 where a package's own numbers are, or the executor's."""
    from sdrt.backends.coreml import describe

    if precision == "float16":
        return "float16"
    paths = [path for role in model.roles(component).values() for path in role]
    halved = any(function.precision != "float32" for path in paths for function in describe(path).functions)
    return "float16" if halved else "float32"
