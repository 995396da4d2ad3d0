"""From a torch module to a Core ML model: traced, and converted by coremltools."""

from typing import Any

import numpy as np
import torch

from converter.halves import half_weights
from converter.interface import Tensor
from converter.options import ConvertOptions
from converter.parts.part import Part
from converter.precision import compute_precision
from converter.quiet import quiet
from converter.shim import ct, validated_once
from sdrt.errors import ConversionError

__all__ = ["to_coreml"]

_DTYPES = {"float16": np.float16, "float32": np.float32}


def to_coreml(part: Part, options: ConvertOptions, *, whole_weights: bool = False) -> Any:
    """Trace a part and convert it; the part's module may be let go of afterwards.

    Parameters
    ----------
    part : Part
    options : ConvertOptions
    whole_weights : bool
        Whether weights keep the precision of computation, because they are compressed afterwards.

    Returns
    -------
    coremltools.models.MLModel, its weights in a temporary folder

    Raises
    ------
    ConversionError : torch or coremltools stumbles over the network
    """
    with quiet():
        try:
            with torch.no_grad():
                traced = torch.jit.trace(part.module, part.examples(), check_trace=False, strict=False)  # type: ignore[no-untyped-call]
            with validated_once():
                model = ct.convert(
                    traced,
                    convert_to="mlprogram",
                    minimum_deployment_target=getattr(ct.target, options.deployment_target),
                    compute_precision=compute_precision(part.precision),
                    compute_units=getattr(ct.ComputeUnit, part.compute_unit or options.compute_unit),
                    inputs=[ct.TensorType(name=each.name, shape=_shape(each), dtype=_DTYPES[each.dtype]) for each in part.inputs],
                    outputs=[ct.TensorType(name=each.name, dtype=_DTYPES[each.dtype]) for each in part.outputs],
                    pass_pipeline=half_weights()
                    if part.precision == "float32" and not (options.float32_weights or whole_weights)
                    else None,
                    skip_model_load=True,
                )
            model._mil_program.validate(check_essential_scope=True)
            # all that is needed from here on is on disk already; this would keep every weight in memory besides
            model._mil_program = None
            return model
        except (MemoryError, OSError):
            raise
        except Exception as error:  # the tools raise what they stumble over, of any kind
            reason = " ".join(str(error).split())[:300]
            raise ConversionError(
                f"{part.role}: cannot be converted ({type(error).__name__}: {reason}); its configuration may be an unusual one: report it"
            ) from error


def _shape(tensor: Tensor) -> Any:
    return ct.EnumeratedShapes(shapes=list(tensor.shapes), default=tensor.shape) if tensor.flexible else ct.Shape(shape=tensor.shape)
