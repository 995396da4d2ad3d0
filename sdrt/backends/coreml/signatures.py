"""The canonical signature of a component, narrowed to what its packages take and give."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sdrt.arrays import Dim, Signature, TensorSpec
from sdrt.backends.coreml.adapters import Adapter, canonical_shape, default_shape
from sdrt.errors import ModelError
from sdrt.models.coreml.ports import Ports
from sdrt.models.mlpackage.features import Feature

__all__ = ["narrow_signature", "rows_of"]

_RESIDUAL = "additional_residual_"


def narrow_signature(owner: Path, wanted: Signature, ports: Ports, adapter: Adapter, optional: Ports | None) -> Signature:
    """Narrow a component's signature to what its packages take and give.

    Parameters
    ----------
    owner : Path
        For messages.
    wanted : Signature
        What the contract says of the configuration.
    ports : Ports
        Of the role that runs without optional inputs.
    adapter : Adapter
    optional : Ports or None
        Of the role that takes residuals, where there is one.

    Raises
    ------
    ModelError : the packages take or give something else than the configuration says: they are of another model
    """
    taken = {name for name in ports.inputs if not name.startswith(_RESIDUAL)}
    known = {spec.name for spec in wanted.inputs}
    if unknown := sorted(taken - known - set(adapter.fillers)):
        raise ModelError(f"{owner}: takes {', '.join(unknown)}, which this component of the model has not; it is another model's package")
    if missing := sorted(known - taken):
        raise ModelError(f"{owner}: does not take {', '.join(missing)}, which the model's configuration asks for; it is another model's")
    inputs = tuple(_input(owner, spec, ports.inputs[spec.name]) for spec in wanted.inputs)
    package_names = adapter.found_outputs(ports)
    if not package_names:
        raise ModelError(
            f"{owner}: gives {', '.join(ports.outputs)}; expected one of {', '.join(adapter.outputs)}: it is another network's"
        )
    specs = {spec.name: spec for spec in wanted.outputs}
    outputs = tuple(_output(owner, specs.get(name), name, ports.outputs[package]) for name, package in package_names.items())
    residuals = () if optional is None else tuple(name for name in optional.inputs if name.startswith(_RESIDUAL))
    ordered = sorted(residuals, key=lambda name: int(name.removeprefix(_RESIDUAL)))
    return Signature(
        inputs=inputs,
        outputs=outputs,
        joint_sizes=_joint(wanted, ports),
        optional=tuple(_residual(name, optional.inputs[name]) for name in ordered) if optional is not None else (),
    )


def rows_of(ports: Ports, names: Sequence[str]) -> int | None:
    """How many rows one call takes; None for any number."""
    for name in names:
        feature = ports.inputs.get(name)
        if feature is None or len(default_shape(feature)) < 2:
            continue
        if feature.ranges:
            return feature.ranges[0][1]
        return default_shape(feature)[0]
    return 1


def _input(owner: Path, spec: TensorSpec, feature: Feature) -> TensorSpec:
    shapes = [canonical_shape(spec, shape) for shape in _shapes(feature)]
    if not shapes:
        return spec
    dims = [_dim([shape[axis] for shape in shapes]) for axis in range(len(shapes[0]))]
    if feature.ranges and len(feature.ranges) == len(dims):
        dims = [low if low == high else None for low, high in feature.ranges] if len(dims) == len(spec.shape) else dims
    dims[0] = None
    _check(owner, spec, dims)
    return TensorSpec(spec.name, spec.dtype, tuple(dims))


def _output(owner: Path, spec: TensorSpec | None, name: str, feature: Feature) -> TensorSpec:
    if name == "has_nsfw":
        return TensorSpec(name, "bool", (None,))
    if name.startswith(_RESIDUAL):
        return _residual(name, feature)
    if spec is None:
        raise ModelError(f"{owner}: gives {name}, which this component of the model has not; it is another model's package")
    shape = default_shape(feature)
    if shape and not feature.choices and not feature.ranges:
        _check(owner, spec, [None, *shape[1:]])
    return spec


def _residual(name: str, feature: Feature) -> TensorSpec:
    shape = default_shape(feature)
    return TensorSpec(name, "float32", (None, shape[1] if shape else None, None, None))


def _shapes(feature: Feature) -> list[tuple[int, ...]]:
    return list(feature.choices) if feature.choices else [default_shape(feature)] if default_shape(feature) else []


def _dim(sizes: Sequence[int]) -> Dim:
    distinct = frozenset(sizes)
    return sizes[0] if len(distinct) == 1 else distinct


def _check(owner: Path, spec: TensorSpec, dims: Sequence[Dim]) -> None:
    fits = len(dims) == len(spec.shape) and all(_meets(want, got) for want, got in zip(spec.shape, dims, strict=True))
    if not fits:
        got = TensorSpec(spec.name, spec.dtype, tuple(dims))
        raise ModelError(f"{owner}: has {got}, and the model's configuration says {spec}; it is another model's package")


def _meets(want: Dim, got: Dim) -> bool:
    if want is None or got is None:
        return True
    return bool((want if isinstance(want, frozenset) else {want}) & (got if isinstance(got, frozenset) else {got}))


def _joint(wanted: Signature, ports: Ports) -> tuple[Mapping[str, tuple[int, ...]], ...]:
    """Where shapes are listed, those of all inputs belong together by their place in the list."""
    listed = {spec.name: ports.inputs[spec.name].choices for spec in wanted.inputs if ports.inputs[spec.name].choices}
    counts = {len(choices) for choices in listed.values()}
    if len(counts) != 1:
        return ()
    return tuple({name: choices[index] for name, choices in listed.items()} for index in range(counts.pop()))
