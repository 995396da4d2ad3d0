"""Store the weights of a float32 computation in float16: half the file size, widened when the model is loaded."""

from typing import Any

import numpy as np

from converter.tools import quiet, toolkit

with quiet():
    from coremltools.converters.mil.mil import Builder
    from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass
    from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY, register_pass

__all__ = ["half_precision_weights"]

# Coremltools keeps smaller constants in the program's text, not in its weights.
_SMALLEST = 10
_LARGEST = float(np.finfo(np.float16).max)
_NAME = "sdrt::half_weights"


def half_precision_weights() -> Any:
    """Return coremltools' passes, followed by one that stores every large float32 constant in float16 (``constexpr_cast``)."""
    _register()
    pipeline = toolkit().PassPipeline()
    pipeline.append_pass(_NAME)
    return pipeline


def _register() -> None:
    if _NAME in PASS_REGISTRY:
        return

    class half_weights(AbstractGraphPass):  # type: ignore[misc] # noqa: N801 the class's name becomes the pass's
        def apply(self, program: Any) -> None:
            for function in program.functions.values():
                _halve(function)

    register_pass(namespace="sdrt")(half_weights)


def _halve(block: Any) -> None:
    for operation in list(block.operations):
        for inner in operation.blocks:
            _halve(inner)
        if operation.op_type == "const" and _is_weight(operation.outputs[0]):
            _replace(block, operation)


def _replace(block: Any, constant: Any) -> None:
    value = constant.outputs[0]
    with block:
        stored = Builder.constexpr_cast(
            source_val=value.val.astype(np.float16), output_dtype="fp32", before_op=constant, name=f"{constant.name}_from_fp16"
        )
    block.replace_uses_of_var_after_op(anchor_op=stored.op, old_var=value, new_var=stored, no_check_var_types=True, force_replace=True)
    block.remove_ops([constant])


def _is_weight(value: Any) -> bool:
    array = value.val
    if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.size < _SMALLEST:
        return False
    # A sum or table that exceeds the range of float16 stays in float32.
    return bool(np.abs(array).max() <= _LARGEST)
