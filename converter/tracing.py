"""Trace a torch module, and convert the trace to a Core ML model with coremltools."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converter.halves import half_precision_weights
from converter.interface import Tensor
from converter.options import ComputeUnit, DeploymentTarget
from converter.parts.traceable import TraceablePart
from converter.precision import compute_precision
from converter.tools import conversion_toolkit, quiet, validated_once
from converter.trace_map import map_values
from sdrt.errors import ConversionError
from sdrt.models.coreml.traced_values import TracedValue

__all__ = ["ConvertedModel", "to_coreml"]

_DTYPES = {"float16": np.float16, "float32": np.float32}

# What coremltools says, in a RuntimeError, where it cannot write.
_DISK_FAILS = ("filesystem error", "[MIL FileWriter]")


@dataclass(frozen=True, kw_only=True)
class ConvertedModel:
    """The result of converting a part.

    Parameters
    ----------
    model : coremltools.models.MLModel
        Its package lacks the descriptions that are added to it later.
    values : mapping
        The program's names of what diffusers' modules give, by module path.
    """

    model: Any
    values: Mapping[str, TracedValue]


def to_coreml(
    part: TraceablePart, package: Path, *, target: DeploymentTarget, compute_unit: ComputeUnit, half_weights: bool
) -> ConvertedModel:
    """Trace a part and convert it; the part's module is not needed afterwards.

    Parameters
    ----------
    part : TraceablePart
    package : Path
        The .mlpackage to make.
    target : DeploymentTarget
    compute_unit : ComputeUnit
        For a part that does not require one itself.
    half_weights : bool
        Whether the weights of a computation in float32 are stored in float16.

    Raises
    ------
    ConversionError : torch or coremltools fails on the network
    OSError : the disk is full
    """
    ct = conversion_toolkit()
    with quiet():
        try:
            with torch.no_grad():
                traced = torch.jit.trace(part.module, part.examples(), check_trace=False, strict=False)  # type: ignore[no-untyped-call]
            with validated_once():
                model = ct.convert(
                    traced,
                    convert_to="mlprogram",
                    minimum_deployment_target=getattr(ct.target, target),
                    compute_precision=compute_precision(part.precision),
                    compute_units=getattr(ct.ComputeUnit, part.compute_unit or compute_unit),
                    inputs=[ct.TensorType(name=each.name, shape=_shape(ct, each), dtype=_DTYPES[each.dtype]) for each in part.inputs],
                    outputs=[ct.TensorType(name=each.name, dtype=_DTYPES[each.dtype]) for each in part.outputs],
                    pass_pipeline=half_precision_weights() if half_weights and part.precision == "float32" else None,
                    skip_model_load=True,
                    package_dir=str(package),
                )
            model._mil_program.validate(check_essential_scope=True)
            values = map_values(part.role, part.module, traced, model._mil_program)
            # Everything still needed is on disk; keeping the program would keep every weight in memory too.
            model._mil_program = None
            return ConvertedModel(model=model, values=values)
        except (MemoryError, OSError):
            raise
        except Exception as error:  # torch and coremltools raise exceptions of any kind
            reason = " ".join(str(error).split())[:300]
            if any(sign in reason for sign in _DISK_FAILS):
                raise OSError(f"{reason}; coremltools needs room in {tempfile.gettempdir()} too") from error
            raise ConversionError(
                f"{part.role}: must be a network that coremltools can convert, got {type(error).__name__}: {reason}; "
                "its configuration may be unusual: report it"
            ) from error


def _shape(ct: Any, tensor: Tensor) -> Any:
    return ct.EnumeratedShapes(shapes=list(tensor.shapes), default=tensor.shape) if tensor.flexible else ct.Shape(shape=tensor.shape)
