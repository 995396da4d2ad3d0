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
from sdrt.errors import ConfigError, ConversionError

__all__ = ["check_target", "to_coreml"]

_DTYPES = {"float16": np.float16, "float32": np.float32}
_NEWEST = ("macOS15", "iOS18")
_OLDEST = ("macOS13", "iOS16")


def check_target(part: Part, options: ConvertOptions) -> None:
    """Refuse what the deployment target does not run.

    Raises
    ------
    ConfigError : several sizes where the target takes one, or one flexible input
    """
    flexible = [tensor.name for tensor in part.inputs if tensor.flexible]
    if flexible and options.deployment_target in _OLDEST:
        raise ConfigError(f"several sizes need a deployment target of macOS14 or iOS17; got {options.deployment_target}")
    if len(flexible) > 1 and options.deployment_target not in _NEWEST:
        raise ConfigError(
            f"a package whose inputs {', '.join(flexible)} have several sizes each needs macOS15 or iOS18; got {options.deployment_target}"
        )


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
    ConfigError : see `check_target`
    ConversionError : torch or coremltools stumbles over the network
    """
    check_target(part, options)
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
