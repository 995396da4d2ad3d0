"""Decide which operations of a package compute in half precision, and which few must not.

Two places lose accuracy that cannot be recovered (measured with coremltools 9.0 on random U-Nets, in dB against float32):

- the angles of an embedded number, up to 1000 radians: at timestep 981 half precision resolves half a radian, 51 dB instead of 65;
- the statistics of group normalisation: the square of a value above 255 exceeds half precision, and the result is noise.

Layer normalisation is one operation of MIL, whose internal precision cannot be chosen.
"""

from typing import Any

from converter.options import Precision

__all__ = ["compute_precision", "embeds_number", "float32_operation", "normalises"]

# The only operations between a number and its sine.
_TOWARDS_ANGLES = frozenset({"cast", "expand_dims", "mul", "reshape"})
# No other part of these networks uses a mean or a root.
_STATISTICS = frozenset({"reduce_mean", "rsqrt", "sqrt", "square"})


def compute_precision(precision: Precision, *, norms_in_float32: bool = True) -> Any:
    """Return the argument ``compute_precision`` of ``coremltools.convert``.

    Parameters
    ----------
    precision : "float16" or "float32"
    norms_in_float32 : bool
        Whether the statistics of group normalisation stay in float32 in a float16 package. Embedded numbers always stay.

    Returns
    -------
    coremltools.precision, or the transform that casts the permitted operations to float16
    """
    import coremltools as ct

    if precision == "float32":
        return ct.precision.FLOAT32
    return ct.transform.FP16ComputePrecision(
        op_selector=lambda operation: not float32_operation(operation, norms_in_float32=norms_in_float32)
    )


def float32_operation(operation: Any, *, norms_in_float32: bool = True) -> bool:
    """Return whether an operation of MIL has to stay in float32.

    Parameters
    ----------
    operation : coremltools.converters.mil.mil.Operation
        As it is before coremltools casts anything to float16, after all fusions.
    """
    return embeds_number(operation) or (norms_in_float32 and normalises(operation))


def embeds_number(operation: Any) -> bool:
    """Return whether an operation is a sine or cosine, or leads from a number to one."""
    if operation.op_type in ("sin", "cos"):
        return True
    return operation.op_type in _TOWARDS_ANGLES and any(embeds_number(user) for output in operation.outputs for user in output.child_ops)


def normalises(operation: Any) -> bool:
    """Return whether an operation belongs to a normalisation's statistics, or scales a value to mean 0 or deviation 1."""
    match operation.op_type:
        case kind if kind in _STATISTICS:
            return True
        case "add":
            return any(user.op_type in ("sqrt", "rsqrt") for user in operation.outputs[0].child_ops)
        case "sub":
            return _made_by(operation.y, "reduce_mean")
        case "real_div":
            return _made_by(operation.y, "sqrt")
    return False


def _made_by(value: Any, kind: str) -> bool:
    return value.op is not None and value.op.op_type == kind
