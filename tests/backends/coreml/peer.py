"""coremltools as the peer: packages made by its converter, and its own evaluation of operations."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converter.tools import conversion_toolkit, quiet
from sdrt.backends.coreml.ops import OPERATIONS
from sdrt.backends.numpy.team import ThreadTeam

with quiet():
    from coremltools.converters.mil import Builder as mb

ct: Any = conversion_toolkit()

__all__ = ["computed", "convert", "ct", "mb", "peer_value", "random_inputs", "worst_difference"]


def convert(
    module: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    folder: Path,
    *,
    precision: str = "float32",
    target: str = "iOS16",
    shapes: Mapping[str, Any] | None = None,
    input_dtypes: Mapping[str, Any] | None = None,
) -> Path:
    """Trace a module, convert it, and save the package; its path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module.eval(), tuple(inputs.values()))
        kinds = {torch.int32: np.int32, torch.int64: np.int32}
        model = ct.convert(
            traced,
            convert_to="mlprogram",
            minimum_deployment_target=getattr(ct.target, target),
            compute_precision=getattr(ct.precision, precision.upper()),
            inputs=[
                ct.TensorType(
                    name=name,
                    shape=(shapes or {}).get(name, tuple(value.shape)),
                    dtype=(input_dtypes or {}).get(name, kinds.get(value.dtype, np.float32)),
                )
                for name, value in inputs.items()
            ],
            outputs=[ct.TensorType(name=name, dtype=np.float32) for name in outputs],
            skip_model_load=True,
        )
    path = folder / "model.mlpackage"
    model.save(str(path))
    return path


def random_inputs(seed: int, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Normal numbers by name."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def peer_value(name: str, arguments: Mapping[str, Any], target: str = "iOS17") -> Any:
    """What coremltools itself computes for an operation of constants; None where it has no such evaluation."""
    found: list[Any] = []

    def program(x: Any) -> Any:
        out = getattr(mb, name)(**arguments)
        found.extend(item.val for item in (out if isinstance(out, (tuple, list)) else (out,)))
        return mb.identity(x=x)

    mb.program(input_specs=[mb.TensorSpec(shape=(1,))], opset_version=getattr(ct.target, target))(program)
    return found[0] if len(found) == 1 else tuple(found)


def computed(name: str, arguments: Mapping[str, Any]) -> Any:
    """What the executor computes for the same arguments, as its plan would call it."""
    operator = OPERATIONS[name]
    assert operator.parameters >= {operator.renamed.get(key, key) for key in arguments}
    values = {operator.renamed.get(key, key): _as_arrays(value) for key, value in arguments.items()}
    with np.errstate(all="ignore"):
        result = operator.function(ThreadTeam(1), **values) if operator.team else operator.function(**values)
    if operator.sizes is not None:
        assert operator.sizes(**values) == result.shape
    return result


def _as_arrays(value: Any) -> Any:
    if isinstance(value, (tuple, list)) and value and isinstance(value[0], np.ndarray):
        return tuple(value)
    return np.array(value, dtype=object) if isinstance(value, str) else np.asarray(value)


def worst_difference(ours: Any, theirs: Any) -> float:
    """The largest difference relative to the largest value, shapes being equal."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    if not ours.size:
        return 0.0
    same = (ours == theirs) | (np.isnan(ours.astype(np.float64)) & np.isnan(theirs.astype(np.float64)))
    gaps = np.where(same, 0.0, np.abs(ours.astype(np.float64) - theirs.astype(np.float64)))
    return float(gaps.max() / max(1.0, np.abs(np.where(np.isfinite(theirs), theirs, 0)).max()))
